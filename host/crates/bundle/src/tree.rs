//! A bundle's folder, reached without following any symbolic link below it.

use crate::{BundleError, VerifyError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Folders in folders; a bundle needs two or three.
const MAX_DEPTH: usize = 8;

/// An open bundle folder.
pub(crate) struct Tree {
    folder: OwnedFd,
    bundle: String,
}

impl Tree {
    pub(crate) fn open(path: &Path, bundle: String) -> Result<Self, BundleError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| BundleError::Io {
            path: path.to_owned(),
            action: "opened as a bundle's folder",
            source: errno.into(),
        })?;
        Ok(Self { folder, bundle })
    }

    /// Opens a regular file by its path in the bundle.
    pub(crate) fn file(&self, path: &str) -> Result<File, VerifyError> {
        let mut parent = None;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let folder = parent.as_ref().unwrap_or(&self.folder);
            let is_last = names.peek().is_none();
            let kind = self.kind(folder, name, path)?;
            let wanted = if is_last { FileType::RegularFile } else { FileType::Directory };
            if kind != wanted {
                return Err(self.not_a_file(path, kind));
            }
            // Between the look and the opening something may have changed; these flags make that an error.
            let flags = if is_last { OFlags::NONBLOCK } else { OFlags::DIRECTORY };
            let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened =
                rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|errno| self.failed(path, errno))?;
            if is_last {
                let file = File::from(opened);
                let metadata = file.metadata().map_err(|source| self.unreadable(path, source))?;
                return if metadata.is_file() { Ok(file) } else { Err(self.not_a_file(path, FileType::Unknown)) };
            }
            parent = Some(opened);
        }
        Err(self.failed(path, Errno::NOENT))
    }

    /// Refuses files that are in the folder but not in `listed`; hidden ones are ignored.
    pub(crate) fn holds_only(&self, listed: &BTreeSet<&str>) -> Result<(), VerifyError> {
        self.walk(&self.folder, "", 0, listed)
    }

    fn walk(&self, folder: &OwnedFd, prefix: &str, depth: usize, listed: &BTreeSet<&str>) -> Result<(), VerifyError> {
        let place = if prefix.is_empty() { "." } else { prefix.trim_end_matches('/') };
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(|errno| self.failed(place, errno))? {
            let entry = entry.map_err(|errno| self.failed(place, errno))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            let path = format!("{prefix}{name}");
            match self.kind(folder, &name, &path)? {
                FileType::Directory if depth < MAX_DEPTH => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let inner = rustix::fs::openat(folder, name.as_str(), flags, Mode::empty())
                        .map_err(|errno| self.failed(&path, errno))?;
                    self.walk(&inner, &format!("{path}/"), depth + 1, listed)?;
                }
                FileType::RegularFile if listed.contains(path.as_str()) => {}
                FileType::RegularFile => return Err(VerifyError::Unlisted { bundle: self.bundle.clone(), path }),
                kind => return Err(self.not_a_file(&path, kind)),
            }
        }
        Ok(())
    }

    fn kind(&self, folder: &OwnedFd, name: &str, path: &str) -> Result<FileType, VerifyError> {
        let stat =
            rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| self.failed(path, errno))?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    fn failed(&self, path: &str, errno: Errno) -> VerifyError {
        match errno {
            Errno::NOENT => VerifyError::Missing { bundle: self.bundle.clone(), path: path.to_owned() },
            Errno::LOOP => self.not_a_file(path, FileType::Symlink),
            other => self.unreadable(path, other.into()),
        }
    }

    fn unreadable(&self, path: &str, source: std::io::Error) -> VerifyError {
        VerifyError::Read { bundle: self.bundle.clone(), path: path.to_owned(), source }
    }

    fn not_a_file(&self, path: &str, kind: FileType) -> VerifyError {
        let found = match kind {
            FileType::Symlink => "a symbolic link, or lies behind one",
            FileType::Directory => "a folder, or folders too deep",
            FileType::RegularFile => "behind a file instead of a folder",
            FileType::Fifo => "a named pipe",
            FileType::Socket => "a socket",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            FileType::Unknown => "no regular file",
        };
        VerifyError::NotAFile { bundle: self.bundle.clone(), path: path.to_owned(), found }
    }
}
