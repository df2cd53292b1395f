//! Weights must be finite: one NaN makes every answer NaN, and the sampler's arithmetic with it.

use super::GgufError;
use super::reader::Reader;
use super::tensors::{Tensor, Tensors};
use super::types::Scales;
use std::io::Read;

const CHUNK: u64 = 1 << 20;

/// Reads the data section once, in order.
pub(crate) fn check<R: Read>(reader: &mut Reader<R>, tensors: &Tensors, data_start: u64) -> Result<(), GgufError> {
    let mut buffer = Vec::new();
    for tensor in tensors.iter() {
        if tensor.encoding.scales != Scales::None {
            reader.skip_to(data_start.saturating_add(tensor.offset))?;
            check_tensor(reader, tensor, &mut buffer)?;
        }
    }
    Ok(())
}

fn check_tensor<R: Read>(reader: &mut Reader<R>, tensor: &Tensor, buffer: &mut Vec<u8>) -> Result<(), GgufError> {
    let block = tensor.encoding.bytes;
    let chunk = (CHUNK / block).max(1) * block;
    let mut done = 0;
    while done < tensor.bytes {
        let count = chunk.min(tensor.bytes - done);
        buffer.resize(usize::try_from(count).unwrap_or_default(), 0);
        reader.fill(buffer)?;
        if let Some(bad) = first_bad(buffer, usize::try_from(block).unwrap_or(1), tensor.encoding.scales) {
            return Err(GgufError::NotFinite { tensor: tensor.name.clone(), block: done / block + bad as u64 });
        }
        done += count;
    }
    Ok(())
}

fn first_bad(bytes: &[u8], block: usize, scales: Scales) -> Option<usize> {
    bytes.chunks_exact(block).position(|block| match scales {
        Scales::None => false,
        Scales::Single(offsets) => offsets.iter().any(|at| !word(block, *at).is_finite()),
        Scales::Half(offsets) => offsets.iter().any(|at| half(block, *at) & 0x7c00 == 0x7c00),
        Scales::Brain(offsets) => offsets.iter().any(|at| half(block, *at) & 0x7f80 == 0x7f80),
    })
}

fn word(block: &[u8], at: usize) -> f32 {
    block.get(at..).and_then(|rest| rest.first_chunk()).map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

fn half(block: &[u8], at: usize) -> u16 {
    block.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}
