//! Key-value stores: what components keep under a name.

mod error;
mod redis;
mod sqlite;

pub use self::redis::{AddressError, RedisStore};
pub use error::StoreError;
pub use sqlite::{OpenError, SqliteFile, SqliteStore};

use crate::charged::Charged;
use bobbin_inference::Account;
use futures::future::BoxFuture;
use std::fmt;

/// Keys of one page.
const PAGE_KEYS: usize = 256;
/// Bytes of the keys of one page, at which it ends.
const PAGE_BYTES: usize = 64 << 10;

/// What an operation comes to, some time later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A value, or nothing, charged.
pub type Found = Option<Charged<Vec<u8>>>;

/// One store. Operations run at the same time, and each is done as a whole or not at all; what was set is seen by
/// every operation that begins after it.
pub trait Store: fmt::Debug + Send + Sync {
    /// The value under a key; it is charged to `account`.
    ///
    /// # Errors
    /// [`StoreError`], also when the value does not fit into the account.
    fn get(&self, key: String, account: &Account) -> Answer<'_, Found>;

    /// Sets the value under a key.
    ///
    /// # Errors
    /// [`StoreError`]
    fn set(&self, key: String, value: Vec<u8>) -> Answer<'_, ()>;

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// [`StoreError`]
    fn delete(&self, key: String) -> Answer<'_, ()>;

    /// Whether a key is there.
    ///
    /// # Errors
    /// [`StoreError`]
    fn exists(&self, key: String) -> Answer<'_, bool>;

    /// Some keys, from the beginning or from where a page ended. A key may come twice where others write meanwhile.
    ///
    /// # Errors
    /// [`StoreError`], also when the page does not fit into the account.
    fn keys(&self, from: Option<Cursor>, account: &Account) -> Answer<'_, Page>;

    /// The values under several keys, in the order of the keys.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn get_many(&self, keys: Vec<String>, account: &Account) -> Answer<'_, Vec<(String, Found)>>;

    /// Sets several values.
    ///
    /// # Errors
    /// [`StoreError`]
    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<'_, ()>;

    /// Removes several keys.
    ///
    /// # Errors
    /// [`StoreError`]
    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()>;

    /// Adds to a number, which is 0 where there is none, and answers the sum.
    ///
    /// # Errors
    /// [`StoreError`], also when what is there is no number, or the sum does not fit.
    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64>;

    /// Sets a value if the present one is still `old`. Answers whether it was.
    ///
    /// # Errors
    /// [`StoreError`]
    fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Answer<'_, bool>;
}

/// Where a page of keys begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Behind this key.
    After(String),
    /// Where the server says.
    At(u64),
}

/// Some keys.
#[derive(Debug)]
pub struct Page {
    /// The keys, charged.
    pub keys: Charged<Vec<String>>,
    /// Where the next page begins; none after the last.
    pub next: Option<Cursor>,
}
