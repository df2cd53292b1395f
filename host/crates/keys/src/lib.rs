//! API keys: who may ask a host, for which routes and models, and how often.
//!
//! A key is `bobbin_<id>_<secret>`. The id names it in lists, logs and metrics; the secret is shown once, when the key
//! is made, and kept nowhere: the file in the state folder holds a hash of the whole ([`Digest`] says why a fast one).
//!
//! [`bucket`](Bucket) is arithmetic without a clock, `record` says what a key is, [`KeyFile`] is the file, and [`Keys`]
//! is what a running host asks. Its answers take no lock of the file's and read nothing: whoever serves requests looks
//! whether the file is another one ([`Keys::is_current`]) and has it read where that may take time ([`Keys::refresh`]), so
//! a key that a command line made or revoked counts from the next request on.

#![forbid(unsafe_code)]

mod bucket;
mod error;
mod file;
mod keys;
mod meter;
mod record;
mod timestamp;
mod token;

pub use bucket::{Bucket, Level};
pub use error::{ChangeError, FileError, WantedError};
pub use file::{FILE_NAME, KeyFile};
pub use keys::{Admitted, Denied, Key, Keys, Use};
pub use meter::{Levels, Limited, Which};
pub use record::{Created, Known, Record, Revoked, State, View, Wanted};
pub use timestamp::{Timestamp, TimestampError};
pub use token::{Digest, KeyId, KeyIdError, Token};
