//! Removing blobs that nobody needs any more.

use super::BlobStore;
use crate::{Digest, VerifyError};
use std::collections::HashSet;
use std::fs::DirEntry;
use std::io;

/// What [`BlobStore::collect`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes together.
    pub bytes: u64,
}

impl BlobStore {
    /// Removes every blob that is not in `keep`. Whatever else lies in the folder stays: files that are being
    /// written, folders, links, names that are no digest.
    ///
    /// `keep` must hold the files of every version that may start again, whether or not the repository has it now: a
    /// worker that runs keeps what it has mapped, but the one after it opens the blob anew. For the same reason no
    /// verification may run at the same time: its blobs could go before anybody knows that they are needed.
    ///
    /// # Errors
    /// [`VerifyError::Blob`] for the first blob that cannot be examined or removed; those before it are gone.
    pub fn collect(&self, keep: &HashSet<Digest>) -> Result<Collected, VerifyError> {
        let mut collected = Collected::default();
        let listed = |source| self.failed(None, "listed", source);
        for entry in std::fs::read_dir(&self.folder).map_err(listed)? {
            let entry = entry.map_err(listed)?;
            if blob(&entry).is_none_or(|digest| keep.contains(&digest)) {
                continue;
            }
            let failed = |action, source| self.failed(Some(&entry.path()), action, source);
            match remove(&entry) {
                Ok(Some(bytes)) => {
                    collected.blobs += 1;
                    collected.bytes += bytes;
                }
                Ok(None) => {}
                Err((action, source)) => return Err(failed(action, source)),
            }
        }
        Ok(collected)
    }
}

/// The digest that names a blob. The store writes the digits alone, so `sha256:` before them is somebody else's.
fn blob(entry: &DirEntry) -> Option<Digest> {
    let name = entry.file_name();
    let name = name.to_str()?;
    name.parse().ok().filter(|digest: &Digest| digest.hex() == name)
}

/// Its bytes; `None` where it is no file, or gone already.
fn remove(entry: &DirEntry) -> Result<Option<u64>, (&'static str, io::Error)> {
    // Of the name itself: what a link leads to is not the store's.
    let metadata = match entry.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        examined => examined.map_err(|source| ("examined", source))?,
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    match std::fs::remove_file(entry.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        removed => removed.map(|()| Some(metadata.len())).map_err(|source| ("removed", source)),
    }
}
