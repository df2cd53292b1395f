//! Unit tests of what goes.

use super::*;
use crate::hold::Held;
use std::time::Duration;

/// A store in which applications were used one after the other, each with blobs of 1,000 bytes.
struct Case {
    folder: tempfile::TempDir,
    store: Store,
    clock: SystemTime,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { folder, store, clock: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) }
    }

    fn blob(&self, name: &str) -> Digest {
        self.store.keep(format!("{name:1000}").as_bytes()).unwrap()
    }

    fn application(&mut self, name: &str, blobs: &[&str]) -> Held {
        let blobs: Vec<Digest> = blobs.iter().map(|name| self.blob(name)).collect();
        let (digest, adding) = (Digest::of(name.as_bytes()), self.store.adding().unwrap());
        self.store.keep_application(&digest, b"{}", &blobs).unwrap();
        let held = self.store.hold(&adding, &digest).unwrap();
        self.clock += Duration::from_secs(1);
        let lock = fs::File::options().write(true).open(self.store.in_use(&digest)).unwrap();
        lock.set_modified(self.clock).unwrap();
        held
    }

    fn prune(&self, most: u64) -> Pruned {
        prune(self.folder.path(), most).unwrap().unwrap()
    }

    /// Which of these blobs are there.
    fn left<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let is_there = |name: &&&str| self.store.path(&Digest::of(format!("{name:1000}").as_bytes())).exists();
        names.iter().filter(is_there).copied().collect()
    }

    fn is_known(&self, name: &str) -> bool {
        self.store.applications().join(Digest::of(name.as_bytes()).hex()).exists()
    }
}

const ALL: [&str; 5] = ["a", "b", "c", "shared", "loose"];

/// Three applications, the first one used last, and a blob that nobody needs.
fn three() -> Case {
    let mut case = Case::new();
    drop(case.application("second", &["b", "shared"]));
    drop(case.application("third", &["c"]));
    drop(case.application("first", &["a", "shared"]));
    case.blob("loose");
    case
}

#[test]
fn what_fits_stays() {
    let case = three();
    let pruned = case.prune(1 << 20);
    assert_eq!((pruned.freed, pruned.in_use), (0, 0));
    assert!(pruned.left > 5_000, "{pruned:?}");
    assert_eq!(case.left(&ALL), ALL);
}

#[test]
fn what_nobody_needs_goes_first_then_what_was_used_least_recently_and_not_what_another_one_needs() {
    let case = three();
    let all = case.prune(u64::MAX).left;
    assert_eq!(case.prune(all - 1).freed, 1_000);
    assert_eq!(case.left(&ALL), ["a", "b", "c", "shared"]);
    case.prune(all - 1_001);
    assert_eq!(case.left(&ALL), ["a", "c", "shared"], "the first one needs what they shared");
    assert!(!case.is_known("second") && case.is_known("third"));
    case.prune(2_900);
    assert_eq!(case.left(&ALL), ["a", "shared"]);
    assert_eq!(case.prune(0).left, 0);
    assert_eq!(case.left(&ALL), [""; 0]);
    assert!(!case.is_known("first"));
}

#[test]
fn what_a_host_uses_stays_however_little_room_there_is() {
    let mut case = Case::new();
    let held = case.application("running", &["a", "shared"]);
    drop(case.application("ended", &["b", "shared"]));
    let pruned = case.prune(0);
    assert_eq!(case.left(&ALL), ["a", "shared"]);
    assert_eq!(pruned.left, pruned.in_use);
    assert!(case.is_known("running") && !case.is_known("ended"));
    drop(held);
    assert_eq!(case.prune(0).left, 0);
}

#[test]
fn nothing_goes_while_somebody_fetches_and_what_is_left_of_a_broken_download_goes() {
    let case = three();
    let partial = case.store.partials().join(Digest::of(b"never came").hex());
    fs::write(&partial, [0; 500]).unwrap();
    let adding = case.store.adding().unwrap();
    assert_eq!(prune(case.folder.path(), 0).unwrap(), None);
    assert!(partial.exists());
    drop(adding);
    case.prune(0);
    assert!(!partial.exists());
}

#[test]
fn an_application_of_an_older_host_goes_without_its_list() {
    let case = Case::new();
    let folder = case.store.applications().join(Digest::of(b"old").hex());
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("spin.lock"), "{}").unwrap();
    case.blob("a");
    case.prune(0);
    assert!(!folder.exists() && case.left(&ALL).is_empty());
}
