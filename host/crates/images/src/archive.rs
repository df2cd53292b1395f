//! Archive layers: compressed archives of files that a component mounts.
//!
//! The application names each file by its digest and says where the component finds it. So names in the archive, links and
//! folders mean nothing here, and nothing in it chooses a path on this disk: plain files whose digests are wanted are
//! kept, and everything else is read past.

use crate::bounds;
use crate::digest::{Digest, Hasher};
use crate::store::{Store, StoreError, failed};
use flate2::read::GzDecoder;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use tar::{Archive, EntryType};

/// An archive whose files cannot be taken out.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// No compressed archive.
    #[error("the archive layer {digest} cannot be unpacked")]
    Damaged {
        /// The layer.
        digest: Digest,
        /// What is wrong.
        source: io::Error,
    },
    /// Too much in it.
    #[error("the archive layers are larger, unpacked, than the {bytes} bytes that are left of what is accepted")]
    TooLarge {
        /// The bound.
        bytes: u64,
    },
    /// Too many entries.
    #[error("the archive layer {digest} has more than {entries} entries, which is the most that is accepted")]
    TooMany {
        /// The layer.
        digest: Digest,
        /// The bound.
        entries: u64,
    },
    /// This disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How much is unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes that are left for all archives of an image.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: bounds::UNPACKED_BYTES, entries: bounds::ARCHIVE_ENTRIES }
    }
}

/// Takes the wanted files out of an archive that is here, and out of `wanted`. Stops when nothing is wanted any more.
pub(crate) fn unpack(
    store: &Store,
    digest: &Digest,
    wanted: &mut BTreeSet<Digest>,
    room: &mut Room,
) -> Result<(), ArchiveError> {
    let path = store.path(digest);
    let file = File::open(&path).map_err(failed("opened", &path))?;
    let (scratch, written) = store.scratch()?;
    let mut taker = Taker { store, scratch, written: &written, used: false };
    let left = Cell::new(room.bytes);
    let unpacked = Bounded { inner: GzDecoder::new(BufReader::new(file)), left: &left };
    let result = taker.all(digest, unpacked, wanted, room);
    let _ = fs::remove_file(&written);
    match result {
        Err(ArchiveError::Damaged { .. }) if left.get() == 0 => Err(ArchiveError::TooLarge { bytes: room.bytes }),
        other => {
            room.bytes = left.get();
            other
        }
    }
}

/// Reads no more than so many bytes, and then fails.
struct Bounded<'a, R> {
    inner: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("more than there is room for"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left.set(left.saturating_sub(read as u64));
        Ok(read)
    }
}

/// Writes one file after the other into the same scratch file, which becomes a blob when it is wanted.
struct Taker<'a> {
    store: &'a Store,
    scratch: File,
    written: &'a Path,
    /// The scratch file has become a blob.
    used: bool,
}

impl Taker<'_> {
    fn all(
        &mut self,
        digest: &Digest,
        unpacked: impl Read,
        wanted: &mut BTreeSet<Digest>,
        room: &Room,
    ) -> Result<(), ArchiveError> {
        let damaged = |source| ArchiveError::Damaged { digest: digest.clone(), source };
        let mut archive = Archive::new(unpacked);
        // Raw: extensions of the format would only carry names, which are of no interest, and could be held in memory
        // whole.
        for (number, entry) in (0_u64..).zip(archive.entries().map_err(damaged)?.raw(true)) {
            if wanted.is_empty() {
                return Ok(());
            }
            if number >= room.entries {
                return Err(ArchiveError::TooMany { digest: digest.clone(), entries: room.entries });
            }
            let mut entry = entry.map_err(damaged)?;
            if matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous) {
                self.one(&mut entry, &damaged, wanted)?;
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        entry: &mut impl Read,
        damaged: &dyn Fn(io::Error) -> ArchiveError,
        wanted: &mut BTreeSet<Digest>,
    ) -> Result<(), ArchiveError> {
        if std::mem::take(&mut self.used) {
            let options = File::options().read(true).write(true).create_new(true).open(self.written);
            self.scratch = options.map_err(failed("created", self.written))?;
        } else {
            self.scratch.set_len(0).map_err(failed("written", self.written))?;
            self.scratch.seek(SeekFrom::Start(0)).map_err(failed("written", self.written))?;
        }
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = entry.read(&mut buffer).map_err(damaged)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
            self.scratch.write_all(bytes).map_err(failed("written", self.written))?;
        }
        let found = hasher.digest();
        if wanted.remove(&found) {
            self.store.commit(&self.scratch, self.written, &found)?;
            self.used = true;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "archive/tests.rs"]
mod tests;
