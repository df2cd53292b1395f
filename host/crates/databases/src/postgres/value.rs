//! Values of rows and parameters, in the types that Spin's interfaces have.

use super::{Date, Numeric, Time, ValueError};
use uuid::Uuid;

/// A range's bound: its value, and whether it belongs to the range.
pub type Bound<T> = Option<(T, bool)>;

/// A lower and an upper bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range<T> {
    /// The lower bound; none where there is no lowest value.
    pub lower: Bound<T>,
    /// The upper one.
    pub upper: Bound<T>,
}

/// A span of time, of which nobody knows how long a day or a month is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Microseconds.
    pub micros: i64,
    /// Days.
    pub days: i32,
    /// Months.
    pub months: i32,
}

/// A value of a row, or a parameter.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are those of Spin's interfaces")]
pub enum Value {
    Boolean(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Floating32(f32),
    Floating64(f64),
    Str(String),
    Binary(Vec<u8>),
    Date(Date),
    Time(Time),
    Datetime(Date, Time),
    /// Seconds since 1970; a parameter only.
    Timestamp(i64),
    Uuid(Uuid),
    /// Its text.
    Jsonb(Vec<u8>),
    Decimal(Numeric),
    RangeInt32(Range<i32>),
    RangeInt64(Range<i64>),
    RangeDecimal(Range<Numeric>),
    ArrayInt32(Vec<Option<i32>>),
    ArrayInt64(Vec<Option<i64>>),
    ArrayDecimal(Vec<Option<Numeric>>),
    ArrayStr(Vec<Option<String>>),
    Interval(Interval),
    Null,
    /// Of another type, as the server sent it; in rows only.
    Unsupported(Vec<u8>),
}

impl Value {
    /// A UUID.
    ///
    /// # Errors
    /// When the text is none.
    pub fn uuid(text: &str) -> Result<Self, ValueError> {
        Uuid::parse_str(text).map(Self::Uuid).map_err(|_why| ValueError::invalid("UUID", text))
    }

    /// A JSON text.
    ///
    /// # Errors
    /// When it is none.
    pub fn jsonb(text: Vec<u8>) -> Result<Self, ValueError> {
        match serde_json::from_slice::<serde::de::IgnoredAny>(&text) {
            Ok(_) => Ok(Self::Jsonb(text)),
            Err(_why) => Err(ValueError::invalid("JSON", String::from_utf8_lossy(&text))),
        }
    }

    /// Bytes that it takes in the host.
    pub fn bytes(&self) -> usize {
        let numeric = |number: &Numeric| number.text().len();
        let bound = |bound: &Bound<Numeric>| bound.as_ref().map_or(0, |(number, _)| numeric(number));
        let more = match self {
            Self::Str(text) => text.len(),
            Self::Binary(bytes) | Self::Jsonb(bytes) | Self::Unsupported(bytes) => bytes.len(),
            Self::Decimal(number) => numeric(number),
            Self::RangeDecimal(range) => bound(&range.lower) + bound(&range.upper),
            Self::ArrayInt32(all) => size_of_val(all.as_slice()),
            Self::ArrayInt64(all) => size_of_val(all.as_slice()),
            Self::ArrayDecimal(all) => size_of_val(all.as_slice()) + all.iter().flatten().map(numeric).sum::<usize>(),
            Self::ArrayStr(all) => size_of_val(all.as_slice()) + all.iter().flatten().map(String::len).sum::<usize>(),
            _ => 0,
        };
        size_of::<Self>() + more
    }
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of Spin's interfaces")]
pub enum DataType {
    Boolean,
    Int16,
    Int32,
    Int64,
    Floating32,
    Floating64,
    Str,
    Binary,
    Date,
    Time,
    Datetime,
    Uuid,
    Jsonb,
    Decimal,
    RangeInt32,
    RangeInt64,
    RangeDecimal,
    ArrayInt32,
    ArrayInt64,
    ArrayDecimal,
    ArrayStr,
    Interval,
    /// Another type, by its name.
    Other(String),
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
