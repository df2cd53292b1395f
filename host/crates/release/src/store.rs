//! What outlives the host: every release's last generation, how it got there, and each bundle's digest.
//!
//! SQLite in the state folder, in write-ahead mode and forced to the disk at each commit: what was committed is
//! there after a crash of the host or of the machine, and what was not is not. One host holds the folder's lock.

use crate::command::Action;
use crate::lock::{LOCK, lock};
use crate::record::{Record, Stored};
use crate::spec::Spec;
use crate::table::ReleaseId;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DATABASE: &str = "releases.sqlite";
/// The version of [`SCHEMA`]; another one in the file is refused rather than guessed at.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE releases (
    trigger TEXT NOT NULL, graph TEXT NOT NULL, generation INTEGER NOT NULL, declaration TEXT NOT NULL,
    PRIMARY KEY (trigger, graph)
) WITHOUT ROWID;
CREATE TABLE changes (
    trigger TEXT NOT NULL, graph TEXT NOT NULL, generation INTEGER NOT NULL, at INTEGER NOT NULL,
    who TEXT NOT NULL, why TEXT, action TEXT NOT NULL, spec TEXT NOT NULL,
    PRIMARY KEY (trigger, graph, generation)
) WITHOUT ROWID;
CREATE TABLE bundles (bundle TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
";
/// Generations of one release that are remembered; what is older is forgotten with the next change.
const REMEMBERED: u64 = 10_000;
/// The last moment that can be written as a date, in milliseconds since 1970: the end of the year 9999.
const LATEST: u64 = 253_402_300_799_999;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another host has it.
    #[error("another bobbin{} uses the state folder {}; stop it, or give --state-dir another folder", holder(.pid), folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The process that has it, where it says so.
        pid: Option<u32>,
    },
    /// The operating system refused.
    #[error("{} cannot be {action}: {source}; check the space and the permissions of the state folder", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// The cause.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{} cannot be {action}: {source}; check the space and the permissions of the state folder", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// The cause.
        source: rusqlite::Error,
    },
    /// A database of another version, or one that holds nonsense.
    #[error("{} {what}; move it away to begin with what the manifest declares", path.display())]
    Unfit {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// The open state of one host.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Database and lock, with device and number of the files that were opened.
    places: Vec<(PathBuf, (u64, u64))>,
    connection: Mutex<Connection>,
    /// The kernel gives the lock up when the host ends, however it ends.
    _lock: File,
}

