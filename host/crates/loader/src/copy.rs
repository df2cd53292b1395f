//! Copies of files, counted against bounds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file that cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// What was tried, as in "it cannot be read".
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is neither a file nor a folder", .0.display())]
    NoFile(PathBuf),
    #[error("there are more than {limit} files, which mounted_files allows")]
    TooManyFiles { limit: u64 },
    #[error("the files have more than {limit} bytes, which mounted_bytes allows")]
    TooManyBytes { limit: u64 },
}

/// Copies files until there are too many, or too much in them.
pub(crate) struct Copier {
    most_files: u64,
    most_bytes: u64,
    files: u64,
    bytes: u64,
}

impl Copier {
    pub(crate) fn new(most_files: u64, most_bytes: u64) -> Self {
        Self { most_files, most_bytes, files: 0, bytes: 0 }
    }

    /// Makes a folder, and those above it.
    pub(crate) fn folder(&self, path: &Path) -> Result<(), CopyError> {
        fs::create_dir_all(path).map_err(|source| CopyError::Io { action: "created", path: path.to_owned(), source })
    }

    /// Copies one file, which replaces what is in its place. Not its permissions: guests may only read all the same.
    pub(crate) fn copy(&mut self, from: &Path, to: &Path) -> Result<(), CopyError> {
        if self.files >= self.most_files {
            return Err(CopyError::TooManyFiles { limit: self.most_files });
        }
        if let Some(folder) = to.parent() {
            self.folder(folder)?;
        }
        let read = |source| CopyError::Io { action: "read", path: from.to_owned(), source };
        let written = |source| CopyError::Io { action: "written", path: to.to_owned(), source };
        // A pipe would be waited for without end.
        if !fs::metadata(from).map_err(read)?.is_file() {
            return Err(CopyError::NoFile(from.to_owned()));
        }
        let file = File::open(from).map_err(read)?;
        let mut copy = File::create(to).map_err(written)?;
        let left = self.most_bytes.saturating_sub(self.bytes);
        // One more than there may be, to see that there is more.
        let copied = io::copy(&mut file.take(left.saturating_add(1)), &mut copy).map_err(written)?;
        if copied > left {
            return Err(CopyError::TooManyBytes { limit: self.most_bytes });
        }
        self.files += 1;
        self.bytes += copied;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_is_allowed_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("deep/er/b"));
        fs::write(&from, "12345").unwrap();
        Copier::new(1, 5).copy(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"12345");
        assert!(matches!(Copier::new(1, 4).copy(&from, &to), Err(CopyError::TooManyBytes { limit: 4 })));
        let mut two = Copier::new(1, 100);
        two.copy(&from, &to).unwrap();
        assert!(matches!(two.copy(&from, &to), Err(CopyError::TooManyFiles { limit: 1 })));
    }

    #[test]
    fn what_is_no_file_is_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = Copier::new(1, 1).copy(folder.path(), &folder.path().join("x")).unwrap_err();
        assert!(matches!(error, CopyError::NoFile(_)), "{error}");
    }
}
