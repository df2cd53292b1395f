//! Between the values of `bobbin-databases` and those of `spin:postgres`, which the bindings generate anew for each version.

use super::{Details, Failure, Found, Row, v3_wit, v4_wit};
use bobbin_databases::postgres::{Bound, Column, DataType, Date, Interval, Numeric, Range, Time, Value, ValueError};
use v3_wit::spin::postgres::postgres as v3;
use v4_wit::spin::postgres::postgres as v4;

impl TryFrom<v3::ParameterValue> for Value {
    type Error = ValueError;

    fn try_from(value: v3::ParameterValue) -> Result<Self, ValueError> {
        Ok(match value {
            v3::ParameterValue::Boolean(yes) => Self::Boolean(yes),
            v3::ParameterValue::Int8(number) => Self::Int8(number),
            v3::ParameterValue::Int16(number) => Self::Int16(number),
            v3::ParameterValue::Int32(number) => Self::Int32(number),
            v3::ParameterValue::Int64(number) => Self::Int64(number),
            v3::ParameterValue::Floating32(number) => Self::Floating32(number),
            v3::ParameterValue::Floating64(number) => Self::Floating64(number),
            v3::ParameterValue::Str(text) => Self::Str(text),
            v3::ParameterValue::Binary(bytes) => Self::Binary(bytes),
            v3::ParameterValue::Date(parts) => Self::Date(date(parts)?),
            v3::ParameterValue::Time(parts) => Self::Time(time(parts)?),
            v3::ParameterValue::Datetime(parts) => datetime(parts)?,
            v3::ParameterValue::Timestamp(seconds) => Self::Timestamp(seconds),
            v3::ParameterValue::DbNull => Self::Null,
        })
    }
}

impl TryFrom<v4::ParameterValue> for Value {
    type Error = ValueError;

    fn try_from(value: v4::ParameterValue) -> Result<Self, ValueError> {
        let numeric = |text: String| Numeric::parse(&text);
        Ok(match value {
            v4::ParameterValue::Boolean(yes) => Self::Boolean(yes),
            v4::ParameterValue::Int8(number) => Self::Int8(number),
            v4::ParameterValue::Int16(number) => Self::Int16(number),
            v4::ParameterValue::Int32(number) => Self::Int32(number),
            v4::ParameterValue::Int64(number) => Self::Int64(number),
            v4::ParameterValue::Floating32(number) => Self::Floating32(number),
            v4::ParameterValue::Floating64(number) => Self::Floating64(number),
            v4::ParameterValue::Str(text) => Self::Str(text),
            v4::ParameterValue::Binary(bytes) => Self::Binary(bytes),
            v4::ParameterValue::Date(parts) => Self::Date(date(parts)?),
            v4::ParameterValue::Time(parts) => Self::Time(time(parts)?),
            v4::ParameterValue::Datetime(parts) => datetime(parts)?,
            v4::ParameterValue::Timestamp(seconds) => Self::Timestamp(seconds),
            v4::ParameterValue::Uuid(text) => Self::uuid(&text)?,
            v4::ParameterValue::Jsonb(text) => Self::jsonb(text)?,
            v4::ParameterValue::Decimal(text) => Self::Decimal(numeric(text)?),
            v4::ParameterValue::RangeInt32(bounds) => Self::RangeInt32(range(bounds, Ok)?),
            v4::ParameterValue::RangeInt64(bounds) => Self::RangeInt64(range(bounds, Ok)?),
            v4::ParameterValue::RangeDecimal(bounds) => Self::RangeDecimal(range(bounds, numeric)?),
            v4::ParameterValue::ArrayInt32(all) => Self::ArrayInt32(all),
            v4::ParameterValue::ArrayInt64(all) => Self::ArrayInt64(all),
            v4::ParameterValue::ArrayDecimal(all) => {
                let numbers = all.into_iter().map(|text| text.map(numeric).transpose());
                Self::ArrayDecimal(numbers.collect::<Result<_, _>>()?)
            }
            v4::ParameterValue::ArrayStr(all) => Self::ArrayStr(all),
            v4::ParameterValue::Interval(v4::Interval { micros, days, months }) => {
                Self::Interval(Interval { micros, days, months })
            }
            v4::ParameterValue::DbNull => Self::Null,
        })
    }
}

