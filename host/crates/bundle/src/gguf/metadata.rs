//! The keys and values of a GGUF file, read strictly: unique keys, valid text, known types.

use super::GgufError;
use super::reader::Reader;
use super::types::Kind;
use std::collections::BTreeMap;
use std::io::Read;

const MAX_KEYS: u64 = 65_536;
const MAX_KEY_BYTES: u64 = 65_535;

/// One value.
#[derive(Debug)]
pub(crate) enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Texts),
    Numbers(Numbers),
    /// Types that llama.cpp reads nowhere except `split.count`; the raw bits.
    Other(Kind, u64),
}

/// An array of strings in one allocation, so that millions of short ones cost no more than the file.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            let piece = self.text.get(start..end).unwrap_or_default();
            start = end;
            piece
        })
    }

    fn push(&mut self, piece: &str) -> Option<()> {
        self.text.push_str(piece);
        self.ends.push(u32::try_from(self.text.len()).ok()?);
        Some(())
    }
}

/// An array of numbers, as bytes.
#[derive(Debug)]
pub(crate) struct Numbers {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

impl Numbers {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / usize::try_from(self.kind.size()).unwrap_or(1)
    }

    /// The elements where they are of four bytes, else none.
    pub(crate) fn words(&self) -> impl Iterator<Item = [u8; 4]> {
        let words = if self.kind.size() == 4 { self.bytes.as_slice() } else { &[] };
        words.as_chunks::<4>().0.iter().copied()
    }
}

impl Value {
    pub(crate) fn type_name(&self) -> String {
        match self {
            Self::U32(_) => "u32".into(),
            Self::F32(_) => "f32".into(),
            Self::Bool(_) => "bool".into(),
            Self::Text(_) => "string".into(),
            Self::Texts(_) => "array of string".into(),
            Self::Numbers(numbers) => format!("array of {}", numbers.kind.name()),
            Self::Other(kind, _) => kind.name().into(),
        }
    }
}

/// Every key of the file.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// Sorted, so that of several faults the same one is reported each time.
    values: BTreeMap<String, Value>,
}

impl Metadata {
    pub(crate) fn read<R: Read>(reader: &mut Reader<R>, count: u64) -> Result<Self, GgufError> {
        at_most("the number of metadata keys", count, MAX_KEYS)?;
        let mut values = BTreeMap::new();
        for index in 0..count {
            let key = read_key(reader, index)?;
            let value = read_value(reader, &key)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(GgufError::Key { index, key, problem: "is a duplicate; keys must be unique" });
            }
        }
        Ok(Self { values })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All keys and values, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::U32(value)) => Ok(Some(*value)),
            Some(value) => Err(wrong_type(key, value, "u32")),
        }
    }

    pub(crate) fn f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::F32(value)) => Ok(Some(*value)),
            Some(value) => Err(wrong_type(key, value, "f32")),
        }
    }

    pub(crate) fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(value) => Err(wrong_type(key, value, "bool")),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(value)) => Ok(Some(value)),
            Some(value) => Err(wrong_type(key, value, "string")),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<&Texts>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Texts(value)) => Ok(Some(value)),
            Some(value) => Err(wrong_type(key, value, "array of string")),
        }
    }

    pub(crate) fn numbers(
        &self,
        key: &str,
        kinds: &[Kind],
        expected: &'static str,
    ) -> Result<Option<&Numbers>, GgufError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Numbers(numbers)) if kinds.contains(&numbers.kind) => Ok(Some(numbers)),
            Some(value) => Err(wrong_type(key, value, expected)),
        }
    }
}

pub(crate) fn at_most(what: &str, found: u64, limit: u64) -> Result<(), GgufError> {
    if found > limit { Err(GgufError::TooLarge { what: what.to_owned(), found, limit }) } else { Ok(()) }
}

fn wrong_type(key: &str, value: &Value, expected: &'static str) -> GgufError {
    GgufError::WrongType { key: key.to_owned(), found: value.type_name(), expected }
}

