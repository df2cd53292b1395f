//! Stores in a SQLite file, one row a key; as Spin keeps them, so that either can go on with the other's file.
//!
//! In write-ahead mode readers never wait for the writer. What was set survives the host, however it ends; when the
//! machine loses power, the last moments may be lost, never the order of things.

use super::{Answer, Cursor, Found, PAGE_BYTES, PAGE_KEYS, Page, Store, StoreError};
use crate::charged::Charged;
use crate::pool::{Pool, Stopping};
use crate::room::Room;
use bobbin_inference::Account;
use futures::FutureExt;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key)
)";
const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (store, key) DO UPDATE SET value = ?3";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";
const EXISTS: &str = "SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2";
const KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
/// From the first one on, which may be empty.
const ALL_KEYS: &str = "SELECT key FROM spin_key_value WHERE store = ?1 AND key >= ?2 ORDER BY key LIMIT ?3";

/// Reads at once.
const READERS: usize = 4;
/// How long one process waits for another that writes into the same file.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an entry of a list costs besides its bytes.
const ENTRY_BYTES: usize = 64;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder cannot be made.
    #[error("{} cannot be made; correct the path, or the permissions of its parent", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error(
        "{} cannot be used as a database; correct the path or its permissions, or move the file away if it is damaged",
        path.display()
    )]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// A file with any number of stores. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteFile {
    writer: Arc<Pool>,
    readers: Arc<Pool>,
    room: Arc<Room>,
}

impl SqliteFile {
    /// Opens a file, making it and its folder where they are absent. It has at most so many bytes, and its write-ahead log
    /// as many again. Blocking.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, OpenError> {
        if let Some(folder) = path.parent() {
            let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let room = Room::new(bytes, Some(path));
        let open = || {
            let writer = Connection::open(path)?;
            prepare(&writer)?;
            room.confine(&writer)?;
            writer.execute_batch(SCHEMA)?;
            let readers = (0..READERS).map(|_| {
                let reader = Connection::open(path)?;
                prepare(&reader)?;
                reader.pragma_update(None, "query_only", true)?;
                Ok(reader)
            });
            Ok((writer, readers.collect::<rusqlite::Result<Vec<_>>>()?))
        };
        let (writer, readers) = open().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        Ok(Self { writer: Pool::new(vec![writer]), readers: Pool::new(readers), room: Arc::new(room) })
    }

    /// Stores of at most so many bytes together that are gone with the host.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn in_memory(bytes: u64) -> Result<Self, OpenError> {
        let room = Room::new(bytes, None);
        let open = || {
            let connection = Connection::open_in_memory()?;
            room.confine(&connection)?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| OpenError::Sqlite { path: ":memory:".into(), source })?;
        let pool = Pool::new(vec![connection]);
        Ok(Self { writer: Arc::clone(&pool), readers: pool, room: Arc::new(room) })
    }

    /// The store with this label.
    pub fn store(&self, label: &str) -> SqliteStore {
        SqliteStore { label: label.into(), file: self.clone() }
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// One store of a file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    label: Arc<str>,
    file: SqliteFile,
}

/// One row of the table.
fn read(connection: &Connection, label: &str, key: &str, account: &Account) -> Result<Found, StoreError> {
    let mut statement = connection.prepare_cached(GET)?;
    let mut rows = statement.query(params![label, key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let value = row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?;
    let charge = account.charge((value.len() + ENTRY_BYTES) as u64)?;
    Ok(Some(Charged::new(value.to_vec(), charge)))
}

impl SqliteStore {
    fn run<T: Send + 'static>(
        &self,
        pool: &Arc<Pool>,
        work: impl FnOnce(&mut Connection, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        let (pool, label) = (Arc::clone(pool), Arc::clone(&self.label));
        async move {
            pool.run(move |connection| work(connection, &label))
                .await
                .unwrap_or_else(|Stopping| Err(StoreError::Stopping))
        }
        .boxed()
    }

    fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        self.run(&self.file.readers, work)
    }

    fn writing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        let room = Arc::clone(&self.file.room);
        self.run(&self.file.writer, move |connection, label| {
            if !room.is_left(|clean| clean(connection)) {
                return Err(StoreError::Full);
            }
            work(connection, label)
        })
    }
}