type Instant = (i32, u8, u8, u8, u8, u8, u32);

fn date((year, month, day): (i32, u8, u8)) -> Result<Date, ValueError> {
    Date::new(year, month, day)
}

fn time((hour, minute, second, nanosecond): (u8, u8, u8, u32)) -> Result<Time, ValueError> {
    Time::new(hour, minute, second, nanosecond)
}

fn datetime((year, month, day, hour, minute, second, nanosecond): Instant) -> Result<Value, ValueError> {
    Ok(Value::Datetime(date((year, month, day))?, time((hour, minute, second, nanosecond))?))
}

type Kinded<T> = Option<(T, v4::RangeBoundKind)>;

fn range<T, U>(
    (lower, upper): (Kinded<T>, Kinded<T>),
    convert: impl Fn(T) -> Result<U, ValueError>,
) -> Result<Range<U>, ValueError> {
    let bound = |bound: Kinded<T>| -> Result<_, ValueError> {
        bound.map(|(value, kind)| Ok((convert(value)?, matches!(kind, v4::RangeBoundKind::Inclusive)))).transpose()
    };
    Ok(Range { lower: bound(lower)?, upper: bound(upper)? })
}

fn bounds<T, U>(range: Range<T>, convert: impl Fn(T) -> U) -> (Kinded<U>, Kinded<U>) {
    let kind = |inclusive| if inclusive { v4::RangeBoundKind::Inclusive } else { v4::RangeBoundKind::Exclusive };
    let bound = |bound: Bound<T>| bound.map(|(value, inclusive)| (convert(value), kind(inclusive)));
    (bound(range.lower), bound(range.upper))
}

fn day(date: Date) -> (i32, u8, u8) {
    (date.year, date.month, date.day)
}

fn instant(date: Date, time: Time) -> Instant {
    (date.year, date.month, date.day, time.hour, time.minute, time.second, time.nanosecond)
}

impl From<Value> for v4::DbValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Boolean(yes) => Self::Boolean(yes),
            Value::Int8(number) => Self::Int8(number),
            Value::Int16(number) => Self::Int16(number),
            Value::Int32(number) => Self::Int32(number),
            Value::Int64(number) => Self::Int64(number),
            Value::Floating32(number) => Self::Floating32(number),
            Value::Floating64(number) => Self::Floating64(number),
            Value::Str(text) => Self::Str(text),
            Value::Binary(bytes) => Self::Binary(bytes),
            Value::Date(date) => Self::Date(day(date)),
            Value::Time(time) => Self::Time((time.hour, time.minute, time.second, time.nanosecond)),
            Value::Datetime(date, time) => Self::Datetime(instant(date, time)),
            Value::Timestamp(seconds) => Self::Timestamp(seconds),
            Value::Uuid(uuid) => Self::Uuid(uuid.to_string()),
            Value::Jsonb(text) => Self::Jsonb(text),
            Value::Decimal(number) => Self::Decimal(number.into_text()),
            Value::RangeInt32(range) => Self::RangeInt32(bounds(range, std::convert::identity)),
            Value::RangeInt64(range) => Self::RangeInt64(bounds(range, std::convert::identity)),
            Value::RangeDecimal(range) => Self::RangeDecimal(bounds(range, Numeric::into_text)),
            Value::ArrayInt32(all) => Self::ArrayInt32(all),
            Value::ArrayInt64(all) => Self::ArrayInt64(all),
            Value::ArrayDecimal(all) => {
                Self::ArrayDecimal(all.into_iter().map(|number| number.map(Numeric::into_text)).collect())
            }
            Value::ArrayStr(all) => Self::ArrayStr(all),
            Value::Interval(Interval { micros, days, months }) => Self::Interval(v4::Interval { micros, days, months }),
            Value::Null => Self::DbNull,
            Value::Unsupported(bytes) => Self::Unsupported(bytes),
        }
    }
}

