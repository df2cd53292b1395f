//! What the console is made and tested with: node builds its pages, and drives the system's Chromium through a package of
//! npm's. Neither is needed to build Bobbin: the pages are committed as they were built, and this checks that they are.

use crate::means::Means;
use crate::node::{self, OLDEST};
use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// When set to 1, the tests in a browser fail where there is none, instead of being skipped.
const REQUIRE: &str = "BOBBIN_REQUIRE_BROWSER";
/// Names that Chromium's program has; the harness looks for the same.
const CHROMIUM: [&str; 2] = ["chromium", "chromium-browser"];

/// The packages that bring node and the browser, on Debian, as far as they are missing.
pub(crate) fn missing_packages() -> Vec<&'static str> {
    let browser = (!has_chromium()).then_some("chromium");
    node::missing_packages().into_iter().chain(browser).collect()
}

/// Installs what drives the browser, where node and the browser are there. Returns the variable that the tests are to be
/// run with then.
pub(crate) fn prepare(project: &Project, progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let required = means().required(node::is_installed() && has_chromium(), progress)?;
    if required.is_some() {
        node::install(&project.browser_tests(), progress)?;
    }
    Ok(required)
}

/// Whether the pages in host/ui/dist are what their sources make. That they were made of these sources at all is a test's
/// to say, which needs no node.
pub(crate) fn check_pages(project: &Project, progress: &Progress) -> Result<(), Failure> {
    if !node::is_installed() {
        progress.stage(&format!("skipping the build of the console's pages: there is no node {OLDEST} with npm"));
        return Ok(());
    }
    let folder = project.pages();
    node::install(&folder, progress)?;
    progress.stage("building the console's pages, and comparing them with those in host/ui/dist");
    Step::new("npm")
        .within(&folder)
        .args(["run", "--silent", "check"])
        .or_else("mend what the lines above name, then run `npm run build` in host/ui and commit dist/")
        .run()
}

fn has_chromium() -> bool {
    CHROMIUM.into_iter().any(|program| Step::new(program).args(["--version"]).succeeds())
}

fn means() -> Means {
    Means {
        require: REQUIRE,
        tests: "the tests of the console in a browser".to_owned(),
        missing: format!("node {OLDEST} or newer with npm, or chromium, is not installed"),
        next: "install nodejs, npm and chromium".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_ask_for_what_is_checked_here() {
        let harness = include_str!("../../../tests/src/browser.rs");
        for word in CHROMIUM.into_iter().chain([REQUIRE]) {
            assert!(harness.contains(word), "{word} is not in the harness");
        }
    }
}
