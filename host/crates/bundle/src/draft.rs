//! A bundle that is being written into a repository, and appears there whole or not at all.
//!
//! It lies in a folder whose name begins with a dot, which whoever reads the repository leaves alone, and becomes a
//! version by one rename that replaces nothing. What is not published is removed when the draft is dropped. A process
//! that writes holds a lock on a file in it; what one left that was killed nobody holds, and the next draft of the
//! repository removes it.

use crate::hashing::{Pass, PassError};
use crate::{Bundle, BundleError, Digest, FileEntry, Pace, Role};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use semver::Version;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DRAFT: &str = ".draft-";
/// The file whose lock says that somebody still writes. It never has this name before it is locked.
const LOCK: &str = "lock";
const NEW_LOCK: &str = "lock.new";
/// A folder without such a file that is younger may belong to a process that has just made it.
const ABANDONED: Duration = Duration::from_secs(60);
/// Read, hashed and written at once.
const CHUNK: usize = 128 << 10;

/// Why a draft did not become a bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The version is there.
    #[error("{bundle} is in {} already, and a version never changes; choose another version", repository.display())]
    Exists {
        /// `name@version`.
        bundle: String,
        /// The repository.
        repository: PathBuf,
    },
    /// The operating system refused.
    #[error("{} cannot be {action}: {source}; check space and permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A file is not as long as its source said.
    #[error("\"{path}\" has {found} bytes where {expected} were expected; it changed, or is damaged: fetch it again")]
    Length {
        /// In the bundle.
        path: String,
        /// As said.
        expected: u64,
        /// As found.
        found: u64,
    },
    /// Whoever was told of its progress broke it off.
    #[error("{bundle} was given up; nothing was left behind")]
    GivenUp {
        /// `name@version`.
        bundle: String,
    },
    /// What was written is no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// A bundle that is being written.
#[derive(Debug)]
pub struct Draft {
    name: String,
    version: String,
    repository: PathBuf,
    /// The draft's own folder; the bundle's lies in it.
    hidden: PathBuf,
    /// Says that somebody still writes; it ends with the process.
    lock: Option<File>,
    /// Folders that were made for it, innermost first.
    made: Vec<PathBuf>,
}

impl Draft {
    /// Begins a version in a repository, which is made where it is absent.
    ///
    /// # Errors
    /// [`DraftError::Exists`] where the version is there; what the disk says.
    pub fn begin(repository: &Path, name: &str, version: &Version) -> Result<Self, DraftError> {
        let version = version.to_string();
        let mut made = Vec::new();
        make(repository, &mut made)?;
        let stamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let hidden = repository.join(format!("{DRAFT}{}-{stamp}", std::process::id()));
        let mut draft = Self {
            name: name.to_owned(),
            version,
            repository: repository.to_owned(),
            hidden: hidden.clone(),
            lock: None,
            made,
        };
        remove_abandoned(repository);
        draft.is_new()?;
        fs::create_dir(&hidden).map_err(failed("made", &hidden))?;
        draft.lock = Some(hold(&hidden).map_err(failed("locked", &hidden))?);
        fs::create_dir_all(draft.folder()).map_err(failed("made", &draft.folder()))?;
        Ok(draft)
    }

