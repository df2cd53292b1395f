//! The clients of OpenAI's API that the tests run as people have them: from Python's package index and from npm's registry,
//! into folders of their own, each package of the version that a file there names.

use std::fs;

use crate::means::Means;
use crate::node::{self, OLDEST};
use crate::process::{Failure, Progress, Step};
use crate::project::Project;
use crate::python;

/// When set to 1, the tests of clients for Python fail where they are missing, instead of being skipped.
const REQUIRE_PYTHON: &str = "BOBBIN_REQUIRE_PYTHON_CLIENTS";
/// The same for Node.
const REQUIRE_NODE: &str = "BOBBIN_REQUIRE_NODE_CLIENTS";

/// Installs them, where Python and Node are there. Returns the variables that the tests are to be run with then.
pub(crate) fn install(project: &Project, progress: &Progress) -> Result<Vec<&'static str>, Failure> {
    let required = [for_python(project, progress)?, for_node(project, progress)?];
    Ok(required.into_iter().flatten().collect())
}

fn for_python(project: &Project, progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let folder = project.clients();
    let (wanted, tools) = (folder.join("requirements.txt"), folder.join("target/venv"));
    // Written last: what it says is installed.
    let installed = folder.join("target/requirements.txt");
    let wanted_text = read(&wanted)?;
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted_text) {
        return Ok(Some(REQUIRE_PYTHON));
    }
    let means = Means {
        require: REQUIRE_PYTHON,
        tests: "the tests of clients for Python".to_owned(),
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
        .args([&tools])
        .or_else("the message above says why")
        .output()?;
    Step::new(tools.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .args([&wanted])
        .or_else("packages come from Python's package index: check the network, or the index that pip is set to")
        .output()?;
    fs::write(&installed, wanted_text).map_err(|source| Failure::File {
        action: "write",
        path: installed,
        source,
        next: "check the folder's permissions".to_owned(),
    })?;
    Ok(required)
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

fn read(path: &std::path::Path) -> Result<String, Failure> {
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
    }
}
