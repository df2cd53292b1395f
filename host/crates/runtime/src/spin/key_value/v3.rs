//! `spin:key-value@3.0.0`: asynchronous, so one guest may have any number of operations under way.

use super::v3_wit::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};
use super::{Failure, OpenStore, Operation};
use crate::spin::batches::Producer;
use crate::spin::{HasSpin, Spin};
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TableFull => Self::StoreTableFull,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Other(message) => Self::Other(message),
        }
    }
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

fn operation<T>(accessor: &Accessor<T, HasSpin>, store: &Resource<OpenStore>) -> wasmtime::Result<Operation> {
    accessor.with(|mut access| access.get().operation(store))
}

impl Host for Spin {}

impl HostStore for Spin {
    async fn drop(&mut self, this: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(this)
    }
}

impl<T> HostStoreWithStore<T> for HasSpin {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Answer<Resource<OpenStore>> {
        Ok(accessor.with(|mut access| access.get().open_store(&label)).map_err(Error::from))
    }

    async fn get(accessor: &Accessor<T, Self>, this: Resource<OpenStore>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(operation(accessor, &this)?.get(key).await.map_err(Error::from))
    }

    async fn set(accessor: &Accessor<T, Self>, this: Resource<OpenStore>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(operation(accessor, &this)?.set(key, value).await.map_err(Error::from))
    }

    async fn delete(accessor: &Accessor<T, Self>, this: Resource<OpenStore>, key: String) -> Answer<()> {
        Ok(operation(accessor, &this)?.delete(key).await.map_err(Error::from))
    }

    async fn exists(accessor: &Accessor<T, Self>, this: Resource<OpenStore>, key: String) -> Answer<bool> {
        Ok(operation(accessor, &this)?.exists(key).await.map_err(Error::from))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        this: Resource<OpenStore>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let operation = operation(accessor, &this)?;
        let (result, ended) = oneshot::channel();
        let keys = Producer::new(operation.pages(), result);
        accessor.with(|mut access| Ok((StreamReader::new(&mut access, keys)?, FutureReader::new(&mut access, ended)?)))
    }
}
