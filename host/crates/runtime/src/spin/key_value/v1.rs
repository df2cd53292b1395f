//! `fermyon:spin/key-value`, without a version: handles are numbers, and a key that is not there is an error.

use super::v1_wit::fermyon::spin::key_value::{Error, Host};
use super::{Failure, OpenStore, Operation};
use crate::spin::Spin;
use wasmtime::component::Resource;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TableFull => Self::StoreTableFull,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Other(message) => Self::Io(message),
        }
    }
}

impl Spin {
    /// The guest makes the number up, so it may be none of ours.
    fn numbered(&self, store: u32) -> Result<Operation, Error> {
        self.operation(&Resource::new_borrow(store)).or(Err(Error::InvalidStore))
    }
}

impl Host for Spin {
    async fn open(&mut self, name: String) -> Result<u32, Error> {
        Ok(self.open_store(&name)?.rep())
    }

    async fn get(&mut self, store: u32, key: String) -> Result<Vec<u8>, Error> {
        self.numbered(store)?.get(key).await?.ok_or(Error::NoSuchKey)
    }

    async fn set(&mut self, store: u32, key: String, value: Vec<u8>) -> Result<(), Error> {
        Ok(self.numbered(store)?.set(key, value).await?)
    }

    async fn delete(&mut self, store: u32, key: String) -> Result<(), Error> {
        Ok(self.numbered(store)?.delete(key).await?)
    }

    async fn exists(&mut self, store: u32, key: String) -> Result<bool, Error> {
        Ok(self.numbered(store)?.exists(key).await?)
    }

    async fn get_keys(&mut self, store: u32) -> Result<Vec<String>, Error> {
        Ok(self.numbered(store)?.keys().await?)
    }

    async fn close(&mut self, store: u32) {
        // Closing what is not open has no effect.
        let _ = self.close_store(Resource::<OpenStore>::new_own(store));
    }
}
