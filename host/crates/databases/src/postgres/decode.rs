//! From what a PostgreSQL server sends to values.

use super::value::{Column, DataType, Interval, Range, Value};
use super::{Date, Numeric, Time, ValueError, time};
use tokio_postgres::types::{FromSql, Type};
use uuid::Uuid;

/// What a value, or an element of an array, takes at most besides its bytes.
const VALUE_BYTES: usize = size_of::<Value>();

/// A value as the server sent it.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }
}

pub(super) fn column(column: &tokio_postgres::Column) -> Column {
    Column { name: column.name().to_owned(), data_type: data_type(column.type_()) }
}

fn data_type(ty: &Type) -> DataType {
    match *ty {
        Type::BOOL => DataType::Boolean,
        Type::BYTEA => DataType::Binary,
        Type::FLOAT4 => DataType::Floating32,
        Type::FLOAT8 => DataType::Floating64,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DataType::Datetime,
        Type::DATE => DataType::Date,
        Type::TIME => DataType::Time,
        Type::UUID => DataType::Uuid,
        Type::JSONB => DataType::Jsonb,
        Type::NUMERIC => DataType::Decimal,
        Type::INT4_RANGE => DataType::RangeInt32,
        Type::INT8_RANGE => DataType::RangeInt64,
        Type::NUM_RANGE => DataType::RangeDecimal,
        Type::INT4_ARRAY => DataType::ArrayInt32,
        Type::INT8_ARRAY => DataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DataType::ArrayStr,
        Type::INTERVAL => DataType::Interval,
        _ => DataType::Other(ty.name().to_owned()),
    }
}

/// What a value takes at most when it is decoded, known before it is.
pub(super) fn bytes(ty: &Type, raw: &[u8]) -> usize {
    let numbers = |raw: &[u8]| match elements(raw) {
        Ok(elements) => elements.into_iter().flatten().map(|raw| VALUE_BYTES + Numeric::text_bytes(raw)).sum(),
        Err(_malformed) => 0,
    };
    let more = match *ty {
        Type::NUMERIC => Numeric::text_bytes(raw),
        Type::NUM_RANGE => bounds(raw).map_or(0, |range| {
            let bound = |bound: Option<(&[u8], bool)>| bound.map_or(0, |(raw, _)| Numeric::text_bytes(raw));
            bound(range.lower) + bound(range.upper)
        }),
        Type::NUMERIC_ARRAY => raw.len() * 8 + numbers(raw),
        // An element of four bytes length without content is one of a pointer, a length and a capacity.
        Type::INT4_ARRAY | Type::INT8_ARRAY | Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => {
            raw.len() * 8
        }
        _ => raw.len(),
    };
    VALUE_BYTES + more
}

/// A value of this type.
pub(super) fn value(ty: &Type, raw: &[u8]) -> Result<Value, ValueError> {
    Ok(match *ty {
        Type::BOOL => Value::Boolean(fixed::<1>(raw, "bool")? != [0]),
        Type::BYTEA => Value::Binary(raw.to_vec()),
        Type::FLOAT4 => Value::Floating32(f32::from_be_bytes(fixed(raw, "float4")?)),
        Type::FLOAT8 => Value::Floating64(f64::from_be_bytes(fixed(raw, "float8")?)),
        Type::INT2 => Value::Int16(i16::from_be_bytes(fixed(raw, "int2")?)),
        Type::INT4 => Value::Int32(int4(raw)?),
        Type::INT8 => Value::Int64(int8(raw)?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => Value::Str(text(raw)?),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let (date, time) = time::from_instant(int8(raw)?)?;
            Value::Datetime(date, time)
        }
        Type::DATE => match int4(raw)? {
            i32::MAX => return Err(ValueError::NoDate("infinity")),
            i32::MIN => return Err(ValueError::NoDate("-infinity")),
            days => Value::Date(Date::from_days(days.into())?),
        },
        Type::TIME => Value::Time(Time::from_micros(int8(raw)?)?),
        Type::UUID => Value::Uuid(Uuid::from_bytes(fixed(raw, "uuid")?)),
        Type::JSONB => match raw.split_first() {
            Some((1, text)) => Value::Jsonb(text.to_vec()),
            _ => return Err(ValueError::Malformed("jsonb")),
        },
        Type::NUMERIC => Value::Decimal(Numeric::decode(raw)?),
        Type::INT4_RANGE => Value::RangeInt32(range(raw, int4)?),
        Type::INT8_RANGE => Value::RangeInt64(range(raw, int8)?),
        Type::NUM_RANGE => Value::RangeDecimal(range(raw, Numeric::decode)?),
        Type::INT4_ARRAY => Value::ArrayInt32(array(raw, int4)?),
        Type::INT8_ARRAY => Value::ArrayInt64(array(raw, int8)?),
        Type::NUMERIC_ARRAY => Value::ArrayDecimal(array(raw, Numeric::decode)?),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => Value::ArrayStr(array(raw, text)?),
        Type::INTERVAL => interval(raw)?,
        _ => Value::Unsupported(raw.to_vec()),
    })
}

fn fixed<const N: usize>(raw: &[u8], what: &'static str) -> Result<[u8; N], ValueError> {
    raw.try_into().or(Err(ValueError::Malformed(what)))
}

fn int4(raw: &[u8]) -> Result<i32, ValueError> {
    fixed(raw, "int4").map(i32::from_be_bytes)
}

fn int8(raw: &[u8]) -> Result<i64, ValueError> {
    fixed(raw, "int8").map(i64::from_be_bytes)
}