/// What this version does not know is unsupported in it, as in Spin.
impl From<Value> for v3::DbValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Boolean(yes) => Self::Boolean(yes),
            Value::Int8(number) => Self::Int8(number),
            Value::Int16(number) => Self::Int16(number),
            Value::Int32(number) => Self::Int32(number),
            Value::Int64(number) => Self::Int64(number),
            Value::Floating32(number) => Self::Floating32(number),
            Value::Floating64(number) => Self::Floating64(number),
            Value::Str(text) => Self::Str(text),
            Value::Binary(bytes) => Self::Binary(bytes),
            Value::Date(date) => Self::Date(day(date)),
            Value::Time(time) => Self::Time((time.hour, time.minute, time.second, time.nanosecond)),
            Value::Datetime(date, time) => Self::Datetime(instant(date, time)),
            Value::Timestamp(seconds) => Self::Timestamp(seconds),
            Value::Null => Self::DbNull,
            _ => Self::Unsupported,
        }
    }
}

impl From<DataType> for v4::DbDataType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Floating32 => Self::Floating32,
            DataType::Floating64 => Self::Floating64,
            DataType::Str => Self::Str,
            DataType::Binary => Self::Binary,
            DataType::Date => Self::Date,
            DataType::Time => Self::Time,
            DataType::Datetime => Self::Datetime,
            DataType::Uuid => Self::Uuid,
            DataType::Jsonb => Self::Jsonb,
            DataType::Decimal => Self::Decimal,
            DataType::RangeInt32 => Self::RangeInt32,
            DataType::RangeInt64 => Self::RangeInt64,
            DataType::RangeDecimal => Self::RangeDecimal,
            DataType::ArrayInt32 => Self::ArrayInt32,
            DataType::ArrayInt64 => Self::ArrayInt64,
            DataType::ArrayDecimal => Self::ArrayDecimal,
            DataType::ArrayStr => Self::ArrayStr,
            DataType::Interval => Self::Interval,
            DataType::Other(name) => Self::Other(name),
        }
    }
}

impl From<DataType> for v3::DbDataType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Floating32 => Self::Floating32,
            DataType::Floating64 => Self::Floating64,
            DataType::Str => Self::Str,
            DataType::Binary => Self::Binary,
            DataType::Date => Self::Date,
            DataType::Time => Self::Time,
            DataType::Datetime => Self::Datetime,
            _ => Self::Other,
        }
    }
}

macro_rules! results {
    ($($wit:tt)+) => {
        impl From<Column> for $($wit)+::Column {
            fn from(column: Column) -> Self {
                Self { name: column.name, data_type: column.data_type.into() }
            }
        }

        impl From<Found> for $($wit)+::RowSet {
            fn from(found: Found) -> Self {
                let values = |row: Row| row.into_iter().map(Into::into).collect();
                let columns = found.columns.into_iter().map(Into::into).collect();
                Self { columns, rows: found.rows.into_iter().map(values).collect() }
            }
        }
    };
}

results!(v3);
results!(v4);
results!(super::v1_wit::fermyon::spin::rdbms_types);
results!(super::v2_wit::fermyon::spin::rdbms_types);

/// Errors that are texts.
macro_rules! errors {
    ($error:ty) => {
        impl From<Failure> for $error {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::ConnectionFailed(text) => Self::ConnectionFailed(text),
                    Failure::BadParameter(text) => Self::BadParameter(text),
                    Failure::QueryFailed { text, .. } => Self::QueryFailed(text),
                    Failure::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
                    Failure::Other(text) => Self::Other(text),
                }
            }
        }
    };
}

errors!(v3::Error);
errors!(super::v2_wit::fermyon::spin::rdbms_types::Error);

impl From<Failure> for v4::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::ConnectionFailed(text) => Self::ConnectionFailed(text),
            Failure::BadParameter(text) => Self::BadParameter(text),
            Failure::QueryFailed { text, details: None } => Self::QueryFailed(v4::QueryError::Text(text)),
            Failure::QueryFailed { text, details: Some(details) } => {
                let Details { severity, code, message, detail, extras } = *details;
                let error = v4::DbError { as_text: text, severity, code, message, detail, extras };
                Self::QueryFailed(v4::QueryError::DbError(error))
            }
            Failure::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
            Failure::Other(text) => Self::Other(text),
        }
    }
}
