//! The same operations without a sandbox and without a host, in this process: as fast as they can be.

use crate::operations::LASTS;
use anyhow::{Context, Result};
use futures::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use rusqlite::{Connection, params};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tempfile::TempDir;

const KEYS: u64 = 64;
const VALUE: [u8; 100] = [b'v'; 100];
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key)
)";
const GET: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (store, key) DO UPDATE SET value = ?3";

/// A file like the one that the host has, used by threads that do nothing else.
pub(crate) struct Sqlite {
    folder: TempDir,
    /// One for all: SQLite lets one write at a time.
    writer: Arc<Mutex<Connection>>,
}

impl Sqlite {
    pub(crate) fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let writer = open(folder.path().join("floor.sqlite"))?;
        writer.execute_batch(SCHEMA)?;
        Ok(Self { folder, writer: Arc::new(Mutex::new(writer)) })
    }

    /// Sets a second, by so many threads.
    pub(crate) async fn set(&self, threads: usize) -> Result<f64> {
        let set = |writer: &Mutex<Connection>, key: &str| {
            let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.prepare_cached(SET)?.execute(params!["default", key, VALUE])?;
            anyhow::Ok(())
        };
        in_threads((0..threads).map(|_| Arc::clone(&self.writer)).collect(), move |writer, key| set(writer, key)).await
    }

    /// Gets a second, by so many threads with connections of their own.
    pub(crate) async fn get(&self, threads: usize) -> Result<f64> {
        let open = || open(self.folder.path().join("floor.sqlite"));
        let get = |reader: &Connection, key: &str| {
            let mut statement = reader.prepare_cached(GET)?;
            let value: Vec<u8> = statement.query_row(params!["default", key], |row| row.get(0))?;
            std::hint::black_box(value);
            anyhow::Ok(())
        };
        in_threads((0..threads).map(|_| open()).collect::<Result<_>>()?, get).await
    }
}

fn open(file: PathBuf) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

/// A thread for each of these, which does the same again and again. Returns how often in a second, all together.
async fn in_threads<T: Send + 'static>(
    all: Vec<T>,
    work: impl Fn(&T, &str) -> Result<()> + Copy + Send + 'static,
) -> Result<f64> {
    let begun = Instant::now() + LASTS.warm;
    let end = begun + LASTS.counted;
    let one = |own: T| {
        tokio::task::spawn_blocking(move || {
            let mut count = Count::default();
            loop {
                work(&own, &key(count.number))?;
                if count.one_more(begun, end) {
                    return anyhow::Ok(count.counted);
                }
            }
        })
    };
    let mut total = 0;
    for counted in try_join_all(all.into_iter().map(one)).await? {
        total += counted?;
    }
    Ok(f64::from(total) / LASTS.counted.as_secs_f64())
}

/// A server, asked over one connection, as the host does.
pub(crate) struct Redis(MultiplexedConnection);

impl Redis {
    pub(crate) async fn new(port: u16) -> Result<Self> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
        Ok(Self(client.get_multiplexed_async_connection().await?))
    }

    /// Sets a second, by so many tasks.
    pub(crate) async fn set(&self, tasks: usize) -> Result<f64> {
        in_tasks(tasks, async |number| {
            let mut connection = self.0.clone();
            cmd("SET").arg(key(number)).arg(&VALUE).query_async::<()>(&mut connection).await?;
            Ok(())
        })
        .await
    }

    /// Gets a second, by so many tasks.
    pub(crate) async fn get(&self, tasks: usize) -> Result<f64> {
        in_tasks(tasks, async |number| {
            let mut connection = self.0.clone();
            let found: Option<Vec<u8>> = cmd("GET").arg(key(number)).query_async(&mut connection).await?;
            found.context("a key that was set is not there")?;
            Ok(())
        })
        .await
    }
}

/// Several that do the same again and again, at once. Returns how often in a second, all together.
pub(crate) async fn in_tasks(tasks: usize, work: impl AsyncFn(u64) -> Result<()>) -> Result<f64> {
    let begun = Instant::now() + LASTS.warm;
    let end = begun + LASTS.counted;
    let one = async |_| {
        let mut count = Count::default();
        loop {
            work(count.number).await?;
            if count.one_more(begun, end) {
                return anyhow::Ok(count.counted);
            }
        }
    };
    let total: u32 = try_join_all((0..tasks).map(one)).await?.into_iter().sum();
    Ok(f64::from(total) / LASTS.counted.as_secs_f64())
}

#[derive(Default)]
struct Count {
    number: u64,
    /// Those within the window.
    counted: u32,
}

impl Count {
    /// After one more: whether the window is over.
    fn one_more(&mut self, begun: Instant, end: Instant) -> bool {
        let now = Instant::now();
        self.number += 1;
        if now >= begun && now < end {
            self.counted += 1;
        }
        now >= end
    }
}

fn key(number: u64) -> String {
    format!("key{}", number % KEYS)
}
