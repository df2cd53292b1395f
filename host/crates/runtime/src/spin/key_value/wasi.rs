//! `wasi:keyvalue@0.2.0-draft2`: store and batch. A bucket is a store of Spin's.

use super::wasi_wit::wasi::keyvalue::batch;
use super::wasi_wit::wasi::keyvalue::store::{Error, Host, HostBucket, KeyResponse};
use super::{Failure, OpenStore};
use crate::spin::Spin;
use wasmtime::component::Resource;

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TableFull => Self::Other("too many stores are open; close some first".into()),
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Other(message) => Self::Other(message),
        }
    }
}

pub(super) type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Spin {
    async fn open(&mut self, identifier: String) -> Answer<Resource<OpenStore>> {
        Ok(self.open_store(&identifier).map_err(Error::from))
    }
}

impl HostBucket for Spin {
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

    /// All keys at once and no cursor, as in Spin: its components do not ask for a second page.
    async fn list_keys(&mut self, this: Resource<OpenStore>, cursor: Option<String>) -> Answer<KeyResponse> {
        if cursor.is_some() {
            return Ok(Err(Error::Other("there are no cursors: every list is complete".into())));
        }
        let keys = self.operation(&this)?.keys().await;
        Ok(keys.map(|keys| KeyResponse { keys, cursor: None }).map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close_store(this)
    }
}

/// A key with its value, if it has one.
type Pair = (String, Option<Vec<u8>>);

impl batch::Host for Spin {
    async fn get_many(&mut self, bucket: Resource<OpenStore>, keys: Vec<String>) -> Answer<Vec<Pair>> {
        Ok(self.operation(&bucket)?.get_many(keys).await.map_err(Error::from))
    }

    async fn set_many(&mut self, bucket: Resource<OpenStore>, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        Ok(self.operation(&bucket)?.set_many(pairs).await.map_err(Error::from))
    }

    async fn delete_many(&mut self, bucket: Resource<OpenStore>, keys: Vec<String>) -> Answer<()> {
        Ok(self.operation(&bucket)?.delete_many(keys).await.map_err(Error::from))
    }
}
