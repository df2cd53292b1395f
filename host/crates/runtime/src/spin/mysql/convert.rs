//! Between the values of `bobbin-databases` and those of the interfaces, which are the same in all of them; the bindings
//! generate them anew for each version.

use super::{Failure, Found};
use bobbin_databases::mysql::{Column, DataType, Row, Value};

macro_rules! convert {
    ($($wit:tt)+) => {
        const _: () = {
            use $($wit)+ as wit;

            impl From<wit::ParameterValue> for Value {
                fn from(value: wit::ParameterValue) -> Self {
                    match value {
                        wit::ParameterValue::Boolean(yes) => Self::Boolean(yes),
                        wit::ParameterValue::Int8(number) => Self::Int8(number),
                        wit::ParameterValue::Int16(number) => Self::Int16(number),
                        wit::ParameterValue::Int32(number) => Self::Int32(number),
                        wit::ParameterValue::Int64(number) => Self::Int64(number),
                        wit::ParameterValue::Uint8(number) => Self::Uint8(number),
                        wit::ParameterValue::Uint16(number) => Self::Uint16(number),
                        wit::ParameterValue::Uint32(number) => Self::Uint32(number),
                        wit::ParameterValue::Uint64(number) => Self::Uint64(number),
                        wit::ParameterValue::Floating32(number) => Self::Floating32(number),
                        wit::ParameterValue::Floating64(number) => Self::Floating64(number),
                        wit::ParameterValue::Str(text) => Self::Str(text),
                        wit::ParameterValue::Binary(bytes) => Self::Binary(bytes),
                        wit::ParameterValue::DbNull => Self::Null,
                    }
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
                        Value::Uint8(number) => Self::Uint8(number),
                        Value::Uint16(number) => Self::Uint16(number),
                        Value::Uint32(number) => Self::Uint32(number),
                        Value::Uint64(number) => Self::Uint64(number),
                        Value::Floating32(number) => Self::Floating32(number),
                        Value::Floating64(number) => Self::Floating64(number),
                        Value::Str(text) => Self::Str(text),
                        Value::Binary(bytes) => Self::Binary(bytes),
                        Value::Null => Self::DbNull,
                    }
                }
            }

            impl From<DataType> for wit::DbDataType {
                fn from(data_type: DataType) -> Self {
                    match data_type {
                        DataType::Int8 => Self::Int8,
                        DataType::Int16 => Self::Int16,
                        DataType::Int32 => Self::Int32,
                        DataType::Int64 => Self::Int64,
                        DataType::Uint8 => Self::Uint8,
                        DataType::Uint16 => Self::Uint16,
                        DataType::Uint32 => Self::Uint32,
                        DataType::Uint64 => Self::Uint64,
                        DataType::Floating32 => Self::Floating32,
                        DataType::Floating64 => Self::Floating64,
                        DataType::Str => Self::Str,
                        DataType::Binary => Self::Binary,
                        DataType::Other => Self::Other,
                    }
                }
            }

            impl From<Column> for wit::Column {
                fn from(column: Column) -> Self {
                    Self { name: column.name, data_type: column.data_type.into() }
                }
            }
        };
    };
}

convert!(super::v1_wit::fermyon::spin::rdbms_types);
convert!(super::v2_wit::fermyon::spin::rdbms_types);
convert!(super::v3_wit::spin::mysql::mysql);

macro_rules! rows {
    ($row_set:ty) => {
        impl From<Found> for $row_set {
            fn from(found: Found) -> Self {
                let values = |row: Row| row.into_iter().map(Into::into).collect();
                let columns = found.columns.into_iter().map(Into::into).collect();
                Self { columns, rows: found.rows.into_iter().map(values).collect() }
            }
        }
    };
}

rows!(super::v1_wit::fermyon::spin::rdbms_types::RowSet);
rows!(super::v2_wit::fermyon::spin::rdbms_types::RowSet);

macro_rules! errors {
    ($error:ty, $other:ident) => {
        impl From<Failure> for $error {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::ConnectionFailed(text) => Self::ConnectionFailed(text),
                    Failure::QueryFailed(text) => Self::QueryFailed(text),
                    Failure::ValueConversionFailed(text) => Self::ValueConversionFailed(text),
                    Failure::Other(text) => Self::$other(text),
                }
            }
        }
    };
}

errors!(super::v1_wit::fermyon::spin::mysql::MysqlError, OtherError);
errors!(super::v2_wit::fermyon::spin::rdbms_types::Error, Other);
errors!(super::v3_wit::spin::mysql::mysql::Error, Other);
