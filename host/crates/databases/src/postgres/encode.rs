//! From parameters to what a PostgreSQL server reads.

use super::numeric::Numeric;
use super::time;
use super::value::{Bound, Range, Value};
use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, WrongType};

type Encoded = Result<IsNull, Box<dyn Error + Sync + Send>>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Boolean(yes) => out.put_u8((*yes).into()),
            Self::Int8(number) => out.put_i8(*number),
            Self::Int16(number) => out.put_i16(*number),
            Self::Int32(number) => out.put_i32(*number),
            Self::Int64(number) => out.put_i64(*number),
            Self::Floating32(number) => out.put_f32(*number),
            Self::Floating64(number) => out.put_f64(*number),
            Self::Str(text) => out.put_slice(text.as_bytes()),
            Self::Binary(bytes) | Self::Unsupported(bytes) => out.put_slice(bytes),
            Self::Date(date) => out.put_i32(i32::try_from(date.days())?),
            Self::Time(time) => out.put_i64(time.micros()),
            Self::Datetime(date, time) => out.put_i64(time::instant(*date, *time)),
            Self::Timestamp(seconds) => out.put_i64(time::unix(*seconds)?),
            Self::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
            Self::Jsonb(text) => {
                if *ty == Type::JSONB {
                    // The version of the format.
                    out.put_u8(1);
                }
                out.put_slice(text);
            }
            Self::Decimal(number) => number.encode(out),
            Self::RangeInt32(range) => put_range(range, out, |number, out| out.put_i32(*number))?,
            Self::RangeInt64(range) => put_range(range, out, |number, out| out.put_i64(*number))?,
            Self::RangeDecimal(range) => put_range(range, out, Numeric::encode)?,
            Self::ArrayInt32(all) => put_array(all, ty, out, |number, out| out.put_i32(*number))?,
            Self::ArrayInt64(all) => put_array(all, ty, out, |number, out| out.put_i64(*number))?,
            Self::ArrayDecimal(all) => put_array(all, ty, out, Numeric::encode)?,
            Self::ArrayStr(all) => put_array(all, ty, out, |text, out| out.put_slice(text.as_bytes()))?,
            Self::Interval(interval) => {
                out.put_i64(interval.micros);
                out.put_i32(interval.days);
                out.put_i32(interval.months);
            }
        }
        Ok(IsNull::No)
    }

    /// It depends on the value.
    fn accepts(_ty: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        if self.fits(ty) { self.to_sql(ty, out) } else { Err(Box::new(WrongType::new::<Self>(ty.clone()))) }
    }
}

impl Value {
    /// Whether a parameter of the statement, of this type, can have it.
    fn fits(&self, ty: &Type) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(_) => *ty == Type::BOOL,
            Self::Int8(_) => *ty == Type::CHAR,
            Self::Int16(_) => *ty == Type::INT2,
            Self::Int32(_) => *ty == Type::INT4,
            Self::Int64(_) => *ty == Type::INT8,
            Self::Floating32(_) => *ty == Type::FLOAT4,
            Self::Floating64(_) => *ty == Type::FLOAT8,
            Self::Str(_) => is_text(ty),
            Self::Binary(_) => *ty == Type::BYTEA,
            Self::Date(_) => *ty == Type::DATE,
            Self::Time(_) => *ty == Type::TIME,
            Self::Datetime(..) => matches!(*ty, Type::TIMESTAMP | Type::TIMESTAMPTZ),
            Self::Timestamp(_) => *ty == Type::TIMESTAMPTZ,
            Self::Uuid(_) => *ty == Type::UUID,
            Self::Jsonb(_) => matches!(*ty, Type::JSON | Type::JSONB),
            Self::Decimal(_) => *ty == Type::NUMERIC,
            Self::RangeInt32(_) => *ty == Type::INT4_RANGE,
            Self::RangeInt64(_) => *ty == Type::INT8_RANGE,
            Self::RangeDecimal(_) => *ty == Type::NUM_RANGE,
            Self::ArrayInt32(_) => *ty == Type::INT4_ARRAY,
            Self::ArrayInt64(_) => *ty == Type::INT8_ARRAY,
            Self::ArrayDecimal(_) => *ty == Type::NUMERIC_ARRAY,
            Self::ArrayStr(_) => matches!(ty.kind(), Kind::Array(element) if is_text(element)),
            Self::Interval(_) => *ty == Type::INTERVAL,
            Self::Unsupported(_) => false,
        }
    }
}

fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::VARCHAR | Type::TEXT | Type::BPCHAR | Type::NAME | Type::UNKNOWN) || ty.name() == "citext"
}

