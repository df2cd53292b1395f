//! Builders for the tests: a tiny valid GGUF file that each case breaks in one place, and a bundle around it.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod bundle;
pub(crate) mod gguf;
pub(crate) mod hostile;
pub(crate) mod memory;
pub(crate) mod pieces;
pub(crate) mod starts;

use std::path::{Path, PathBuf};

/// `../shared/models`, beside the repository.
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn shared_models() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/models");
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var("BOBBIN_REQUIRE_SHARED").is_ok_and(|value| value == "1");
    assert!(!required, "BOBBIN_REQUIRE_SHARED=1, but ../shared/models is absent");
    println!("skipped: ../shared/models is absent");
    None
}

/// In the order of their names.
pub(crate) fn gguf_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gguf"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