    /// `name@version`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The bundle's folder while it is being written.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.hidden.join(&self.name).join(&self.version)
    }

    /// A folder for what is needed on the way; it goes with the draft.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.hidden.join("scratch")
    }

    /// Copies a file into the bundle and says what it is. Where the file system can share blocks, it takes no room.
    ///
    /// # Errors
    /// What the disk says; [`DraftError::GivenUp`].
    pub fn add_file(
        &self,
        path: &str,
        role: Role,
        source: &File,
        pace: &mut Pace<'_>,
    ) -> Result<FileEntry, DraftError> {
        let size = source.metadata().map_err(failed("examined", Path::new(path)))?.len();
        let (target, file) = self.create(path)?;
        let pass = Pass { path, size, forget: true };
        let passed = if rustix::fs::ioctl_ficlone(&file, source).is_ok() {
            pass.run(&file, None, pace)
        } else {
            crate::blobs::rewind(source).map_err(failed("read", Path::new(path)))?;
            pass.run(source, Some(&file), pace)
        };
        let (sha256, found) = passed.map_err(|error| match error {
            PassError::Read(source) => failed("read", Path::new(path))(source),
            PassError::Write(source) => failed("written", &target)(source),
            PassError::GivenUp => DraftError::GivenUp { bundle: self.id() },
        })?;
        self.is_whole(path, size, found)?;
        file.sync_all().map_err(failed("written", &target))?;
        Ok(FileEntry { path: path.to_owned(), role, sha256, size })
    }

    /// Writes `size` bytes of a stream into the bundle; no more are read than that and one chunk.
    ///
    /// # Errors
    /// What the disk says; [`DraftError::Length`] where there are more or fewer; [`DraftError::GivenUp`].
    pub fn add_stream(
        &self,
        path: &str,
        role: Role,
        source: &mut dyn Read,
        size: u64,
        pace: &mut Pace<'_>,
    ) -> Result<FileEntry, DraftError> {
        let (target, mut file) = self.create(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let mut done = 0_u64;
        while done <= size {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed("read", Path::new(path))(error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            done += count as u64;
            if done <= size {
                hasher.update(bytes);
                file.write_all(bytes).map_err(failed("written", &target))?;
            }
            pace.step(count as u64, path, done, size)
                .map_err(|_broken_off| DraftError::GivenUp { bundle: self.id() })?;
        }
        self.is_whole(path, size, done)?;
        file.sync_all().map_err(failed("written", &target))?;
        Ok(FileEntry { path: path.to_owned(), role, sha256: Digest::finish(hasher), size })
    }

    /// Writes the manifest, over one that was written before, and reads the bundle as everybody will.
    ///
    /// # Errors
    /// What the disk says, and what is wrong with the manifest.
    pub fn write(&self, manifest: &str) -> Result<Bundle, DraftError> {
        let path = self.folder().join(crate::bundle::MANIFEST);
        let written = File::create(&path).and_then(|mut file| {
            file.write_all(manifest.as_bytes())?;
            file.sync_all()
        });
        written.map_err(failed("written", &path))?;
        Ok(Bundle::open(&self.folder())?)
    }

    /// Has the bundle appear in the repository, by one rename. Verification is for whoever wrote it.
    ///
    /// # Errors
    /// [`DraftError::Exists`] where the version has appeared meanwhile; what the disk says.
    pub fn publish(mut self) -> Result<Bundle, DraftError> {
        let (from, parent) = (self.folder(), self.repository.join(&self.name));
        Bundle::open(&from)?;
        make(&parent, &mut self.made)?;
        let target = parent.join(&self.version);
        match renameat_with(CWD, &from, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::NOTEMPTY) => return Err(self.exists()),
            // Some file systems cannot promise that nothing is replaced. A folder with something in it never is.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                self.is_new()?;
                fs::rename(&from, &target).map_err(failed("put in place", &target))?;
            }
            Err(errno) => return Err(failed("put in place", &target)(errno.into())),
        }
        // What was made for it is needed from now on.
        self.made.clear();
        File::open(&parent).and_then(|folder| folder.sync_all()).map_err(failed("written", &parent))?;
        Ok(Bundle::open(&target)?)
    }

    fn create(&self, path: &str) -> Result<(PathBuf, File), DraftError> {
        let target = self.folder().join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed("made", parent))?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&target);
        let file = file.map_err(failed("made", &target))?;
        Ok((target, file))
    }

    fn is_whole(&self, path: &str, expected: u64, found: u64) -> Result<(), DraftError> {
        if expected == found {
            return Ok(());
        }
        Err(DraftError::Length { path: path.to_owned(), expected, found })
    }

    fn is_new(&self) -> Result<(), DraftError> {
        match self.repository.join(&self.name).join(&self.version).symlink_metadata() {
            Ok(_) => Err(self.exists()),
            Err(_) => Ok(()),
        }
    }

    fn exists(&self) -> DraftError {
        DraftError::Exists { bundle: self.id(), repository: self.repository.clone() }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed now is removed when the next one begins.
        drop(fs::remove_dir_all(&self.hidden));
        drop(self.lock.take());
        for folder in &self.made {
            // One that has something in it by now stays.
            drop(fs::remove_dir(folder));
        }
    }
}