/// What is put, after its length.
fn put_counted(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) -> Result<(), Box<dyn Error + Sync + Send>> {
    let mut inner = BytesMut::new();
    put(&mut inner);
    out.put_i32(i32::try_from(inner.len())?);
    out.put_slice(&inner);
    Ok(())
}

fn put_range<T>(
    range: &Range<T>,
    out: &mut BytesMut,
    put: impl Fn(&T, &mut BytesMut),
) -> Result<(), Box<dyn Error + Sync + Send>> {
    let flags = |bound: &Bound<T>, infinite, inclusive| match bound {
        None => infinite,
        Some((_, true)) => inclusive,
        Some((_, false)) => 0,
    };
    out.put_u8(flags(&range.lower, 0x08, 0x02) | flags(&range.upper, 0x10, 0x04));
    for (value, _) in [&range.lower, &range.upper].into_iter().flatten() {
        put_counted(out, |inner| put(value, inner))?;
    }
    Ok(())
}

fn put_array<T>(
    all: &[Option<T>],
    ty: &Type,
    out: &mut BytesMut,
    put: impl Fn(&T, &mut BytesMut),
) -> Result<(), Box<dyn Error + Sync + Send>> {
    let Kind::Array(element) = ty.kind() else { return Err(Box::new(WrongType::new::<Value>(ty.clone()))) };
    out.put_i32(1);
    out.put_i32(all.iter().any(Option::is_none).into());
    out.put_u32(element.oid());
    out.put_i32(i32::try_from(all.len())?);
    // The number of the first element.
    out.put_i32(1);
    for value in all {
        match value {
            Some(value) => put_counted(out, |inner| put(value, inner))?,
            None => out.put_i32(-1),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::value::Interval;
    use super::super::{Date, Numeric, Time, decode};
    use super::*;

    #[test]
    fn what_is_sent_is_read_the_same() {
        let number = |text: &str| Numeric::parse(text).unwrap();
        let (date, time) = (Date::new(1999, 12, 31).unwrap(), Time::new(1, 2, 3, 4000).unwrap());
        for (value, ty) in [
            (Value::Boolean(true), Type::BOOL),
            (Value::Int16(-2), Type::INT2),
            (Value::Int32(-4), Type::INT4),
            (Value::Int64(i64::MIN), Type::INT8),
            (Value::Floating32(1.5), Type::FLOAT4),
            (Value::Floating64(-0.1), Type::FLOAT8),
            (Value::Str("ä".into()), Type::VARCHAR),
            (Value::Binary(vec![0, 255]), Type::BYTEA),
            (Value::Date(date), Type::DATE),
            (Value::Time(time), Type::TIME),
            (Value::Datetime(date, time), Type::TIMESTAMP),
            (Value::uuid("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap(), Type::UUID),
            (Value::jsonb(b"{\"a\": [1]}".to_vec()).unwrap(), Type::JSONB),
            (Value::Decimal(number("-12.50")), Type::NUMERIC),
            (Value::RangeInt32(Range { lower: Some((1, true)), upper: Some((5, false)) }), Type::INT4_RANGE),
            (Value::RangeInt64(Range { lower: None, upper: Some((5, true)) }), Type::INT8_RANGE),
            (Value::RangeDecimal(Range { lower: Some((number("1.5"), false)), upper: None }), Type::NUM_RANGE),
            (Value::ArrayInt32(vec![Some(1), None]), Type::INT4_ARRAY),
            (Value::ArrayInt64(Vec::new()), Type::INT8_ARRAY),
            (Value::ArrayDecimal(vec![None, Some(number("0.1"))]), Type::NUMERIC_ARRAY),
            (Value::ArrayStr(vec![Some("a".into()), None, Some(String::new())]), Type::TEXT_ARRAY),
            (Value::Interval(Interval { micros: -1, days: 2, months: -3 }), Type::INTERVAL),
        ] {
            let mut bytes = BytesMut::new();
            assert!(matches!(value.to_sql_checked(&ty, &mut bytes), Ok(IsNull::No)), "{ty}");
            assert_eq!(decode::value(&ty, &bytes), Ok(value), "{ty}");
        }
    }

    #[test]
    fn a_parameter_of_another_type_is_refused_and_null_is_of_every_type() {
        let mut bytes = BytesMut::new();
        assert!(Value::Int32(1).to_sql_checked(&Type::INT8, &mut bytes).is_err());
        assert!(Value::Str("1".into()).to_sql_checked(&Type::INT4, &mut bytes).is_err());
        assert!(matches!(Value::Null.to_sql_checked(&Type::POINT, &mut bytes), Ok(IsNull::Yes)));
    }
}
