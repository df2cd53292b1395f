//! How large a SQLite database may become on the disk.
//!
//! SQLite itself keeps a database to so many pages. Its write-ahead log has no such bound: it grows for as long as somebody
//! reads what was there before. So who would write waits for a log that is as large as the database may be.

use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// The bound of one database.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: u64,
    /// The write-ahead log; none of a database in memory.
    log: Option<PathBuf>,
}

impl Room {
    /// So many bytes for the database in this file, or in memory.
    pub(crate) fn new(bytes: u64, file: Option<&Path>) -> Self {
        let log = file.map(|file| {
            let mut name = file.as_os_str().to_owned();
            name.push("-wal");
            name.into()
        });
        Self { bytes, log }
    }

    /// Keeps what a connection writes within the bound. A database that is larger already grows no further.
    pub(crate) fn confine(&self, connection: &Connection) -> rusqlite::Result<()> {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = self.bytes / u64::try_from(page).unwrap_or(1).max(1);
        // SQLite counts pages in 32 bits.
        connection.pragma_update(None, "max_page_count", u32::try_from(pages).unwrap_or(u32::MAX - 1))
    }

    /// Whether the log may grow. Where it is too long, `own`, a connection of the host's, writes what it has into the
    /// database, if nobody needs it where it is.
    pub(crate) fn is_left(&self, own: impl FnOnce(&dyn Fn(&Connection))) -> bool {
        if !self.is_log_full() {
            return true;
        }
        own(&|connection| {
            // Whether that could be done shows in the file.
            let _ = connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
        });
        !self.is_log_full()
    }

    fn is_log_full(&self) -> bool {
        let length = self.log.as_ref().and_then(|log| log.metadata().ok()).map_or(0, |metadata| metadata.len());
        length > self.bytes
    }
}
