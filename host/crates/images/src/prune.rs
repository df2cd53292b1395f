//! What goes when images take more room than they may: what no application needs, then the applications that were used
//! least recently, with the blobs that no other one needs.

use crate::digest::Digest;
use crate::hold::Removing;
use crate::store::{Store, StoreError, failed};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What pruning came to, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// What was removed.
    pub freed: u64,
    /// What is left.
    pub left: u64,
    /// What of it running hosts use.
    pub in_use: u64,
}

/// Removes images from the folder until they take at most so many bytes. What a running host uses stays, and so does what
/// no longer fits only because of it. None where somebody fetches an image just now. Blocking.
///
/// # Errors
/// When the folder cannot be read or something in it cannot be removed.
pub fn prune(cache: &Path, most: u64) -> Result<Option<Pruned>, StoreError> {
    let store = Store::open(cache)?;
    let Some(removing) = store.removing()? else { return Ok(None) };
    let stock = Stock::of(&store, &removing)?;
    let before = stock.bytes();
    let mut freed = 0;
    for gone in stock.what_goes(most) {
        freed += gone.bytes;
        let remove = if gone.path.is_dir() { fs::remove_dir_all } else { fs::remove_file };
        remove(&gone.path).map_err(failed("removed", &gone.path))?;
    }
    Ok(Some(Pruned { freed, left: before - freed, in_use: stock.in_use() }))
}

/// A file, or a folder with small files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

#[derive(Debug)]
struct Application {
    item: Item,
    is_held: bool,
    blobs: BTreeSet<Digest>,
}

/// Everything that is kept.
#[derive(Debug, Default)]
struct Stock {
    applications: Vec<Application>,
    blobs: BTreeMap<Digest, Item>,
    /// What has come of blobs that are not whole.
    partials: Vec<Item>,
}

impl Stock {
    fn of(store: &Store, removing: &Removing) -> Result<Self, StoreError> {
        let named = |path: &Path| Digest::parse(&format!("sha256:{}", path.file_name()?.to_str()?)).ok();
        let mut stock = Self { partials: items(&store.partials())?, ..Self::default() };
        for item in items(&store.blobs())? {
            if let Some(digest) = named(&item.path) {
                stock.blobs.insert(digest, item);
            }
        }
        for mut item in items(&store.applications())? {
            let Some(digest) = named(&item.path) else { continue };
            let files = items(&item.path)?;
            item.bytes = files.iter().map(|file| file.bytes).sum();
            item.used = fs::metadata(store.in_use(&digest)).and_then(|lock| lock.modified()).unwrap_or(item.used);
            let is_held = store.is_held(removing, &digest)?;
            stock.applications.push(Application { item, is_held, blobs: store.blobs_of(&digest)? });
        }
        Ok(stock)
    }

    fn bytes(&self) -> u64 {
        let applications = self.applications.iter().map(|application| &application.item);
        applications.chain(self.blobs.values()).chain(&self.partials).map(|item| item.bytes).sum()
    }

    fn in_use(&self) -> u64 {
        let held = || self.applications.iter().filter(|application| application.is_held);
        let blobs: BTreeSet<&Digest> = held().flat_map(|application| &application.blobs).collect();
        let blobs = blobs.into_iter().filter_map(|digest| self.blobs.get(digest));
        held().map(|application| &application.item).chain(blobs).map(|item| item.bytes).sum()
    }

    /// What has to go, in an order in which no application is ever without a blob that it needs.
    fn what_goes(&self, most: u64) -> Vec<Item> {
        let mut users: BTreeMap<&Digest, usize> = BTreeMap::new();
        for digest in self.applications.iter().flat_map(|application| &application.blobs) {
            *users.entry(digest).or_default() += 1;
        }
        let (mut left, mut gone) = (self.bytes(), Vec::new());
        let unused = self.blobs.iter().filter(|(digest, _)| !users.contains_key(digest)).map(|(_, item)| item);
        let mut loose: Vec<&Item> = unused.chain(&self.partials).collect();
        loose.sort_by_key(|item| item.used);
        let mut applications: Vec<_> = self.applications.iter().filter(|application| !application.is_held).collect();
        applications.sort_by_key(|application| application.item.used);
        let mut remove = |item: &Item, left: &mut u64| {
            *left -= item.bytes;
            gone.push(item.clone());
        };
        for item in loose {
            if left > most {
                remove(item, &mut left);
            }
        }
        for application in applications {
            if left <= most {
                break;
            }
            remove(&application.item, &mut left);
            for digest in &application.blobs {
                let others = users.get_mut(digest).map_or(0, |users| {
                    *users -= 1;
                    *users
                });
                if let Some(item) = self.blobs.get(digest).filter(|_| others == 0) {
                    remove(item, &mut left);
                }
            }
        }
        gone
    }
}

/// What is in a folder; nothing where there is none.
fn items(folder: &Path) -> Result<Vec<Item>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", folder)(error)),
    };
    let item = |entry: fs::DirEntry| {
        let metadata = entry.metadata()?;
        Ok(Item { path: entry.path(), bytes: metadata.len(), used: metadata.modified()? })
    };
    entries.map(|entry| entry.and_then(item).map_err(failed("read", folder))).collect()
}

#[cfg(test)]
#[path = "prune/tests.rs"]
mod tests;
