//! Blobs on this disk, by their digests, and the applications that are made of them.
//!
//! ```text
//! blobs/sha256/<digest>            whole and verified; appears by rename, is never written again
//! partial/<digest>                 what has come of a blob so far, locked by whoever fetches it
//! applications/<digest>/spin.lock  the application of the image with this manifest, with the paths of its blobs
//! applications/<digest>/blobs      the digests of what it needs, one a line
//! applications/<digest>/in-use     locked by the hosts that serve it; its time is when one began to
//! lock                             of the whole: `hold` says by whom
//! ```
//!
//! The folder belongs to the user and is shared by all hosts of theirs. Whoever removes it loses time, and nothing else.

use crate::digest::{Digest, Hasher};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The list of an application's blobs.
const BLOBS: &str = "blobs";

/// A file of the store that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be {action}; see that the disk has room and the folder is yours, or name another with --cache-dir", path.display())]
pub struct StoreError {
    /// What was tried, as in "it cannot be read".
    pub(crate) action: &'static str,
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// Why not.
    pub(crate) source: io::Error,
}

/// For `map_err`: what was tried with which path.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError { action, path, source }
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in this folder, which is made where it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(failed("found", root))?;
        let store = Self { root };
        for folder in [store.blobs(), store.partials()] {
            fs::create_dir_all(&folder).map_err(failed("created", &folder))?;
        }
        Ok(store)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    /// Where blobs are written before they are whole.
    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn applications(&self) -> PathBuf {
        self.root.join("applications")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The lock of an application.
    pub(crate) fn in_use(&self, application: &Digest) -> PathBuf {
        self.applications().join(application.hex()).join("in-use")
    }

    /// Where a blob is once it is whole.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Whether a blob is here and is what its name says. One that is not is removed: a disk that failed is no reason to
    /// serve other bytes.
    pub(crate) fn is_intact(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("opened", &path)(error)),
        };
        let mut hasher = Hasher::default();
        hash(&mut file, &mut hasher).map_err(failed("read", &path))?;
        if hasher.digest() == *digest {
            return Ok(true);
        }
        tracing::warn!(path = %path.display(), "a cached blob was damaged; it is fetched again");
        fs::remove_file(&path).map_err(failed("removed", &path))?;
        Ok(false)
    }

    /// The bytes of a blob that is here.
    pub(crate) fn bytes(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        fs::read(&path).map_err(failed("read", &path))
    }

    /// Keeps these bytes.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.write(&self.path(&digest), bytes)?;
        Ok(digest)
    }

    /// Puts a whole, verified file into its place. `file` is the open file at `written`.
    pub(crate) fn commit(&self, file: &File, written: &Path, digest: &Digest) -> Result<(), StoreError> {
        // On the disk before it has its name: a name must never stand for half a blob.
        file.sync_all().map_err(failed("written", written))?;
        let path = self.path(digest);
        fs::rename(written, &path).map_err(failed("created", &path))
    }

    pub(crate) fn remove(&self, digest: &Digest) {
        // What cannot be removed only takes room.
        let _ = fs::remove_file(self.path(digest));
    }

    /// Writes the application of an image, which needs these blobs, and says where it is.
    pub(crate) fn keep_application(
        &self,
        image: &Digest,
        bytes: &[u8],
        blobs: &[Digest],
    ) -> Result<PathBuf, StoreError> {
        let folder = self.applications().join(image.hex());
        fs::create_dir_all(&folder).map_err(failed("created", &folder))?;
        let listed: String = blobs.iter().map(|digest| format!("{digest}\n")).collect();
        self.write(&folder.join(BLOBS), listed.as_bytes())?;
        let path = folder.join("spin.lock");
        self.write(&path, bytes)?;
        Ok(path)
    }

    /// The blobs that an application needs; none where an older host has written it.
    pub(crate) fn blobs_of(&self, application: &Digest) -> Result<BTreeSet<Digest>, StoreError> {
        let path = self.applications().join(application.hex()).join(BLOBS);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().filter_map(|line| Digest::parse(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let (mut file, written) = self.scratch()?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("written", &written))?;
        fs::rename(&written, path).map_err(failed("created", path))
    }

    /// A new file that nobody else knows.
    pub(crate) fn scratch(&self) -> Result<(File, PathBuf), StoreError> {
        let mut number = 0_u32;
        loop {
            let path = self.partials().join(format!("new-{}-{number}", std::process::id()));
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < u32::MAX => number += 1,
                Err(error) => return Err(failed("created", &path)(error)),
            }
        }
    }
}

/// Hashes a file from where it stands to its end, and says how many bytes that are.
pub(crate) fn hash(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_was_damaged_is_gone_when_it_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = store.keep(b"content").unwrap();
        assert!(store.is_intact(&digest).unwrap());
        assert_eq!(store.bytes(&digest).unwrap(), b"content");
        fs::write(store.path(&digest), b"conTent").unwrap();
        assert!(!store.is_intact(&digest).unwrap());
        assert!(!store.path(&digest).exists());
        assert!(!store.is_intact(&digest).unwrap());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_the_option() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = Store::open(&folder.path().join("file")).unwrap_err().to_string();
        assert!(error.contains("file/blobs") && error.contains("--cache-dir"), "{error}");
    }

    #[test]
    fn nothing_is_left_where_things_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.keep(b"a").unwrap();
        store.keep(b"a").unwrap();
        let path = store.keep_application(&Digest::of(b"m"), b"{}", &[]).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"{}");
        assert_eq!(fs::read_dir(store.partials()).unwrap().count(), 0);
    }
}
