//! The content-addressed store: `<state>/blobs/sha256/<hex>`, read-only files that workers map.
//!
//! A blob is always a copy (shared blocks where the file system can clone), never a hard link: a write into the
//! operator's file would show through a link into a live worker.

mod collect;

pub use collect::Collected;

use crate::hashing::{Pace, Pass, PassError};
use crate::{Digest, VerifyError};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use std::fs::{File, Permissions};
use std::io::{self, Seek};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const TEMPORARY: &str = ".tmp-";

/// Where verified bytes lie.
#[derive(Debug, Clone)]
pub struct BlobStore {
    folder: PathBuf,
}

/// What one file should be.
pub(crate) struct Expected<'a> {
    pub(crate) bundle: &'a str,
    pub(crate) path: &'a str,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Expected<'_> {
    pub(crate) fn size_is(&self, found: u64) -> Result<(), VerifyError> {
        if found == self.size {
            return Ok(());
        }
        let Self { bundle, path, size, .. } = self;
        Err(VerifyError::Size { bundle: (*bundle).to_owned(), path: (*path).to_owned(), expected: *size, found })
    }

    /// Judges a pass.
    pub(crate) fn is(&self, found: Digest, size: u64) -> Result<(), VerifyError> {
        self.size_is(size)?;
        if found == self.digest {
            return Ok(());
        }
        let Self { bundle, path, digest, .. } = self;
        Err(VerifyError::Digest { bundle: (*bundle).to_owned(), path: (*path).to_owned(), expected: *digest, found })
    }

    pub(crate) fn given_up(&self) -> VerifyError {
        VerifyError::GivenUp { bundle: self.bundle.to_owned() }
    }

    pub(crate) fn unreadable(&self, source: io::Error) -> VerifyError {
        VerifyError::Read { bundle: self.bundle.to_owned(), path: self.path.to_owned(), source }
    }
}

impl BlobStore {
    /// Opens the store below a state folder, making it where it is absent, and removes what interrupted
    /// verifications left.
    ///
    /// # Errors
    /// [`VerifyError::Blob`] where the folder cannot be made or read.
    pub fn open(state: &Path) -> Result<Self, VerifyError> {
        let folder = state.join("blobs").join("sha256");
        let store = Self { folder };
        std::fs::create_dir_all(&store.folder).map_err(|source| store.failed(None, "made", source))?;
        let entries = std::fs::read_dir(&store.folder).map_err(|source| store.failed(None, "listed", source))?;
        for entry in entries {
            let entry = entry.map_err(|source| store.failed(None, "listed", source))?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                remove_if_abandoned(&entry.path());
            }
        }
        Ok(store)
    }

    /// Where the blob of a digest lies, if it is there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// Makes sure that the store has `source`'s bytes and that they are the expected ones.
    pub(crate) fn keep(
        &self,
        source: &File,
        expected: &Expected<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<PathBuf, VerifyError> {
        expected.size_is(source.metadata().map_err(|error| expected.unreadable(error))?.len())?;
        let blob = self.path(&expected.digest);
        if self.is_whole(&blob, expected, pace)? {
            // The blob would do; but a bundle whose own file is damaged is not verified.
            let pass = Pass { path: expected.path, size: expected.size, forget: true };
            let (digest, size) = pass.run(source, None, pace).map_err(|error| self.pass_failed(error, expected))?;
            expected.is(digest, size)?;
        } else {
            self.copy(source, &blob, expected, pace)?;
        }
        Ok(blob)
    }

    /// How many bytes [`Self::keep`] will read: a blob that is there is read besides the file.
    pub(crate) fn work(&self, expected: &Expected<'_>) -> u64 {
        let there = self.path(&expected.digest).symlink_metadata();
        let twice = there.is_ok_and(|metadata| metadata.is_file() && metadata.len() == expected.size);
        expected.size.saturating_mul(if twice { 2 } else { 1 })
    }

    /// An existing blob is trusted only after its bytes were hashed again; anything else is replaced.
    fn is_whole(&self, blob: &Path, expected: &Expected<'_>, pace: &mut Pace<'_>) -> Result<bool, VerifyError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(blob, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
            Err(errno) => return Err(self.failed(Some(blob), "opened", errno.into())),
        };
        let metadata = file.metadata().map_err(|source| self.failed(Some(blob), "examined", source))?;
        if !metadata.is_file() || metadata.len() != expected.size {
            return Ok(false);
        }
        let pass = Pass { path: expected.path, size: expected.size, forget: false };
        match pass.run(&file, None, pace) {
            Ok((digest, size)) => Ok(digest == expected.digest && size == expected.size),
            Err(PassError::Read(source) | PassError::Write(source)) => Err(self.failed(Some(blob), "read", source)),
            Err(PassError::GivenUp) => Err(expected.given_up()),
        }
    }

    fn copy(
        &self,
        source: &File,
        blob: &Path,
        expected: &Expected<'_>,
        pace: &mut Pace<'_>,
    ) -> Result<(), VerifyError> {
        let temporary = self.temporary()?;
        let file = &temporary.file;
        let pass = Pass { path: expected.path, size: expected.size, forget: true };
        // What is hashed is what is stored: either the clone itself, or each chunk on its way.
        let result = if rustix::fs::ioctl_ficlone(file, source).is_ok() {
            pass.run(file, None, pace)
        } else {
            self.reserve(&temporary, expected.size)?;
            pass.run(source, Some(file), pace)
        };
        let (digest, size) = result.map_err(|error| self.pass_failed(error, expected))?;
        expected.is(digest, size)?;
        let read_only = file.set_permissions(Permissions::from_mode(0o444));
        read_only.and_then(|()| file.sync_all()).map_err(|source| self.failed(Some(blob), "written", source))?;
        temporary.publish(blob).map_err(|source| self.failed(Some(blob), "put in place", source))
    }

    /// Takes the space at once, so that a full disk is known before gigabytes are read.
    fn reserve(&self, temporary: &Temporary, size: u64) -> Result<(), VerifyError> {
        if size == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(&temporary.file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                Err(self.failed(Some(&temporary.path), "given the space it needs", errno.into()))
            }
            // Not every file system can reserve; the copy will find out.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn temporary(&self) -> Result<Temporary, VerifyError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{TEMPORARY}{}-{count}-{now}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| self.failed(Some(&path), "made", source))?;
        // The lock says that somebody still writes; it ends with the process.
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| self.failed(Some(&path), "locked", errno.into()))?;
        Ok(Temporary { path, file, published: false })
    }

    fn pass_failed(&self, error: PassError, expected: &Expected<'_>) -> VerifyError {
        match error {
            PassError::Read(source) => expected.unreadable(source),
            PassError::Write(source) => self.failed(Some(&self.path(&expected.digest)), "written", source),
            PassError::GivenUp => expected.given_up(),
        }
    }

    pub(crate) fn failed(&self, path: Option<&Path>, action: &'static str, source: io::Error) -> VerifyError {
        VerifyError::Blob { path: path.unwrap_or(&self.folder).to_owned(), action, source }
    }
}

/// A file that is removed unless it became a blob.
struct Temporary {
    path: PathBuf,
    file: File,
    published: bool,
}

impl Temporary {
    fn publish(mut self, blob: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, blob)?;
        self.published = true;
        let folder = blob.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is removed when the store is opened next.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn remove_if_abandoned(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        drop(std::fs::remove_file(path));
    }
}

/// Rewinds a file that was read.
pub(crate) fn rewind(mut file: &File) -> io::Result<()> {
    file.rewind()
}
