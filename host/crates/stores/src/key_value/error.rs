//! Why an operation on a store failed. Guests read the messages, so they name nothing of the host.

use bobbin_inference::OverAccount;

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The result does not fit into what the host holds for a request.
    #[error("the result is too large: {0}")]
    OverAccount(#[from] OverAccount),
    /// Only a whole number can be incremented.
    #[error("the value is no number that can be incremented; set another key, or delete this one")]
    NoNumber,
    /// The sum has more than 64 bits.
    #[error("the sum does not fit into 64 bits")]
    Overflow,
    /// A key is no text; somebody else has written it.
    #[error("the store holds a key that is no text")]
    NoText,
    /// There is no more room for what is kept.
    #[error("the store is full; delete what is no longer needed, or ask for more room (key_value_bytes)")]
    Full,
    /// SQLite refused.
    #[error("the store failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The Redis server refused, or cannot be reached.
    #[error("the store failed: {0}")]
    Redis(#[from] redis::RedisError),
    /// The server's answer makes no sense.
    #[error("the store failed: its answer makes no sense: {0}")]
    Unexpected(
        /// The beginning of it.
        String,
    ),
    /// The host is stopping.
    #[error("the host is stopping")]
    Stopping,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error),
        }
    }
}