/// Makes a folder and those above it, and notes which ones it made, innermost first.
fn make(folder: &Path, made: &mut Vec<PathBuf>) -> Result<(), DraftError> {
    let mut absent = Vec::new();
    let mut at = Some(folder);
    while let Some(path) = at.filter(|path| !path.as_os_str().is_empty() && !path.exists()) {
        absent.push(path.to_owned());
        at = path.parent();
    }
    for path in absent.into_iter().rev() {
        match fs::create_dir(&path) {
            Ok(()) => made.insert(0, path),
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("made", &path)(error)),
        }
    }
    Ok(())
}

/// Holds a draft until the process ends. Whoever sees the file by its name sees it locked.
fn hold(hidden: &Path) -> io::Result<File> {
    let (new, name) = (hidden.join(NEW_LOCK), hidden.join(LOCK));
    let file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    fs::rename(&new, &name)?;
    Ok(file)
}

/// Drafts of processes that were killed.
fn remove_abandoned(repository: &Path) {
    let Ok(entries) = fs::read_dir(repository) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(DRAFT)) {
        let path = entry.path();
        let abandoned = match OpenOptions::new().write(true).open(path.join(LOCK)) {
            Ok(file) => is_free(&file),
            // Killed between two calls of the kernel, or by a version that locked the folder; or just begun.
            Err(_) => is_old(&path) && File::open(&path).is_ok_and(|folder| is_free(&folder)),
        };
        if abandoned {
            drop(fs::remove_dir_all(&path));
        }
    }
}

fn is_free(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn is_old(path: &Path) -> bool {
    let modified = path.metadata().and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age >= ABANDONED)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DraftError + use<> {
    let path = path.to_owned();
    move |source| DraftError::Io { path, action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(repository: &Path) -> Result<Draft, DraftError> {
        Draft::begin(repository, "tiny", &Version::new(1, 0, 0))
    }

    #[test]
    fn a_draft_that_is_dropped_leaves_nothing_not_even_the_folders_made_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("new/models");
        let draft = begin(&repository).unwrap();
        draft.add_stream("weights.gguf", Role::Weights, &mut &b"foo"[..], 3, &mut Pace::full()).unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_version_that_is_there_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tiny/1.0.0")).unwrap();
        let error = begin(folder.path()).unwrap_err();
        assert!(matches!(error, DraftError::Exists { .. }), "{error}");
        assert!(error.to_string().contains("tiny@1.0.0"), "{error}");
    }

    #[test]
    fn a_stream_must_be_as_long_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes, path) in [(&b"fo"[..], "a"), (&b"foo!"[..], "b")] {
            let draft = begin(folder.path()).unwrap();
            let error = draft.add_stream(path, Role::Other, &mut &*bytes, 3, &mut Pace::full()).unwrap_err();
            assert!(matches!(error, DraftError::Length { expected: 3, .. }), "{error}");
        }
    }

    #[test]
    fn what_a_killed_process_left_goes_with_the_next_draft_and_what_is_being_written_stays() {
        let folder = tempfile::tempdir().unwrap();
        // Killed a moment ago: its lock is there, and nobody holds it.
        let killed = folder.path().join(".draft-1-1");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        // Killed before it had one, long ago and just now.
        let (old, young) = (folder.path().join(".draft-2-2"), folder.path().join(".draft-3-3"));
        fs::create_dir(&old).unwrap();
        fs::create_dir(&young).unwrap();
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        File::open(&old).unwrap().set_modified(long_ago).unwrap();
        let first = begin(folder.path()).unwrap();
        assert!(!killed.exists() && !old.exists() && young.exists());
        File::open(&first.hidden).unwrap().set_modified(long_ago).unwrap();
        let second = Draft::begin(folder.path(), "other", &Version::new(1, 0, 0)).unwrap();
        assert!(first.folder().is_dir() && second.folder().is_dir());
    }

    #[test]
    fn what_a_killed_process_left_goes_even_where_the_version_is_there_already() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("tiny/1.0.0")).unwrap();
        let killed = folder.path().join(".draft-1-1");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        assert!(matches!(begin(folder.path()), Err(DraftError::Exists { .. })));
        assert!(!killed.exists());
    }
}
