//! `spin:variables@3.0.0`: the same, asynchronous.

use super::v3_wit::spin::variables::variables::{Error, Host, HostWithStore};
use crate::spin::{HasSpin, Spin};
use bobbin_stores::variables::LookupError;
use wasmtime::component::Accessor;

impl Host for Spin {}

impl<T> HostWithStore<T> for HasSpin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        accessor.with(|mut access| {
            access.get().kept.variables.get(&name).map(str::to_owned).map_err(|error| match &error {
                LookupError::InvalidName { .. } => Error::InvalidName(error.to_string()),
                LookupError::Undefined { .. } => Error::Undefined(error.to_string()),
            })
        })
    }
}
