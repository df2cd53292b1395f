//! Between the values of `bobbin-stores` and those that the bindings generate anew for each version.

use super::{Charged, Failure, Rows, Value, v1_wit, v2_wit, v3_wit};

macro_rules! convert {
    ($($wit:tt)+) => {
        const _: () = {
            use $($wit)+ as wit;

            impl From<wit::Value> for Value {
                fn from(value: wit::Value) -> Self {
                    match value {
                        wit::Value::Integer(number) => Self::Integer(number),
                        wit::Value::Real(number) => Self::Real(number),
                        wit::Value::Text(text) => Self::Text(text),
                        wit::Value::Blob(bytes) => Self::Blob(bytes),
                        wit::Value::Null => Self::Null,
                    }
                }
            }

            impl From<Value> for wit::Value {
                fn from(value: Value) -> Self {
                    match value {
                        Value::Integer(number) => Self::Integer(number),
                        Value::Real(number) => Self::Real(number),
                        Value::Text(text) => Self::Text(text),
                        Value::Blob(bytes) => Self::Blob(bytes),
                        Value::Null => Self::Null,
                    }
                }
            }

            impl From<Vec<Value>> for wit::RowResult {
                fn from(values: Vec<Value>) -> Self {
                    Self { values: values.into_iter().map(Into::into).collect() }
                }
            }

            impl From<Charged<Rows>> for wit::QueryResult {
                fn from(rows: Charged<Rows>) -> Self {
                    let Rows { columns, rows } = rows.value;
                    Self { columns, rows: rows.into_iter().map(Into::into).collect() }
                }
            }

            impl From<Failure> for wit::Error {
                fn from(failure: Failure) -> Self {
                    match failure {
                        Failure::AccessDenied => Self::AccessDenied,
                        Failure::Full => Self::DatabaseFull,
                        Failure::Io(message) => Self::Io(message),
                    }
                }
            }
        };
    };
}

convert!(v1_wit::fermyon::spin::sqlite);
convert!(v2_wit::fermyon::spin::sqlite);
convert!(v3_wit::spin::sqlite::sqlite);

/// Parameters as a guest gave them.
pub(super) fn values<T: Into<Value>>(parameters: Vec<T>) -> Vec<Value> {
    parameters.into_iter().map(Into::into).collect()
}
