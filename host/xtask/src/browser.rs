//! What the console is made and tested with: node builds its pages, and drives the system's Chromium through a package of
//! npm's. Neither is needed to build Bobbin: the pages are committed as they were built, and this checks that they are.

use std::path::Path;

use crate::means::Means;
use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// When set to 1, the tests in a browser fail where there is none, instead of being skipped.
const REQUIRE: &str = "BOBBIN_REQUIRE_BROWSER";
/// The oldest node that the packages run on.
const NODE: u32 = 20;
/// Names that Chromium's program has; the harness looks for the same.
const CHROMIUM: [&str; 2] = ["chromium", "chromium-browser"];

/// The packages that bring node and the browser, on Debian, as far as they are missing.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    let mut missing = Vec::new();
    if node_version().is_none() {
        missing.push("nodejs");
    }
    if !Step::new("npm").args(["--version"]).succeeds() {
        missing.push("npm");
    }
    if !has_chromium() {
        missing.push("chromium");
    }
    missing
}

/// Installs what drives the browser, where node and the browser are there. Returns the variable that the tests are to be
/// run with then.
pub(crate) fn prepare(project: &Project, progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let required = means().required(has_node() && has_chromium(), progress)?;
    if required.is_some() {
        install(&project.browser_tests(), progress)?;
    }
    Ok(required)
}

/// Whether the pages in host/ui/dist are what their sources make. That they were made of these sources at all is a test's
/// to say, which needs no node.
pub(crate) fn check_pages(project: &Project, progress: &Progress) -> Result<(), Failure> {
    if !has_node() {
        progress.stage(&format!("skipping the build of the console's pages: there is no node {NODE} with npm"));
        return Ok(());
    }
    let folder = project.pages();
    install(&folder, progress)?;
    progress.stage("building the console's pages, and comparing them with those in host/ui/dist");
    Step::new("npm")
        .within(&folder)
        .args(["run", "--silent", "check"])
        .or_else("mend what the lines above name, then run `npm run build` in host/ui and commit dist/")
        .run()
}

/// The packages of the lock file, and no others.
fn install(folder: &Path, progress: &Progress) -> Result<(), Failure> {
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

fn has_node() -> bool {
    node_version().is_some_and(|version| version >= NODE) && Step::new("npm").args(["--version"]).succeeds()
}

fn node_version() -> Option<u32> {
    major(&Step::new("node").args(["--version"]).output().ok()?)
}

/// Of `v20.19.1`, 20.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn has_chromium() -> bool {
    CHROMIUM.into_iter().any(|program| Step::new(program).args(["--version"]).succeeds())
}

fn means() -> Means {
    Means {
        require: REQUIRE,
        tests: "the tests of the console in a browser".to_owned(),
        missing: format!("node {NODE} or newer with npm, or chromium, is not installed"),
        next: "install nodejs, npm and chromium".to_owned(),
    }
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

    #[test]
    fn the_tests_ask_for_what_is_checked_here() {
        let harness = include_str!("../../../tests/src/browser.rs");
        for word in CHROMIUM.into_iter().chain([REQUIRE]) {
            assert!(harness.contains(word), "{word} is not in the harness");
        }
    }
}
