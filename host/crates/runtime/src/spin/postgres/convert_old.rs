//! Between the values of `bobbin-databases` and those of `fermyon:spin`, which serve MySQL, too: they have unsigned numbers,
//! and no dates.

use super::Failure;
use bobbin_databases::postgres::{DataType, Value, ValueError};

macro_rules! convert {
    ($($wit:tt)+) => {
        const _: () = {
            use $($wit)+ as wit;

            impl TryFrom<wit::ParameterValue> for Value {
                type Error = ValueError;

                fn try_from(value: wit::ParameterValue) -> Result<Self, ValueError> {
                    Ok(match value {
                        wit::ParameterValue::Boolean(yes) => Self::Boolean(yes),
                        wit::ParameterValue::Int8(number) => Self::Int8(number),
                        wit::ParameterValue::Int16(number) => Self::Int16(number),
                        wit::ParameterValue::Int32(number) => Self::Int32(number),
                        wit::ParameterValue::Int64(number) => Self::Int64(number),
                        wit::ParameterValue::Uint8(_)
                        | wit::ParameterValue::Uint16(_)
                        | wit::ParameterValue::Uint32(_)
                        | wit::ParameterValue::Uint64(_) => return Err(ValueError::Unsigned),
                        wit::ParameterValue::Floating32(number) => Self::Floating32(number),
                        wit::ParameterValue::Floating64(number) => Self::Floating64(number),
                        wit::ParameterValue::Str(text) => Self::Str(text),
                        wit::ParameterValue::Binary(bytes) => Self::Binary(bytes),
                        wit::ParameterValue::DbNull => Self::Null,
                    })
                }
            }

            impl From<Value> for wit::DbValue {
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
                        Value::Null => Self::DbNull,
                        _ => Self::Unsupported,
                    }
                }
            }

            impl From<DataType> for wit::DbDataType {
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
                        _ => Self::Other,
                    }
                }
            }
        };
    };
}

convert!(super::v1_wit::fermyon::spin::rdbms_types);
convert!(super::v2_wit::fermyon::spin::rdbms_types);

impl From<Failure> for super::v1_wit::fermyon::spin::postgres::PgError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::ConnectionFailed(text) => Self::ConnectionFailed(text),
            Failure::BadParameter(text) => Self::BadParameter(text),
            Failure::QueryFailed { text, .. } => Self::QueryFailed(text),
            Failure::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
            Failure::Other(text) => Self::OtherError(text),
        }
    }
}
