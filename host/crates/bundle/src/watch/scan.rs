//! One look at a repository: which versions there are, a stamp of each, and the folders to be told of.

use super::ledger::{Id, Stamp};
use crate::bundle::MANIFEST;
use rustix::fs::inotify::{WatchFlags, add_watch};
use rustix::io::Errno;
use semver::Version;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{DirEntry, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Folders in folders of one version, as in verification.
const MAX_DEPTH: usize = 8;

/// What the kernel is asked to tell. Reading is not among it: hashing a bundle must not wake anybody.
const TOLD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// The folder that a watch is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Watched {
    Repository,
    /// The folder of a name.
    Name(String),
    /// A version's folder, or one below it.
    Version(Id),
}

/// One look.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) versions: BTreeMap<Id, Stamp>,
    /// By the kernel's number.
    pub(super) watched: HashMap<i32, Watched>,
    /// Why some folder is not watched.
    pub(super) blind: Option<String>,
    unsure: Unsure,
}

/// What could not be looked at, though it may be there.
#[derive(Default)]
struct Unsure {
    all: bool,
    names: BTreeSet<String>,
    versions: BTreeSet<Id>,
}

impl Scan {
    /// Looks at everything. A folder is watched before it is listed, so that nothing falls between.
    pub(super) fn of(repository: &Path, kernel: Option<BorrowedFd<'_>>) -> Self {
        let mut scan = Self::default();
        if kernel.is_none() {
            scan.blind = Some("the kernel gives no inotify".into());
        }
        scan.watch(kernel, repository, &Watched::Repository);
        match folders(repository) {
            Ok(names) => names.iter().for_each(|name| scan.name(kernel, &repository.join(name), name)),
            Err(error) => {
                scan.unsure.all = error.kind() != ErrorKind::NotFound;
                scan.blind.get_or_insert_with(|| format!("{} cannot be listed: {error}", repository.display()));
            }
        }
        scan
    }

    fn name(&mut self, kernel: Option<BorrowedFd<'_>>, folder: &Path, name: &str) {
        self.watch(kernel, folder, &Watched::Name(name.to_owned()));
        let versions = match folders(folder) {
            Ok(versions) => versions,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(_unreadable) => {
                self.unsure.names.insert(name.to_owned());
                return;
            }
        };
        for version in versions {
            let folder = folder.join(&version);
            let id = Id { name: name.to_owned(), version };
            let watched = Watched::Version(id.clone());
            // Watched even where it is no bundle yet: its manifest may be written last.
            let stamp = self.stamp(kernel, &folder, &watched, 0);
            let claims = Version::parse(&id.version).is_ok() || folder.join(MANIFEST).symlink_metadata().is_ok();
            match stamp {
                Ok(stamp) if claims => {
                    self.versions.insert(id, stamp);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(_unreadable) => {
                    self.unsure.versions.insert(id);
                }
            }
        }
    }

    /// The sum over all files, so that the order of the listing does not matter.
    fn stamp(
        &mut self,
        kernel: Option<BorrowedFd<'_>>,
        folder: &Path,
        watched: &Watched,
        depth: usize,
    ) -> io::Result<Stamp> {
        self.watch(kernel, folder, watched);
        let mut sum: Stamp = 0;
        for entry in visible(folder)? {
            let path = entry.path();
            // Not followed: a bundle holds no links, and one that comes is a change.
            let metadata = match path.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            sum = sum.wrapping_add(stamp_of(&path, &metadata));
            if metadata.is_dir() && depth < MAX_DEPTH {
                sum = sum.wrapping_add(self.stamp(kernel, &path, watched, depth + 1)?);
            }
        }
        Ok(sum)
    }

    fn watch(&mut self, kernel: Option<BorrowedFd<'_>>, folder: &Path, watched: &Watched) {
        let Some(kernel) = kernel else { return };
        match add_watch(kernel.as_fd(), folder, TOLD) {
            Ok(number) => {
                self.watched.insert(number, watched.clone());
            }
            Err(Errno::NOENT | Errno::NOTDIR) if *watched != Watched::Repository => {}
            Err(errno) => {
                let hint = match errno {
                    Errno::NOSPC => "; the table is full: raise fs.inotify.max_user_watches",
                    _ => "",
                };
                self.blind.get_or_insert_with(|| format!("{} cannot be watched: {errno}{hint}", folder.display()));
            }
        }
    }

    /// Takes over from `known` what could not be looked at: an unreadable folder is no removed one.
    pub(super) fn keep_unsure(&mut self, known: &BTreeMap<Id, Stamp>) {
        let unsure = &self.unsure;
        let kept = known
            .iter()
            .filter(|(id, _)| unsure.all || unsure.names.contains(&id.name) || unsure.versions.contains(*id));
        for (id, stamp) in kept {
            self.versions.entry(id.clone()).or_insert(*stamp);
        }
    }
}

fn stamp_of(path: &Path, metadata: &Metadata) -> Stamp {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    if metadata.is_dir() {
        // A folder's times change with hidden files too; what is in it is stamped by itself.
        return hasher.finish();
    }
    (metadata.mode(), metadata.ino(), metadata.len()).hash(&mut hasher);
    // The second one cannot be set back by whoever writes.
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()).hash(&mut hasher);
    hasher.finish()
}

/// Names that begin with a dot are being written.
fn visible(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The folders in a folder, links to folders among them.
fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let entries = visible(folder)?.into_iter().filter(|entry| entry.path().is_dir());
    Ok(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