fn text(raw: &[u8]) -> Result<String, ValueError> {
    String::from_utf8(raw.to_vec()).or(Err(ValueError::Malformed("text in UTF-8")))
}

fn interval(raw: &[u8]) -> Result<Value, ValueError> {
    let whole: [u8; 16] = fixed(raw, "interval")?;
    let [micros @ .., _, _, _, _, _, _, _, _] = whole;
    let [_, _, _, _, _, _, _, _, d0, d1, d2, d3, m0, m1, m2, m3] = whole;
    let (days, months) = (i32::from_be_bytes([d0, d1, d2, d3]), i32::from_be_bytes([m0, m1, m2, m3]));
    Ok(Value::Interval(Interval { micros: i64::from_be_bytes(micros), days, months }))
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], ValueError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ValueError::Malformed(what))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, what: &'static str) -> Result<i32, ValueError> {
        fixed(self.take(4, what)?, what).map(i32::from_be_bytes)
    }

    /// What follows its length, or nothing where that is negative.
    fn counted(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, ValueError> {
        match usize::try_from(self.number(what)?) {
            Ok(length) => self.take(length, what).map(Some),
            Err(_negative) => Ok(None),
        }
    }
}

/// The bounds of a range. An empty one has none, as in Spin.
fn bounds(raw: &[u8]) -> Result<Range<&[u8]>, ValueError> {
    const WHAT: &str = "range";
    let mut reader = Reader(raw);
    let [flags]: [u8; 1] = fixed(reader.take(1, WHAT)?, WHAT)?;
    let is = |flag: u8| flags & flag != 0;
    let mut bound = |infinite: u8, inclusive: u8| -> Result<_, ValueError> {
        if is(0x01) || is(infinite) {
            return Ok(None);
        }
        let value = reader.counted(WHAT)?.ok_or(ValueError::Malformed(WHAT))?;
        Ok(Some((value, is(inclusive))))
    };
    Ok(Range { lower: bound(0x08, 0x02)?, upper: bound(0x10, 0x04)? })
}

fn range<T>(raw: &[u8], decode: impl Fn(&[u8]) -> Result<T, ValueError>) -> Result<Range<T>, ValueError> {
    let Range { lower, upper } = bounds(raw)?;
    let bound = |bound: Option<(&[u8], bool)>| -> Result<_, ValueError> {
        bound.map(|(raw, inclusive)| Ok((decode(raw)?, inclusive))).transpose()
    };
    Ok(Range { lower: bound(lower)?, upper: bound(upper)? })
}

/// The elements of an array with one dimension, or with none where it is empty.
fn elements(raw: &[u8]) -> Result<Vec<Option<&[u8]>>, ValueError> {
    const WHAT: &str = "array of one dimension";
    let mut reader = Reader(raw);
    let dimensions = reader.number(WHAT)?;
    let (_has_null, _element) = (reader.number(WHAT)?, reader.number(WHAT)?);
    match dimensions {
        0 => return Ok(Vec::new()),
        1 => {}
        _ => return Err(ValueError::Malformed(WHAT)),
    }
    let (length, _first) = (reader.number(WHAT)?, reader.number(WHAT)?);
    let mut elements = Vec::new();
    for _ in 0..length {
        elements.push(reader.counted(WHAT)?);
    }
    Ok(elements)
}

fn array<T>(raw: &[u8], decode: impl Fn(&[u8]) -> Result<T, ValueError>) -> Result<Vec<Option<T>>, ValueError> {
    elements(raw)?.into_iter().map(|element| element.map(&decode).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_that_are_none_say_so() {
        for (ty, raw) in [
            (Type::INT4, &[0][..]),
            (Type::TEXT, &[0xff]),
            (Type::JSONB, &[2, b'1']),
            (Type::UUID, &[0; 15]),
            (Type::TIME, &[0xff; 8]),
            (Type::INTERVAL, &[0; 15]),
            (Type::INT4_RANGE, &[0, 0, 0, 0, 9]),
            (Type::INT4_ARRAY, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 23]),
        ] {
            assert!(matches!(value(&ty, raw), Err(ValueError::Malformed(_))), "{ty}");
        }
        assert!(matches!(value(&Type::DATE, &i32::MAX.to_be_bytes()), Err(ValueError::NoDate("infinity"))));
        assert_eq!(value(&Type::POINT, &[1, 2]), Ok(Value::Unsupported(vec![1, 2])));
    }

    #[test]
    fn few_bytes_that_stand_for_many_are_counted_before() {
        let number = [0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1];
        let mut array = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6, 0xa4, 0, 0, 0, 3, 0, 0, 0, 1];
        for _ in 0..3 {
            array.extend([0, 0, 0, 10]);
            array.extend(number);
        }
        let decoded = value(&Type::NUMERIC_ARRAY, &array).unwrap();
        assert!(decoded.bytes() > 3 * 131_000 && bytes(&Type::NUMERIC_ARRAY, &array) >= decoded.bytes());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(raw in proptest::collection::vec(0..20_u8, 0..80), which in 0..12_usize) {
            let types = [
                Type::BOOL, Type::DATE, Type::TIMESTAMP, Type::TIME, Type::JSONB, Type::NUMERIC, Type::INT4_RANGE,
                Type::NUM_RANGE, Type::INT8_ARRAY, Type::NUMERIC_ARRAY, Type::TEXT_ARRAY, Type::INTERVAL,
            ];
            if let Ok(decoded) = value(&types[which], &raw) {
                prop_assert!(bytes(&types[which], &raw) >= decoded.bytes());
            }
        }
    }
}
