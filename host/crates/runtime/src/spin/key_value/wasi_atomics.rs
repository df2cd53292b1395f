//! `wasi:keyvalue/atomics@0.2.0-draft2`: adding to a number, and setting what nobody has changed since it was looked at.

use super::wasi::Answer;
use super::wasi_wit::wasi::keyvalue::atomics::{CasError, Host, HostCas};
use super::wasi_wit::wasi::keyvalue::store::Error;
use super::{ENTRY_BYTES, Failure, OpenStore, Operation};
use crate::spin::Spin;
use bobbin_inference::Charge;
use wasmtime::component::Resource;

/// A swap that a guest has begun: the key, and the value that it looked at last.
pub struct OpenCas {
    operation: Operation,
    key: String,
    seen: Option<Vec<u8>>,
    /// For all of it.
    charge: Charge,
}

impl OpenCas {
    /// Looks at the value.
    async fn new(operation: Operation, key: String) -> Result<Self, Failure> {
        let charge = operation.context.account.charge(ENTRY_BYTES.saturating_add(key.len() as u64))?;
        let mut cas = Self { operation, key, seen: None, charge };
        cas.look().await?;
        Ok(cas)
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let seen = self.operation.get(self.key.clone()).await?;
        let bytes = self.key.len() + seen.as_ref().map_or(0, Vec::len);
        self.charge.resize(ENTRY_BYTES.saturating_add(bytes as u64))?;
        self.seen = seen;
        Ok(())
    }
}

impl Spin {
    async fn open_cas(&mut self, operation: Operation, key: String) -> Result<Resource<OpenCas>, Failure> {
        let cas = OpenCas::new(operation, key).await?;
        self.table.push(cas).map_err(|full| Failure::Other(full.to_string()))
    }
}

impl Host for Spin {
    async fn increment(&mut self, bucket: Resource<OpenStore>, key: String, delta: i64) -> Answer<i64> {
        Ok(self.operation(&bucket)?.increment(key, delta).await.map_err(Error::from))
    }

    async fn swap(&mut self, cas: Resource<OpenCas>, value: Vec<u8>) -> wasmtime::Result<Result<(), CasError>> {
        let OpenCas { operation, key, seen, charge: _charge } = self.table.delete(cas)?;
        match operation.swap(key.clone(), seen, value).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Ok(Err(match self.open_cas(operation, key).await {
                Ok(again) => CasError::CasFailed(again),
                Err(failure) => CasError::StoreError(failure.into()),
            })),
            Err(failure) => Ok(Err(CasError::StoreError(failure.into()))),
        }
    }
}

impl HostCas for Spin {
    async fn new(&mut self, bucket: Resource<OpenStore>, key: String) -> Answer<Resource<OpenCas>> {
        let operation = self.operation(&bucket)?;
        Ok(self.open_cas(operation, key).await.map_err(Error::from))
    }

    async fn current(&mut self, this: Resource<OpenCas>) -> Answer<Option<Vec<u8>>> {
        let cas = self.table.get_mut(&this)?;
        Ok(match cas.look().await {
            Ok(()) => Ok(cas.seen.clone()),
            Err(failure) => Err(failure.into()),
        })
    }

    async fn drop(&mut self, this: Resource<OpenCas>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
