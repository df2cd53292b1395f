//! The tensor descriptions of a GGUF file: unique names, shapes that do not overflow, data inside the file,
//! in order, without gaps or overlaps (what llama.cpp requires of offsets).

use super::GgufError;
use super::metadata::at_most;
use super::reader::Reader;
use super::types::Encoding;
use std::collections::HashMap;
use std::io::Read;

const MAX_TENSORS: u64 = 65_536;
/// ggml keeps names in 64 bytes, the closing NUL included.
const MAX_NAME_BYTES: u64 = 63;
const MAX_DIMENSIONS: u32 = 4;

/// One tensor's description.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// Row length first; absent dimensions are left out.
    pub(crate) dims: Vec<u64>,
    pub(crate) encoding: Encoding,
    /// From the start of the data section.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) elements: u64,
}

impl Tensor {
    /// Whether the shape is `expected`, where trailing ones may be left out.
    pub(crate) fn has_shape(&self, expected: &[u64]) -> bool {
        (0..MAX_DIMENSIONS as usize)
            .all(|axis| self.dims.get(axis).copied().unwrap_or(1) == expected.get(axis).copied().unwrap_or(1))
    }
}

/// All tensors, in file order.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    list: Vec<Tensor>,
    by_name: HashMap<String, usize>,
}

impl Tensors {
    pub(crate) fn read<R: Read>(reader: &mut Reader<R>, count: u64) -> Result<Self, GgufError> {
        at_most("the number of tensors", count, MAX_TENSORS)?;
        let mut tensors = Self::default();
        for index in 0..count {
            let tensor = read_tensor(reader, index)?;
            if tensors.by_name.insert(tensor.name.clone(), tensors.list.len()).is_some() {
                return Err(bad(&tensor.name, "is a duplicate; names must be unique".into()));
            }
            tensors.list.push(tensor);
        }
        Ok(tensors)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Tensor> {
        self.list.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tensor> {
        self.list.get(*self.by_name.get(name)?)
    }

    /// Checks that the data lies one after the other in `data_start..file`.
    pub(crate) fn check_layout(&self, data_start: u64, alignment: u64, file: u64) -> Result<(), GgufError> {
        let mut expected: u64 = 0;
        let mut previous = "";
        for tensor in &self.list {
            let end = tensor.offset.checked_add(tensor.bytes).and_then(|end| end.checked_next_multiple_of(alignment));
            let Some(end) = end.filter(|end| end.checked_add(data_start).is_some()) else {
                return Err(bad(&tensor.name, format!("has offset {}, which overflows", tensor.offset)));
            };
            if tensor.offset % alignment != 0 {
                let problem = format!("has offset {}, no multiple of the alignment {alignment}", tensor.offset);
                return Err(bad(&tensor.name, problem));
            }
            if tensor.offset < expected {
                return Err(GgufError::TensorOverlap {
                    tensor: tensor.name.clone(),
                    other: previous.to_owned(),
                    offset: tensor.offset,
                    end: expected,
                });
            }
            if tensor.offset > expected {
                let problem = format!("has offset {}; the data before it ends at {expected}", tensor.offset);
                return Err(bad(&tensor.name, problem));
            }
            let end_in_file = data_start.saturating_add(tensor.offset).saturating_add(tensor.bytes);
            if end_in_file > file {
                return Err(GgufError::TensorOutOfFile { tensor: tensor.name.clone(), end: end_in_file, file });
            }
            expected = end;
            previous = &tensor.name;
        }
        Ok(())
    }
}

pub(crate) fn bad(tensor: &str, problem: String) -> GgufError {
    GgufError::Tensor { tensor: tensor.to_owned(), problem }
}

/// `[64, 512]`
pub(crate) fn shape_text(dims: &[u64]) -> String {
    let dims: Vec<_> = dims.iter().map(u64::to_string).collect();
    format!("[{}]", dims.join(", "))
}

fn read_tensor<R: Read>(reader: &mut Reader<R>, index: u64) -> Result<Tensor, GgufError> {
    let name = read_name(reader, index)?;
    let what = format!("the description of tensor \"{name}\"");
    let count = reader.u32(&what)?;
    if count == 0 || count > MAX_DIMENSIONS {
        return Err(bad(&name, format!("has {count} dimensions; 1 to {MAX_DIMENSIONS} are allowed")));
    }
    let mut dims = Vec::new();
    for _ in 0..count {
        dims.push(reader.u64(&what)?);
    }
    let number = reader.u32(&what)?;
    let offset = reader.u64(&what)?;
    let Some(encoding) = Encoding::from_number(number) else {
        return Err(bad(&name, format!("has type number {number}, which ggml does not have")));
    };
    let (elements, bytes) = size_of(&name, &dims, encoding)?;
    Ok(Tensor { name, dims, encoding, offset, bytes, elements })
}

fn read_name<R: Read>(reader: &mut Reader<R>, index: u64) -> Result<String, GgufError> {
    let what = format!("the name of tensor {index}");
    let length = reader.u64(&what)?;
    at_most(&format!("the length of {what}"), length, MAX_NAME_BYTES)?;
    let bytes = reader.bytes(length, &what)?;
    let name = String::from_utf8_lossy(&bytes).into_owned();
    if name.as_bytes() != bytes {
        return Err(bad(&name, "has a name that is not valid UTF-8".into()));
    }
    if name.is_empty() || name.contains('\0') {
        return Err(bad(&name, format!("(number {index}) has a name that is empty or holds a NUL byte")));
    }
    Ok(name)
}

fn size_of(name: &str, dims: &[u64], encoding: Encoding) -> Result<(u64, u64), GgufError> {
    if dims.contains(&0) {
        return Err(bad(name, format!("has shape {} with a zero; every dimension is at least 1", shape_text(dims))));
    }
    // ggml counts in signed 64-bit numbers.
    let elements = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
    let Some(elements) = elements.filter(|elements| i64::try_from(*elements).is_ok()) else {
        return Err(bad(name, format!("has shape {}, whose product overflows", shape_text(dims))));
    };
    let row = dims.first().copied().unwrap_or(1);
    if row % encoding.block != 0 {
        return Err(bad(
            name,
            format!("has rows of {row} elements; type {} takes blocks of {}", encoding.name, encoding.block),
        ));
    }
    let Some(bytes) = (elements / encoding.block).checked_mul(encoding.bytes) else {
        return Err(bad(name, format!("has shape {}, whose size in bytes overflows", shape_text(dims))));
    };
    Ok((elements, bytes))
}
