//! Key-value stores: `fermyon:spin/key-value`, without a version and `@2.0.0`, `spin:key-value@3.0.0`, and
//! `wasi:keyvalue@0.2.0-draft2`.
//!
//! A component opens the stores whose labels it is granted. What an operation makes the host hold counts against the
//! request's account, and what waits ends with the request's time.

mod bindings;
mod v1;
mod v2;
mod v3;
mod wasi;
mod wasi_atomics;

use super::batches::Batches;
use super::network::{TimeOver, in_time};
use super::{HasSpin, Spin, spin};
use crate::state::State;
use bindings::{v1 as v1_wit, v2 as v2_wit, v3 as v3_wit, wasi as wasi_wit};
use bobbin_inference::{Charge, OverAccount, RequestContext};
use bobbin_stores::key_value::{Cursor, Page, Store, StoreError};
use futures::stream::{StreamExt, TryStreamExt, try_unfold};
use std::future::ready;
use std::sync::Arc;
pub use wasi_atomics::OpenCas;
use wasmtime::component::{Linker, Resource};

/// What a handle, and an operation, cost the host besides their contents.
const ENTRY_BYTES: u64 = 1024;
/// What an entry of a list costs besides its contents.
const PAIR_BYTES: usize = 64;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v1_wit::fermyon::spin::key_value::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::key_value::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::key_value::key_value::add_to_linker::<State, HasSpin>(linker, spin)?;
    wasi_wit::wasi::keyvalue::store::add_to_linker::<State, HasSpin>(linker, spin)?;
    wasi_wit::wasi::keyvalue::batch::add_to_linker::<State, HasSpin>(linker, spin)?;
    wasi_wit::wasi::keyvalue::atomics::add_to_linker::<State, HasSpin>(linker, spin)
}

/// A store that a guest has opened.
pub struct OpenStore {
    store: Arc<dyn Store>,
    _charge: Charge,
}

/// Why an operation failed; each interface has its own error of the same name.
#[derive(Debug)]
enum Failure {
    TableFull,
    AccessDenied,
    Other(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            // Whoever reads the log can do something about these; the guest can about the others.
            StoreError::Full
            | StoreError::Sqlite(_)
            | StoreError::Redis(_)
            | StoreError::Unexpected(_)
            | StoreError::NoText => {
                tracing::warn!("key-value store: {error}");
            }
            StoreError::OverAccount(_) | StoreError::NoNumber | StoreError::Overflow | StoreError::Stopping => {}
        }
        Self::Other(error.to_string())
    }
}

impl From<TimeOver> for Failure {
    fn from(error: TimeOver) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<OverAccount> for Failure {
    fn from(error: OverAccount) -> Self {
        Self::Other(error.to_string())
    }
}

/// A store and the request that uses it: what an operation needs when it waits outside of wasmtime's store.
#[derive(Clone)]
struct Operation {
    store: Arc<dyn Store>,
    context: Arc<RequestContext>,
}

impl Spin {
    /// Opens a store that the component is granted. Whether another one exists is nobody's business.
    fn open_store(&mut self, label: &str) -> Result<Resource<OpenStore>, Failure> {
        let store = Arc::clone(self.kept.stores.get(label).ok_or(Failure::AccessDenied)?);
        let charge = self.context.account.charge(ENTRY_BYTES).or(Err(Failure::TableFull))?;
        self.table.push(OpenStore { store, _charge: charge }).or(Err(Failure::TableFull))
    }

    fn operation(&self, store: &Resource<OpenStore>) -> wasmtime::Result<Operation> {
        let store = Arc::clone(&self.table.get(store)?.store);
        Ok(Operation { store, context: Arc::clone(&self.context) })
    }

    fn close_store(&mut self, store: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl Operation {
    /// Waits for work with so many bytes of the guest's, at most until the request's time is over.
    async fn bounded<T>(&self, bytes: usize, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
        let _charge = self.context.account.charge(ENTRY_BYTES.saturating_add(bytes as u64))?;
        in_time(&self.context, async { Ok(work.await?) }).await
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        let found = self.bounded(key.len(), self.store.get(key, &self.context.account)).await?;
        Ok(found.map(|found| found.value))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        self.bounded(key.len().saturating_add(value.len()), self.store.set(key, value)).await
    }

    async fn delete(&self, key: String) -> Result<(), Failure> {
        self.bounded(key.len(), self.store.delete(key)).await
    }

    async fn exists(&self, key: String) -> Result<bool, Failure> {
        self.bounded(key.len(), self.store.exists(key)).await
    }

    async fn page(&self, from: Option<Cursor>) -> Result<Page, Failure> {
        self.bounded(0, self.store.keys(from, &self.context.account)).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>, Failure> {
        let bytes = keys.iter().map(|key| key.len() + PAIR_BYTES).sum();
        let found = self.bounded(bytes, self.store.get_many(keys, &self.context.account)).await?;
        Ok(found.into_iter().map(|(key, value)| (key, value.map(|value| value.value))).collect())
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len() + PAIR_BYTES).sum();
        self.bounded(bytes, self.store.set_many(pairs)).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Failure> {
        let bytes = keys.iter().map(|key| key.len() + PAIR_BYTES).sum();
        self.bounded(bytes, self.store.delete_many(keys)).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, Failure> {
        self.bounded(key.len(), self.store.increment(key, delta)).await
    }

    async fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Result<bool, Failure> {
        self.bounded(key.len().saturating_add(new.len()), self.store.swap(key, old, new)).await
    }

    /// All keys, page by page, as fast as they are asked for.
    fn pages<E: From<Failure> + 'static>(self) -> Batches<String, E> {
        let pages = try_unfold((self, Some(None)), async |(operation, next): (Self, Option<Option<Cursor>>)| {
            let Some(from) = next else { return Ok(None) };
            let page = operation.page(from).await?;
            Ok(Some((page.keys.into_parts(), (operation, page.next.map(Some)))))
        });
        pages.try_filter(|(keys, _charge)| ready(!keys.is_empty())).map_err(|failure: Failure| failure.into()).boxed()
    }

    /// All keys, as many as fit into the request's account.
    async fn keys(&self) -> Result<Vec<String>, Failure> {
        let (mut keys, mut charges, mut from) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.page(from).await?;
            let (more, charge) = page.keys.into_parts();
            keys.extend(more);
            charges.push(charge);
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        // Some stores tell a key twice where others write meanwhile.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}
