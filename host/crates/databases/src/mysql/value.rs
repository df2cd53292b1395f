//! Values of rows and parameters, in the types that Spin's interfaces have.

/// A value of a row, or a parameter.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are those of Spin's interfaces")]
pub enum Value {
    /// A parameter only: MySQL's own type for it is a number.
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Uint8(u8),
    Uint16(u16),
    Uint32(u32),
    Uint64(u64),
    Floating32(f32),
    Floating64(f64),
    Str(String),
    Binary(Vec<u8>),
    Null,
}

impl Value {
    /// Bytes that it takes in the host.
    pub fn bytes(&self) -> usize {
        let more = match self {
            Self::Str(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + more
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of Spin's interfaces")]
pub enum DataType {
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Floating32,
    Floating64,
    Str,
    Binary,
    /// What the interfaces have no type for. Of it they have NULL alone.
    Other,
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub data_type: DataType,
}

/// The values of a row, in the order of the columns.
pub type Row = Vec<Value>;