fn read_key<R: Read>(reader: &mut Reader<R>, index: u64) -> Result<String, GgufError> {
    let what = format!("metadata key {index}");
    let length = reader.u64(&what)?;
    if length == 0 {
        return Err(GgufError::Key { index, key: String::new(), problem: "is empty" });
    }
    at_most(&format!("the length of {what}"), length, MAX_KEY_BYTES)?;
    let bytes = reader.bytes(length, &what)?;
    let key = String::from_utf8_lossy(&bytes).into_owned();
    if key.as_bytes() != bytes {
        return Err(GgufError::Key { index, key, problem: "is not valid UTF-8" });
    }
    // C strings end at a NUL: two keys that differ only after it would be one to llama.cpp.
    if key.contains('\0') {
        return Err(GgufError::Key { index, key, problem: "holds a NUL byte" });
    }
    Ok(key)
}

fn read_kind<R: Read>(reader: &mut Reader<R>, key: &str) -> Result<Kind, GgufError> {
    let number = reader.u32(key)?;
    Kind::from_number(number)
        .ok_or_else(|| bad_value(key, format!("has value type {number}; types 0 to 12 are defined")))
}

fn bad_value(key: &str, problem: String) -> GgufError {
    GgufError::Value { key: key.to_owned(), problem }
}

fn read_value<R: Read>(reader: &mut Reader<R>, key: &str) -> Result<Value, GgufError> {
    let kind = read_kind(reader, key)?;
    Ok(match kind {
        Kind::U32 => Value::U32(reader.u32(key)?),
        Kind::F32 => Value::F32(f32::from_le_bytes(reader.array(key)?)),
        Kind::Bool => Value::Bool(bool_of(key, u8::from_le_bytes(reader.array(key)?))?),
        Kind::Text => Value::Text(read_text(reader, key)?),
        Kind::Array => read_array(reader, key)?,
        Kind::U8 | Kind::I8 => Value::Other(kind, u8::from_le_bytes(reader.array(key)?).into()),
        Kind::U16 | Kind::I16 => Value::Other(kind, u16::from_le_bytes(reader.array(key)?).into()),
        Kind::I32 => Value::Other(kind, reader.u32(key)?.into()),
        Kind::U64 | Kind::I64 | Kind::F64 => Value::Other(kind, reader.u64(key)?),
    })
}

fn bool_of(key: &str, byte: u8) -> Result<bool, GgufError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(bad_value(key, format!("is a bool with the byte {byte}; 0 and 1 are allowed"))),
    }
}

fn read_text<R: Read>(reader: &mut Reader<R>, key: &str) -> Result<String, GgufError> {
    let text = String::from_utf8(reader.counted(key)?)
        .map_err(|error| bad_value(key, format!("is not valid UTF-8: {}", error.utf8_error())))?;
    if text.contains('\0') {
        return Err(bad_value(key, "holds a NUL byte, at which llama.cpp would cut it".into()));
    }
    Ok(text)
}

fn read_array<R: Read>(reader: &mut Reader<R>, key: &str) -> Result<Value, GgufError> {
    let kind = read_kind(reader, key)?;
    let count = reader.u64(key)?;
    // Before anything is reserved: a count beyond the file is a lie.
    reader.must_hold(count, kind.size(), &format!("the {count} elements of \"{key}\""))?;
    if kind == Kind::Array {
        return Err(bad_value(key, "is an array of arrays; llama.cpp reads none".into()));
    }
    if kind == Kind::Text {
        let mut texts = Texts::default();
        for _ in 0..count {
            let text = read_text(reader, key)?;
            texts.push(&text).ok_or_else(|| bad_value(key, "has more than 4 GiB of text".into()))?;
        }
        return Ok(Value::Texts(texts));
    }
    let bytes = reader.bytes(count.saturating_mul(kind.size()), key)?;
    if kind == Kind::Bool {
        for byte in &bytes {
            bool_of(key, *byte)?;
        }
    }
    Ok(Value::Numbers(Numbers { kind, bytes }))
}
