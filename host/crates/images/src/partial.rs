//! What has come of a blob so far. It outlives whoever fetches it, so that the next one goes on where this one ended.

use crate::digest::{Digest, Hasher};
use crate::store::{self, Store, StoreError, failed};
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// The first bytes of a blob, which nobody else writes while this is open.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    length: u64,
}

impl Partial {
    /// Opens what there is of a blob, or begins it. Waits while another host fetches the same; none when that one has
    /// made it whole.
    pub(crate) fn open(store: &Store, digest: &Digest) -> Result<Option<Self>, StoreError> {
        let path = store.partials().join(digest.hex());
        loop {
            if store.path(digest).exists() {
                return Ok(None);
            }
            let options = File::options().read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = options.map_err(failed("opened", &path))?;
            file.lock().map_err(failed("locked", &path))?;
            let opened = file.metadata().map_err(failed("read", &path))?;
            // Whoever had the lock may have renamed or removed the file: then this is no longer the one with the name.
            if !fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino())) {
                continue;
            }
            let mut hasher = Hasher::default();
            let length = store::hash(&mut file, &mut hasher).map_err(failed("read", &path))?;
            return Ok(Some(Self { file, path, hasher, length }));
        }
    }

    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The digest of what is here.
    pub(crate) fn digest(&self) -> Digest {
        self.hasher.digest()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(failed("written", &self.path))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins again.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).map_err(failed("written", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed("written", &self.path))?;
        (self.hasher, self.length) = (Hasher::default(), 0);
        Ok(())
    }

    /// What is here is the blob.
    pub(crate) fn commit(self, store: &Store) -> Result<(), StoreError> {
        store.commit(&self.file, &self.path, &self.digest())
    }

    /// What is here is of no use to anybody.
    pub(crate) fn discard(self) {
        // What cannot be removed is found to be wrong again.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_is_still_there_for_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"content");
        let mut partial = Partial::open(&store, &digest).unwrap().unwrap();
        partial.append(b"con").unwrap();
        drop(partial);
        let mut partial = Partial::open(&store, &digest).unwrap().unwrap();
        assert_eq!(partial.length(), 3);
        partial.append(b"tent").unwrap();
        assert_eq!(partial.digest(), digest);
        partial.commit(&store).unwrap();
        assert!(store.is_intact(&digest).unwrap());
        assert!(Partial::open(&store, &digest).unwrap().is_none(), "it is whole");
    }

    #[test]
    fn beginning_again_forgets_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut partial = Partial::open(&store, &Digest::of(b"ab")).unwrap().unwrap();
        partial.append(b"something longer").unwrap();
        partial.restart().unwrap();
        partial.append(b"ab").unwrap();
        assert_eq!((partial.length(), partial.digest()), (2, Digest::of(b"ab")));
        partial.commit(&store).unwrap();
        assert_eq!(store.bytes(&Digest::of(b"ab")).unwrap(), b"ab");
    }

    #[test]
    fn two_that_want_the_same_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let digest = Digest::of(b"content");
        let mut first = Partial::open(&store, &digest).unwrap().unwrap();
        let second = std::thread::spawn({
            let (store, digest) = (store.clone(), digest.clone());
            move || Partial::open(&store, &digest).unwrap().is_none()
        });
        first.append(b"content").unwrap();
        first.commit(&store).unwrap();
        assert!(second.join().unwrap(), "the second one finds it whole");
    }
}
