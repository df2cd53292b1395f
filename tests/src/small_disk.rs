//! A disk so small that a test can fill it.

use crate::skip::skipped;
use std::path::Path;
use std::process::Command;

/// The words that run a program where a small file system is mounted on `folder`: seen by that program alone, and gone
/// with it. `size` is tmpfs's, such as `16m`.
///
/// Returns `None` where nothing can be mounted, after saying so; with `BOBBIN_REQUIRE_MOUNTS=1` that is a failure.
#[must_use]
pub fn on_a_small_disk(folder: &Path, size: &str) -> Option<Vec<String>> {
    let mount = format!("mount -t tmpfs -o size={size},mode=0700 bobbin-test '{}'", folder.display());
    // A mount namespace alone needs root; with one for users too it may do without.
    for namespaces in ["-m", "-rm"] {
        let tried = Command::new("unshare").args([namespaces, "sh", "-c", &mount]).output();
        if tried.is_ok_and(|output| output.status.success()) {
            let run = format!("{mount} && exec \"$@\"");
            return Some(["unshare", namespaces, "sh", "-c", &run, "sh"].map(str::to_owned).to_vec());
        }
    }
    skipped("BOBBIN_REQUIRE_MOUNTS", "no file system can be mounted in a namespace here")
}
