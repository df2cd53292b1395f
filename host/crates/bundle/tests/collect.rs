//! Removing blobs: which go, what stays whatever is asked, and when the repository's list may be relied on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::{BundleError, Collected, Digest, Repository, VerifyError};
use rustix::fs::{FlockOperation, flock};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::symlink;
use support::bundle::{TEMPLATE, TestBundle, WEIGHTS, names_in};

fn repository(bundle: &TestBundle) -> Repository {
    Repository::open(&bundle.repository()).unwrap()
}

#[test]
fn a_blob_that_nobody_keeps_is_removed_and_the_others_stay() {
    let bundle = TestBundle::new();
    let verified = bundle.verify().unwrap();
    let weights = Digest::of(&bundle.read(WEIGHTS));
    let collected = bundle.store().collect(&HashSet::from([weights])).unwrap();
    assert_eq!(collected, Collected { blobs: 1, bytes: bundle.read(TEMPLATE).len() as u64 });
    assert_eq!(bundle.blobs(), [weights.hex()]);
    assert_eq!(std::fs::read(verified.weights()).unwrap(), bundle.read(WEIGHTS));
    assert_eq!(bundle.store().collect(&HashSet::from([weights])).unwrap(), Collected::default());
}

#[test]
fn what_the_repository_lists_is_kept() {
    let bundle = TestBundle::new();
    bundle.verify().unwrap();
    let before = bundle.blobs();
    let old = Digest::of(b"an older version");
    std::fs::write(bundle.store().path(&old), b"an older version").unwrap();
    let listed = repository(&bundle).digests().unwrap();
    assert_eq!(listed, bundle.open().unwrap().manifest().digests().collect());
    assert_eq!(bundle.store().collect(&listed).unwrap(), Collected { blobs: 1, bytes: 16 });
    assert_eq!(bundle.blobs(), before);
    bundle.verify().unwrap();
}

#[test]
fn a_bundle_whose_blobs_were_removed_verifies_again() {
    let bundle = TestBundle::new();
    let before = bundle.verify().unwrap();
    assert_eq!(bundle.store().collect(&HashSet::new()).unwrap().blobs, 2);
    assert!(!before.weights().exists());
    assert_eq!(std::fs::read(bundle.verify().unwrap().weights()).unwrap(), bundle.read(WEIGHTS));
}

#[test]
fn whatever_is_no_blob_stays() {
    let bundle = TestBundle::new();
    let store = bundle.store();
    let folder = bundle.state().join("blobs/sha256");
    let digest = |text: &str| Digest::of(text.as_bytes());
    let foreign = [
        ".tmp-1-0-0".to_owned(),
        "notes.txt".to_owned(),
        digest("a").to_string(),
        digest("b").hex().to_uppercase(),
        digest("c").hex()[1..].to_owned(),
        format!("{}.old", digest("d").hex()),
    ];
    for name in &foreign {
        std::fs::write(folder.join(name), b"somebody else's").unwrap();
    }
    let locked = File::open(folder.join(".tmp-1-0-0")).unwrap();
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    let inner = store.path(&digest("a folder"));
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join(digest("inner").hex()), b"in a folder").unwrap();
    let outside = bundle.state().join("outside");
    std::fs::write(&outside, b"outside").unwrap();
    symlink(&outside, store.path(&digest("a link"))).unwrap();
    let before = bundle.blobs();
    assert_eq!(before.len(), foreign.len() + 2);
    std::fs::write(store.path(&digest("a blob")), b"a blob").unwrap();

    assert_eq!(store.collect(&HashSet::new()).unwrap(), Collected { blobs: 1, bytes: 6 });
    assert_eq!(bundle.blobs(), before);
    assert_eq!(names_in(&inner).len(), 1);
    assert_eq!(std::fs::read(&outside).unwrap(), b"outside");
}

#[test]
fn what_a_worker_has_open_stays_readable_to_it() {
    let bundle = TestBundle::new();
    let open = File::open(bundle.verify().unwrap().weights()).unwrap();
    bundle.store().collect(&HashSet::new()).unwrap();
    assert!(bundle.blobs().is_empty());
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut &open, &mut read).unwrap();
    assert_eq!(read, bundle.read(WEIGHTS));
}

#[test]
fn a_store_that_cannot_be_listed_is_named() {
    let bundle = TestBundle::new();
    let store = bundle.store();
    std::fs::remove_dir(bundle.state().join("blobs/sha256")).unwrap();
    let error = store.collect(&HashSet::new()).unwrap_err();
    assert!(matches!(&error, VerifyError::Blob { action: "listed", .. }), "{error}");
}

#[test]
fn an_unreadable_bundle_makes_the_repositorys_list_incomplete() {
    let bundle = TestBundle::new();
    std::fs::create_dir_all(bundle.repository().join("tiny/2.0.0")).unwrap();
    let error = repository(&bundle).digests().unwrap_err();
    assert!(matches!(&error, BundleError::Io { .. }) && error.to_string().contains("tiny/2.0.0"), "{error}");

    std::fs::remove_dir(bundle.repository().join("tiny/2.0.0")).unwrap();
    assert_eq!(repository(&bundle).digests().unwrap().len(), 2);
    bundle.edit_manifest("kind = \"generate\"", "kind = \"sing\"");
    assert!(matches!(repository(&bundle).digests(), Err(BundleError::Manifest { .. })));
}

#[test]
fn a_link_that_leads_nowhere_may_be_a_bundle_and_so_makes_the_list_incomplete() {
    let bundle = TestBundle::new();
    let elsewhere = bundle.state().with_extension("elsewhere");
    for link in ["other", "tiny/2.0.0"] {
        let link = bundle.repository().join(link);
        symlink(&elsewhere, &link).unwrap();
        let error = repository(&bundle).digests().unwrap_err();
        assert!(error.to_string().contains(&link.display().to_string()), "{error}");
        assert_eq!(repository(&bundle).list().unwrap().len(), 1, "to look at, there is only the one");
        std::fs::remove_file(&link).unwrap();
    }
    // Being written, or no folder: neither holds a bundle.
    symlink(&elsewhere, bundle.repository().join("tiny/.3.0.0")).unwrap();
    std::fs::write(bundle.repository().join("README.md"), "models").unwrap();
    assert_eq!(repository(&bundle).digests().unwrap().len(), 2);
}

#[test]
fn a_repository_that_is_gone_has_no_list() {
    let bundle = TestBundle::new();
    let repository = repository(&bundle);
    std::fs::remove_dir_all(bundle.repository()).unwrap();
    assert!(matches!(repository.digests(), Err(BundleError::Io { .. })));
}
