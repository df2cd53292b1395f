//! Why a statement failed. Guests read the messages, so they name nothing of the host.

use bobbin_inference::OverAccount;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The result does not fit into what the host holds for a request.
    #[error("the result is too large: {0}; ask for fewer rows, or for parts of them")]
    OverAccount(#[from] OverAccount),
    /// The request's time is over, or nobody waits for it any more.
    #[error("the statement was interrupted: the request's time is over")]
    TimeOver,
    /// The component has used its processor time, of which what a statement needs is a part.
    #[error("the statement was interrupted: the component's processor time (guest_cpu_seconds) is over")]
    CpuOver,
    /// The database has no more room.
    #[error("the database is full")]
    Full,
    /// A text in the database is no UTF-8.
    #[error("column {column} holds a text that is no UTF-8; read it as a blob, with CAST(.. AS BLOB)")]
    NoText {
        /// The column, from 1.
        column: usize,
    },
    /// The database's file cannot be opened.
    #[error("the database cannot be opened")]
    Unopened(#[source] rusqlite::Error),
    /// SQLite refused.
    #[error("{0}")]
    Refused(#[source] rusqlite::Error),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::TimeOver,
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Refused(error),
        }
    }
}
