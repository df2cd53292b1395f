//! What can be wrong with keys and their file.

use crate::timestamp::Timestamp;
use crate::token::KeyId;
use std::io;
use std::path::PathBuf;

/// Why the file of the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{} cannot be {action}: {source}; check the space and the permissions of its folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Others can read it, or even write it.
    #[error(
        "{} can be used by others (mode {mode:o}), and keys are for the host's user alone; run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is a folder, or a device.
    #[error("{} is no file; name another with --keys-file, or move it away", path.display())]
    NoFile {
        /// What it is called.
        path: PathBuf,
    },
    /// It says something else than keys.
    #[error(
        "{} is no file of keys: {why}; put back what it was, or move it away and make new keys with `bobbin key create`",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// It is in its place, but its folder was not forced to the disk.
    #[error(
        "{} is changed and counts from now on, but its folder could not be forced to the disk ({source}): the change may be \
         lost when the machine loses power; check the disk, and make the change once more when it is well",
        path.display()
    )]
    Unsynced {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The folder that its own folder would be made in is not there.
    #[error(
        "{} cannot be made: there is no folder {}; correct the path, or make that folder first",
        path.display(), parent.display()
    )]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// What is missing.
        parent: PathBuf,
    },
    /// Another process has been changing it for long.
    #[error("{} is being changed by another process; try again soon", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

/// Why a key cannot be as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// Its name is none.
    #[error("the name of a key is one line of 1 to 100 characters; say who holds it")]
    Name,
    /// A list is empty or too long.
    #[error("{list} has {count} entries; give 1 to 64, or leave it out for all")]
    Count {
        /// Which one.
        list: &'static str,
        /// Its entries.
        count: usize,
    },
    /// An entry of a list is no name.
    #[error("an entry of {list} is one line of 1 to 256 characters")]
    Entry {
        /// Which list.
        list: &'static str,
    },
    /// There is no such route or model.
    #[error("{list} has {entry:?}, which there is not; {help}")]
    Unknown {
        /// Which list.
        list: &'static str,
        /// The name.
        entry: String,
        /// What there is.
        help: String,
    },
    /// A limit that is none.
    #[error("{key} is {limit}; give 1 to 1000000000, or leave it out for no limit")]
    Limit {
        /// Which one.
        key: &'static str,
        /// What it is.
        limit: u32,
    },
    /// It would never be taken.
    #[error("the key would expire at {0}, which is in the past; give a later time, or none")]
    Past(Timestamp),
    /// No moment is so late.
    #[error("the key would expire after the year 9999, and no time can be written so late; give less, or none")]
    Late,
}

/// Why keys were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[source] FileError),
    /// The file cannot be written; nothing has changed.
    #[error("{0}")]
    NotPersisted(#[source] FileError),
    /// What is wanted makes no sense.
    #[error("{0}")]
    Wanted(#[from] WantedError),
    /// There is no such key.
    #[error("there is no key {id}; {help}")]
    Unknown {
        /// The id.
        id: KeyId,
        /// What there is.
        help: String,
    },
    /// There is no room for another one.
    #[error(
        "there are {0} keys that are neither revoked nor expired, as many as may be; revoke those that nobody needs"
    )]
    Full(usize),
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[source] getrandom::Error),
}
