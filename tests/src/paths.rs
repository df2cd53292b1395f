//! Where things are in the source tree.

use crate::skip::skipped;
use std::path::{Path, PathBuf};

/// The repository's root.
#[must_use]
pub fn repository_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The binary under test: `BOBBIN_BIN`, which `cargo xtask test` sets, else the release build of this tree.
#[must_use]
pub fn bobbin() -> PathBuf {
    std::env::var_os("BOBBIN_BIN").map_or_else(|| repository_root().join("target/release/bobbin"), PathBuf::from)
}

/// A component that exists for the tests.
#[must_use]
pub fn fixture_component(name: &str) -> PathBuf {
    let target = "tests/fixtures/components/target/wasm32-wasip2/release";
    repository_root().join(target).join(name.replace('-', "_")).with_extension("wasm")
}

/// A component that exists for the benchmarks, which `cargo xtask bench` builds.
#[must_use]
pub fn benched_component(name: &str) -> PathBuf {
    let target = "tests/fixtures/components/target/wasm32-wasip2/release/examples";
    repository_root().join(target).join(name).with_extension("wasm")
}

/// The component that is written in Python.
///
/// Returns `None` where it was not built, after saying so; with `BOBBIN_REQUIRE_PYTHON=1` that is a failure.
#[must_use]
pub fn python_component() -> Option<PathBuf> {
    let component = repository_root().join("tests/conformance/python/target/app.wasm");
    if component.is_file() {
        return Some(component);
    }
    skipped("BOBBIN_REQUIRE_PYTHON", &format!("`cargo xtask test` has not built {}", component.display()))
}

/// The optional folder of small real weights beside the repository.
///
/// Returns `None` where it is absent, after saying so; with `BOBBIN_REQUIRE_SHARED=1` absence is a failure.
#[must_use]
pub fn shared_models() -> Option<PathBuf> {
    let folder = repository_root().parent()?.join("shared/models");
    if folder.is_dir() {
        return Some(folder);
    }
    skipped("BOBBIN_REQUIRE_SHARED", &format!("{} is no folder", folder.display()))
}

/// The manifest of the plugin that `cargo xtask plugin` packed of the binary under test.
///
/// Returns `None` where it did not, after saying so; with `BOBBIN_REQUIRE_PLUGIN=1` that is a failure.
#[must_use]
pub fn packed_plugin() -> Option<PathBuf> {
    let manifest = bobbin().parent()?.with_file_name("plugin").join("trigger-bobbin.json");
    let age = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    if age(&manifest).is_ok_and(|packed| age(&bobbin()).is_ok_and(|built| built <= packed)) {
        return Some(manifest);
    }
    let missing = format!("{} is missing or older than the binary: run `cargo xtask plugin`", manifest.display());
    skipped("BOBBIN_REQUIRE_PLUGIN", &missing)
}
