//! The component of the tests that is written in Python: componentize-py makes it, with Spin's SDK for Python. Both come
//! from Python's package index into a folder of their own.

use std::path::Path;

use crate::means::Means;
use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// When set to 1, the test of the component fails where it is missing, instead of being skipped.
const REQUIRE: &str = "BOBBIN_REQUIRE_PYTHON";
/// The world of Spin's that the component is made for, as its SDK names it.
const WORLD: &str = "spin:up/http-trigger@4.1.0";

/// The package that brings what the component is made with, on Debian.
pub(crate) const PACKAGE: &str = "python3-venv";

/// Whether Python is there, with what makes folders of packages. Debian has that in a package of its own.
pub(crate) fn is_installed() -> bool {
    Step::new("python3").args(["-c", "import venv, ensurepip"]).succeeds()
}

/// Builds the component, where Python is there. Returns the variable that the tests are to be run with then.
pub(crate) fn build(project: &Project, progress: &Progress) -> Result<Option<&'static str>, Failure> {
    let folder = project.python();
    let (source, packages) = (folder.join("app.py"), folder.join("requirements.txt"));
    let (tools, component) = (folder.join("target/venv"), folder.join("target/app.wasm"));
    if is_newer(&component, &source) && is_newer(&component, &packages) {
        return Ok(Some(REQUIRE));
    }
    let required = means().required(is_installed(), progress)?;
    if required.is_none() {
        return Ok(None);
    }
    progress.stage("building the component in Python (tests/conformance/python)");
    Step::new("python3").args(["-m", "venv"]).args([&tools]).or_else("the message above says why").output()?;
    Step::new(tools.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .args([&packages])
        .or_else("packages come from Python's package index: check the network, or the index that pip is set to")
        .output()?;
    Step::new(tools.join("bin/componentize-py"))
        .within(&folder)
        // It looks for the SDK where the folder's own Python would.
        .env("VIRTUAL_ENV", &tools)
        .args(["--world", WORLD, "componentize", "app", "--output"])
        .args([&component])
        .or_else("the message above says why")
        .output()?;
    Ok(required)
}

fn means() -> Means {
    Means {
        require: REQUIRE,
        tests: "the test of a component in Python".to_owned(),
        missing: "python3 with its module venv is not installed".to_owned(),
        next: format!("install {PACKAGE}"),
    }
}

fn is_newer(one: &Path, other: &Path) -> bool {
    let age = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
    age(one).is_ok_and(|one| age(other).is_ok_and(|other| other <= one))
}
