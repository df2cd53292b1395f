//! The command line, as people and scripts hold it in their hands.

mod bench;
mod doctor;
mod documents;
mod edges;
mod help;
mod import;
mod infer;
mod new;

use bobbin_tests::{Result, TestApp};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with two bundles of stories and no running host.
fn stories() -> Result<TestApp> {
    TestApp::stories("")
}

/// The weights of the example's stories.
fn weights() -> PathBuf {
    bobbin_tests::repository_root().join("models/storyteller/1.0.0/storyteller-q8_0.gguf")
}

/// Every path below a folder, with the length of each file; nothing where there is no folder.
fn tree(folder: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut all = BTreeMap::new();
    if !folder.exists() {
        return Ok(all);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(tree(&path)?);
        }
        all.insert(path.clone(), path.symlink_metadata()?.len());
    }
    Ok(all)
}
