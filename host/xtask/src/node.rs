//! Node, and the packages that lock files name: what builds the console's pages, drives a browser, and is a client of ours.

use std::path::Path;

use crate::process::{Failure, Progress, Step};

/// The oldest node that the packages run on.
pub(crate) const OLDEST: u32 = 20;

/// The packages that bring node and what installs its packages, on Debian, as far as they are missing.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    let node = node_version().is_none().then_some("nodejs");
    let npm = (!has_npm()).then_some("npm");
    node.into_iter().chain(npm).collect()
}

/// Whether it is there, new enough, with what installs its packages.
pub(crate) fn is_installed() -> bool {
    node_version().is_some_and(|version| version >= OLDEST) && has_npm()
}

/// Installs the packages of a folder's lock file, and no others.
pub(crate) fn install(folder: &Path, progress: &Progress) -> Result<(), Failure> {
    let age = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    let (lock, installed) = (folder.join("package-lock.json"), folder.join("node_modules/.package-lock.json"));
    if age(&installed).is_ok_and(|installed| age(&lock).is_ok_and(|lock| lock <= installed)) {
        return Ok(());
    }
    progress.stage(&format!("installing the packages of {} (npm)", folder.join("package-lock.json").display()));
    Step::new("npm")
        .within(folder)
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .or_else("packages come from npm's registry: check the network, or the registry that npm is set to")
        .output()
        .map(drop)
}

fn has_npm() -> bool {
    Step::new("npm").args(["--version"]).succeeds()
}

fn node_version() -> Option<u32> {
    major(&Step::new("node").args(["--version"]).output().ok()?)
}

/// Of `v20.19.1`, 20.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(major("v20.19.1\n"), Some(20));
        for odd in ["", "20.1.0", "vx.1"] {
            assert_eq!(major(odd), None, "{odd}");
        }
    }
}
