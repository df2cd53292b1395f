//! `fermyon:spin/key-value@2.0.0`.

use super::v2_wit::fermyon::spin::key_value::{Error, Host, HostStore};
use super::{Failure, OpenStore};
use crate::spin::Spin;
use wasmtime::component::Resource;

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

impl Host for Spin {}

impl HostStore for Spin {
    async fn open(&mut self, label: String) -> Answer<Resource<OpenStore>> {
        Ok(self.open_store(&label).map_err(Error::from))
    }

    async fn get(&mut self, this: Resource<OpenStore>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.operation(&this)?.get(key).await.map_err(Error::from))
    }

    async fn set(&mut self, this: Resource<OpenStore>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.operation(&this)?.set(key, value).await.map_err(Error::from))
    }

    async fn delete(&mut self, this: Resource<OpenStore>, key: String) -> Answer<()> {
        Ok(self.operation(&this)?.delete(key).await.map_err(Error::from))
    }

    async fn exists(&mut self, this: Resource<OpenStore>, key: String) -> Answer<bool> {
        Ok(self.operation(&this)?.exists(key).await.map_err(Error::from))
    }

    async fn get_keys(&mut self, this: Resource<OpenStore>) -> Answer<Vec<String>> {
        Ok(self.operation(&this)?.keys().await.map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(this)
    }
}
