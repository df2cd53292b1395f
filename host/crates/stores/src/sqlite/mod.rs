//! SQLite databases of components.
//!
//! Each connection that a component opens is one of its own, on the file of its database and on nothing else. A query
//! runs on a thread that may block, for as long as its request has time, and what it answers fits into the request's
//! account.

mod error;
mod functions;
mod guard;
mod query;

pub use error::SqliteError;
pub use query::{Bounds, Rows, Value};

use crate::charged::Charged;
use crate::key_value::OpenError;
use crate::room::Room;
use parking_lot::Mutex;
use query::Interrupt;
use rusqlite::{OpenFlags, TransactionState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

/// Queries of one database at once, besides those of the one that writes in a transaction.
const QUERIES: usize = 8;
/// How long a statement waits for another connection's transaction, at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the host waits for those who keep it from emptying a write-ahead log.
const CLEANING: Duration = Duration::from_millis(100);
/// Bytes that SQLite may hold in memory in this process, whoever asks: what a single query computes with is not seen by
/// any account.
const HEAP_BYTES: i64 = 512 << 20;
/// What one connection keeps of its database in memory, in KiB; negative because that is how SQLite tells it from pages.
const CACHE_KIB: i64 = -1024;

static HEAP_LIMIT: Once = Once::new();

/// The database behind a label.
#[derive(Debug)]
pub struct Database {
    /// The file; none for memory alone.
    path: Option<PathBuf>,
    room: Room,
    queries: Arc<Semaphore>,
    /// The host's own connection. It keeps the write-ahead log open: whoever closes a file's last connection has to clean
    /// up.
    anchor: Option<Mutex<rusqlite::Connection>>,
}

impl Database {
    /// A database in a file, which is made with its folder where it is absent, of at most so many bytes; its write-ahead
    /// log takes as much again. Blocking.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path, bytes: u64) -> Result<Arc<Self>, OpenError> {
        if let Some(folder) = path.parent() {
            let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let anchor = open(Some(path)).and_then(|connection| {
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
            connection.busy_timeout(CLEANING)?;
            Ok(connection)
        });
        let anchor = anchor.map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
        Ok(Self::of(Some(path), bytes, Some(Mutex::new(anchor))))
    }

    /// Databases of at most so many bytes that end with their connection; each connection has its own.
    pub fn in_memory(bytes: u64) -> Arc<Self> {
        Self::of(None, bytes, None)
    }

    fn of(path: Option<&Path>, bytes: u64, anchor: Option<Mutex<rusqlite::Connection>>) -> Arc<Self> {
        let (room, queries) = (Room::new(bytes, path), Arc::new(Semaphore::new(QUERIES)));
        Arc::new(Self { path: path.map(Path::to_owned), room, queries, anchor })
    }

    /// Opens a connection that can reach nothing but its file, and cannot make it larger than it may be. `longest` is what
    /// its functions may return, in bytes.
    fn open_connection(&self, longest: usize) -> rusqlite::Result<rusqlite::Connection> {
        let mut connection = open(self.path.as_deref())?;
        functions::bound(&connection, longest)?;
        self.room.confine(&connection)?;
        guard::confine(&mut connection)?;
        Ok(connection)
    }

    /// Whether something may be written.
    fn is_room_left(&self) -> bool {
        self.room.is_left(|clean| {
            if let Some(anchor) = &self.anchor {
                clean(&anchor.lock());
            }
        })
    }

    /// A connection. The file is opened with its first query.
    pub fn connect(self: &Arc<Self>) -> Connection {
        Connection { database: Arc::clone(self), open: Mutex::default(), known: Arc::default() }
    }
}

/// Opens a connection for the host itself.
fn open(path: Option<&Path>) -> rusqlite::Result<rusqlite::Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match path {
        Some(path) => rusqlite::Connection::open_with_flags(path, flags)?,
        None => rusqlite::Connection::open_in_memory_with_flags(flags)?,
    };
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // What does not fit into memory would go to files without a bound.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let mut limited = Ok(());
    HEAP_LIMIT.call_once(|| limited = connection.pragma_update(None, "hard_heap_limit", HEAP_BYTES));
    limited?;
    Ok(connection)
}

/// Whether others have to wait until a connection's transaction is over. Its temporary tables are nobody else's.
fn is_writing(connection: &rusqlite::Connection) -> bool {
    matches!(connection.transaction_state(Some("main")), Ok(TransactionState::Write))
}

type Open = Arc<Mutex<Option<rusqlite::Connection>>>;

/// What the last statements of a connection came to.
#[derive(Debug, Default)]
struct Known {
    changes: AtomicU64,
    rowid: AtomicI64,
    /// It holds the database's write lock, in a transaction that is not over.
    writes: AtomicBool,
}

/// One connection of a component.
#[derive(Debug)]
pub struct Connection {
    database: Arc<Database>,
    open: Mutex<Open>,
    known: Arc<Known>,
}

impl Connection {
    /// A place among the queries. Whoever writes in a transaction needs none: those in the places may wait for its end.
    /// There is one such connection at most. A transaction that has only read, or done nothing yet, keeps nobody waiting.
    async fn admit(&self, bounds: &Bounds) -> Result<Option<OwnedSemaphorePermit>, SqliteError> {
        if self.known.writes.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let permit = timeout_at(bounds.end.into(), Arc::clone(&self.database.queries).acquire_owned()).await;
        Ok(Some(permit.or(Err(SqliteError::TimeOver))?.or(Err(SqliteError::Stopping))?))
    }

    /// Runs one statement, and returns its rows. Whoever stops waiting also stops the statement.
    ///
    /// # Errors
    /// [`SqliteError`]
    pub async fn query(
        &self,
        statement: String,
        parameters: Vec<Value>,
        bounds: Bounds,
    ) -> Result<Charged<Rows>, SqliteError> {
        let permit = self.admit(&bounds).await?;
        let (open, known, database) =
            (Arc::clone(&self.open.lock()), Arc::clone(&self.known), Arc::clone(&self.database));
        let interrupt = Interrupt::default();
        let _leaving = interrupt.on_drop();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut open = open.lock();
            let connection = match &mut *open {
                Some(connection) => connection,
                none => {
                    let longest = query::longest(&bounds.account);
                    none.insert(database.open_connection(longest).map_err(SqliteError::Unopened)?)
                }
            };
            let room = || database.is_room_left();
            let rows = query::run(connection, &statement, parameters, &bounds, &interrupt, room);
            known.writes.store(is_writing(connection), Ordering::Relaxed);
            known.changes.store(connection.changes(), Ordering::Relaxed);
            known.rowid.store(connection.last_insert_rowid(), Ordering::Relaxed);
            rows
        });
        done.await.or(Err(SqliteError::Stopping))?
    }

    /// Rows that the last statement changed.
    pub fn changes(&self) -> u64 {
        self.known.changes.load(Ordering::Relaxed)
    }

    /// The row id of the last row that was inserted; 0 where none was.
    pub fn last_insert_rowid(&self) -> i64 {
        self.known.rowid.load(Ordering::Relaxed)
    }

    /// Closes the connection, which undoes a transaction that is not over; the next query opens another one.
    pub fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        self.known.changes.store(0, Ordering::Relaxed);
        self.known.rowid.store(0, Ordering::Relaxed);
        self.known.writes.store(false, Ordering::Relaxed);
        // Undoing and closing reads and writes files.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(open));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
