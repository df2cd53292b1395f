//! What other people made and the tests use as people have it: clients of OpenAI's API, from Python's package index and from
//! npm's registry, and chat templates. They go into folders of their own, each package of the version that a file there
//! names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::means::Means;
use crate::node::{self, OLDEST};
use crate::process::{Failure, Progress, Step};
use crate::project::Project;
use crate::python;

/// When set to 1, the tests of clients for Python fail where they are missing, instead of being skipped.
const REQUIRE_PYTHON: &str = "BOBBIN_REQUIRE_PYTHON_CLIENTS";
/// The same for Node.
const REQUIRE_NODE: &str = "BOBBIN_REQUIRE_NODE_CLIENTS";
/// The same for the test of chat templates.
const REQUIRE_TEMPLATES: &str = "BOBBIN_REQUIRE_CHAT_TEMPLATES";

/// Installs them, where Python and Node are there. Returns the variables that the tests are to be run with then.
pub(crate) fn install(project: &Project, progress: &Progress) -> Result<Vec<&'static str>, Failure> {
    let python = for_python(project, progress)?;
    let templates = match python {
        Some(_) => Some(templates(project, progress)?),
        None => None,
    };
    let required = [python, templates, for_node(project, progress)?];
    Ok(required.into_iter().flatten().collect())
}

/// A list of packages of Python's index, and whether they are installed.
struct Packages {
    wanted: PathBuf,
    wanted_text: String,
    /// Written last: what it says is installed.
    installed: PathBuf,
}

impl Packages {
    fn of(project: &Project, list: &str) -> Result<Self, Failure> {
        let wanted = project.clients().join(list);
        let wanted_text = read(&wanted)?;
        Ok(Self { wanted, wanted_text, installed: project.clients().join("target").join(list) })
    }

    fn are_installed(&self) -> bool {
        fs::read_to_string(&self.installed).is_ok_and(|installed| installed == self.wanted_text)
    }

    /// Installs them with the pip of the clients: for these to use, or beside each other in a folder where they are only
    /// read, without those that they need and for whatever Python there is.
    fn install(self, project: &Project, only_read: Option<&Path>) -> Result<(), Failure> {
        let pip = Step::new(tools(project).join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check"]);
        let pip = match only_read {
            Some(folder) => pip
                .args(["--no-deps", "--no-compile", "--ignore-requires-python", "--upgrade", "--target"])
                .args([folder]),
            None => pip,
        };
        pip.args(["--requirement"])
            .args([&self.wanted])
            .or_else("packages come from Python's package index: check the network, or the index that pip is set to")
            .output()?;
        fs::write(&self.installed, self.wanted_text).map_err(|source| Failure::File {
            action: "write",
            path: self.installed,
            source,
            next: "check the folder's permissions".to_owned(),
        })
    }
}

fn tools(project: &Project) -> PathBuf {
    project.clients().join("target/venv")
}

fn for_python(project: &Project, progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let packages = Packages::of(project, "requirements.txt")?;
    if packages.are_installed() {
        return Ok(Some(REQUIRE_PYTHON));
    }
    let means = Means {
        require: REQUIRE_PYTHON,
        tests: "the tests of clients for Python, and of other people's chat templates".to_owned(),
        missing: "python3 with its module venv is not installed".to_owned(),
        next: format!("install {}", python::PACKAGE),
    };
    let required = means.required(python::is_installed(), progress)?;
    if required.is_none() {
        return Ok(None);
    }
    progress.stage("installing clients for Python (tests/clients/requirements.txt)");
    Step::new("python3")
        .args(["-m", "venv", "--clear"])
        .args([tools(project)])
        .or_else("the message above says why")
        .output()?;
    packages.install(project, None)?;
    Ok(required)
}

/// Chat templates as their makers published them come in packages, too.
fn templates(project: &Project, progress: &Progress) -> Result<&'static str, Failure> {
    let packages = Packages::of(project, "templates.txt")?;
    if !packages.are_installed() {
        progress.stage("installing packages with chat templates (tests/clients/templates.txt)");
        packages.install(project, Some(&project.clients().join("target/templates")))?;
    }
    Ok(REQUIRE_TEMPLATES)
}

fn for_node(project: &Project, progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let means = Means {
        require: REQUIRE_NODE,
        tests: "the tests of clients for Node".to_owned(),
        missing: format!("node {OLDEST} or newer with npm is not installed"),
        next: "install nodejs and npm".to_owned(),
    };
    let required = means.required(node::is_installed(), progress)?;
    if required.is_some() {
        node::install(&project.clients(), progress)?;
    }
    Ok(required)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::File {
        action: "read",
        path: path.to_owned(),
        source,
        next: "check that the clone is complete: `git status` lists deleted files".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_ask_for_what_is_installed_here() {
        let harness = include_str!("../../../tests/src/clients.rs");
        for word in
            [REQUIRE_PYTHON, REQUIRE_NODE, "target/venv", "target/requirements.txt", "node_modules/.package-lock.json"]
        {
            assert!(harness.contains(word), "{word} is not in the harness");
        }
        let templates = include_str!("../../crates/worker/src/child/chat/families/published.rs");
        for word in [REQUIRE_TEMPLATES, "tests/clients/target/templates"] {
            assert!(templates.contains(word), "{word} is not in the test of templates");
        }
    }
}