impl Store for SqliteStore {
    fn get(&self, key: String, account: &Account) -> Answer<'_, Found> {
        let account = account.clone();
        self.reading(move |connection, label| read(connection, label, &key, &account))
    }

    fn set(&self, key: String, value: Vec<u8>) -> Answer<'_, ()> {
        self.writing(move |connection, label| {
            connection.prepare_cached(SET)?.execute(params![label, key, value])?;
            Ok(())
        })
    }

    fn delete(&self, key: String) -> Answer<'_, ()> {
        self.writing(move |connection, label| {
            connection.prepare_cached(DELETE)?.execute(params![label, key])?;
            Ok(())
        })
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        self.reading(move |connection, label| Ok(connection.prepare_cached(EXISTS)?.exists(params![label, key])?))
    }

    fn keys(&self, from: Option<Cursor>, account: &Account) -> Answer<'_, Page> {
        let account = account.clone();
        self.reading(move |connection, label| page(connection, label, from, &account))
    }

    fn get_many(&self, keys: Vec<String>, account: &Account) -> Answer<'_, Vec<(String, Found)>> {
        let account = account.clone();
        self.reading(move |connection, label| {
            let transaction = connection.transaction()?;
            let found = |key: String| {
                let value = read(&transaction, label, &key, &account)?;
                Ok((key, value))
            };
            keys.into_iter().map(found).collect()
        })
    }

    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        self.writing(move |connection, label| {
            let transaction = connection.transaction()?;
            for (key, value) in pairs {
                transaction.prepare_cached(SET)?.execute(params![label, key, value])?;
            }
            Ok(transaction.commit()?)
        })
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        self.writing(move |connection, label| {
            let transaction = connection.transaction()?;
            for key in keys {
                transaction.prepare_cached(DELETE)?.execute(params![label, key])?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Numbers are eight bytes, the lowest first, as in Spin.
    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        self.writing(move |connection, label| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let old = present(&transaction, label, &key)?;
            let number = match old {
                Some(bytes) => i64::from_le_bytes(bytes.try_into().or(Err(StoreError::NoNumber))?),
                None => 0,
            };
            let sum = number.checked_add(delta).ok_or(StoreError::Overflow)?;
            transaction.prepare_cached(SET)?.execute(params![label, key, sum.to_le_bytes()])?;
            transaction.commit()?;
            Ok(sum)
        })
    }

    fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Answer<'_, bool> {
        self.writing(move |connection, label| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            if present(&transaction, label, &key)? != old {
                return Ok(false);
            }
            transaction.prepare_cached(SET)?.execute(params![label, key, new])?;
            transaction.commit()?;
            Ok(true)
        })
    }
}

fn present(connection: &Connection, label: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.prepare_cached(GET)?.query_row(params![label, key], |row| row.get(0)).optional()
}

fn page(connection: &Connection, label: &str, from: Option<Cursor>, account: &Account) -> Result<Page, StoreError> {
    let (query, after) = match from {
        Some(Cursor::After(key)) => (KEYS, key),
        // The other kind belongs to other stores.
        Some(Cursor::At(_)) | None => (ALL_KEYS, String::new()),
    };
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![label, after, PAGE_KEYS as i64])?;
    let (mut keys, mut bytes) = (Vec::new(), 0);
    let mut charge = account.charge(0)?;
    let mut next = None;
    while let Some(row) = rows.next()? {
        let key = row.get_ref(0)?.as_str().or(Err(StoreError::NoText))?;
        bytes += key.len();
        charge.resize((bytes + (keys.len() + 1) * ENTRY_BYTES) as u64)?;
        keys.push(key.to_owned());
        if keys.len() == PAGE_KEYS || bytes >= PAGE_BYTES {
            next = keys.last().cloned().map(Cursor::After);
            break;
        }
    }
    Ok(Page { keys: Charged::new(keys, charge), next })
}

#[cfg(test)]
mod tests;