impl Store {
    /// Opens the state in `folder`, making it where it is absent, and takes its lock.
    ///
    /// # Errors
    /// [`StoreError`], when another host has it above all.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let io = |action, source| StoreError::Io { path: folder.to_owned(), action, source };
        std::fs::create_dir_all(folder).map_err(|source| io("made", source))?;
        let lock = lock(folder)?;
        let path = folder.join(DATABASE);
        let failed = |source| refused(&path, "opened", source);
        let mut connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        // In KiB: one release's last rows are all that is ever looked at twice.
        connection.pragma_update(None, "cache_size", -256).map_err(failed)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        match version {
            SCHEMA_VERSION => {}
            0 => {
                let make = |transaction: Transaction<'_>| {
                    transaction.execute_batch(SCHEMA)?;
                    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                    transaction.commit()
                };
                connection.transaction().and_then(make).map_err(failed)?;
            }
            other => {
                let what = format!("was written by another version of bobbin (format {other}, not {SCHEMA_VERSION})");
                return Err(StoreError::Unfit { path, what });
            }
        }
        let place = |path: PathBuf| {
            let metadata = std::fs::metadata(&path).map_err(|source| io("examined", source))?;
            Ok((path, (metadata.dev(), metadata.ino())))
        };
        let places = vec![place(path.clone())?, place(folder.join(LOCK))?];
        Ok(Self { inner: Arc::new(Inner { path, places, connection: Mutex::new(connection), _lock: lock }) })
    }

    fn sqlite(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
        let path = self.inner.path.clone();
        move |source| refused(&path, action, source)
    }

    /// What is committed must be found where the next host looks: the files that are open are those of the folder.
    fn is_in_place(&self) -> Result<(), StoreError> {
        let moved = |path: &Path, source| StoreError::Io { path: path.to_owned(), action: "found", source };
        for (path, opened) in &self.inner.places {
            let now = std::fs::metadata(path).map_err(|source| moved(path, source))?;
            if (now.dev(), now.ino()) != *opened {
                let other = std::io::Error::other("another file is in its place than the one this host opened");
                return Err(moved(path, other));
            }
        }
        Ok(())
    }

    /// The last generation of a release, and the declaration it followed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last(&self, id: &ReleaseId) -> Result<Option<Stored>, StoreError> {
        let connection = self.inner.connection.lock();
        let query = "SELECT r.declaration, c.generation, c.at, c.who, c.why, c.action, c.spec FROM releases r
                     JOIN changes c USING (trigger, graph, generation) WHERE r.trigger = ?1 AND r.graph = ?2";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, Row::read(row, 1)?));
        let found = connection.query_row(query, params![id.trigger, id.graph], row).optional();
        let found = found.map_err(self.sqlite("read"))?;
        found.map(|(declaration, row)| Ok(Stored { declaration, record: self.understood(id, row)? })).transpose()
    }

    /// Commits a generation: on the disk when this returns. The one before it must be `record.generation - 1`.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed.
    pub fn commit(&self, id: &ReleaseId, declaration: &str, record: &Record) -> Result<(), StoreError> {
        let mut connection = self.inner.connection.lock();
        self.is_in_place()?;
        self.transact(&mut connection, id, declaration, record).map_err(self.sqlite("written"))
    }

    fn transact(
        &self,
        connection: &mut Connection,
        id: &ReleaseId,
        declaration: &str,
        record: &Record,
    ) -> rusqlite::Result<()> {
        let invalid = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
        let (generation, at) = (whole(record.generation), whole(millis(record.at)));
        let action = serde_json::to_string(&record.action).map_err(invalid)?;
        let spec = serde_json::to_string(&record.spec).map_err(invalid)?;
        let transaction = connection.transaction()?;
        let set = "INSERT INTO releases (trigger, graph, generation, declaration) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (trigger, graph) DO UPDATE SET generation = ?3, declaration = ?4
                   WHERE generation = ?3 - 1";
        let changed =
            transaction.prepare_cached(set)?.execute(params![id.trigger, id.graph, generation, declaration])?;
        if changed != 1 {
            // The table in memory and the one on disk disagree: nothing may be built on that.
            return Err(rusqlite::Error::StatementChangedRows(changed));
        }
        let add = "INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        transaction
            .prepare_cached(add)?
            .execute(params![id.trigger, id.graph, generation, at, record.who, record.why, action, spec])?;
        let forget = "DELETE FROM changes WHERE trigger = ?1 AND graph = ?2 AND generation <= ?3";
        let oldest = generation.saturating_sub(whole(REMEMBERED));
        transaction.prepare_cached(forget)?.execute(params![id.trigger, id.graph, oldest])?;
        transaction.commit()
    }

    /// The last generations of a release, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn history(&self, id: &ReleaseId, limit: usize) -> Result<Vec<Record>, StoreError> {
        let connection = self.inner.connection.lock();
        let query = "SELECT generation, at, who, why, action, spec FROM changes
                     WHERE trigger = ?1 AND graph = ?2 ORDER BY generation DESC LIMIT ?3";
        let failed = self.sqlite("read");
        let mut statement = connection.prepare_cached(query).map_err(&failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![id.trigger, id.graph, limit], |row| Row::read(row, 0));
        let rows: Vec<Row> = rows.map_err(&failed)?.collect::<Result<_, _>>().map_err(&failed)?;
        rows.into_iter().map(|row| self.understood(id, row)).collect()
    }

    /// The digest that a bundle had when it first served.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn known(&self, bundle: &str) -> Result<Option<String>, StoreError> {
        let connection = self.inner.connection.lock();
        let query = "SELECT digest FROM bundles WHERE bundle = ?1";
        connection.query_row(query, params![bundle], |row| row.get(0)).optional().map_err(self.sqlite("read"))
    }

    /// Remembers the digest of a bundle that serves; the first one counts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self, bundle: &str, digest: &str) -> Result<(), StoreError> {
        let connection = self.inner.connection.lock();
        let add = "INSERT INTO bundles VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        connection.execute(add, params![bundle, digest]).map(drop).map_err(self.sqlite("written"))
    }

    /// What somebody wrote into the file by other means is held against the same bounds as a change: the rest of the
    /// host counts on them.
    fn understood(&self, id: &ReleaseId, row: Row) -> Result<Record, StoreError> {
        let unfit = |column: &str, why: &dyn std::fmt::Display| StoreError::Unfit {
            path: self.inner.path.clone(),
            what: format!(
                "holds a {column} of release {id}, generation {}, that makes no sense: {why}",
                row.generation
            ),
        };
        let spec: Spec = serde_json::from_str(&row.spec).map_err(|error| unfit("spec", &error))?;
        spec.check().map_err(|refusal| unfit("spec", &refusal))?;
        let action: Action = serde_json::from_str(&row.action).map_err(|error| unfit("action", &error))?;
        let generation = u64::try_from(row.generation).map_err(|error| unfit("number", &error))?;
        let at = u64::try_from(row.at).ok().filter(|at| *at <= LATEST);
        let at =
            at.ok_or_else(|| unfit("time", &format!("{}; from 0 to {LATEST} milliseconds are possible", row.at)))?;
        Ok(Record { generation, at: UNIX_EPOCH + Duration::from_millis(at), who: row.who, why: row.why, action, spec })
    }

    /// Leaves no room for another page, as a full disk does.
    #[cfg(test)]
    pub(crate) fn fill(&self) {
        let connection = self.inner.connection.lock();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

/// A database that is none needs another next step than a disk that is full.
fn refused(path: &Path, action: &'static str, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Unfit { path, what: format!("is damaged: {source}") }
        }
        _ => StoreError::Sqlite { path, action, source },
    }
}

/// A generation as it lies in the database.
struct Row {
    generation: i64,
    at: i64,
    who: String,
    why: Option<String>,
    action: String,
    spec: String,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            generation: row.get(first)?,
            at: row.get(first + 1)?,
            who: row.get(first + 2)?,
            why: row.get(first + 3)?,
            action: row.get(first + 4)?,
            spec: row.get(first + 5)?,
        })
    }
}

fn millis(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
