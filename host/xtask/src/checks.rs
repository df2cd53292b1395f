//! The checks that `cargo xtask ci` makes before the tests: format, lints, dependencies and their features, stray paths, the
//! console's pages.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::browser;
use crate::features;
use crate::guests;
use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// When set to 1, a missing cargo-deny is an error instead of a line that says so.
const REQUIRE_DENY: &str = "BOBBIN_REQUIRE_DENY";

/// Makes every check; the quick ones first.
pub(crate) fn all(project: &Project, progress: &Progress) -> Result<(), Failure> {
    let guests = [project.guests(), project.fixtures(), project.conformance(), project.examples()];
    let workspaces: Vec<PathBuf> = [project.root().to_owned()].into_iter().chain(guests.iter().cloned()).collect();
    format(project, progress, &workspaces)?;
    stray_paths(project, progress)?;
    features::check(project, progress)?;
    browser::check_pages(project, progress)?;
    dependencies(project, progress, &workspaces)?;
    lints(project, progress, &guests)
}

fn format(project: &Project, progress: &Progress, workspaces: &[PathBuf]) -> Result<(), Failure> {
    for workspace in workspaces {
        progress.stage(&format!("checking the format of {}", relative(project, workspace)));
        Step::cargo()
            .within(workspace)
            .args(["fmt", "--all", "--check"])
            .or_else(format!("run `cargo fmt --all` in {}", relative(project, workspace)))
            .run()?;
    }
    Ok(())
}

fn lints(project: &Project, progress: &Progress, guests: &[PathBuf]) -> Result<(), Failure> {
    for workspace in guests {
        progress.stage(&format!("linting {}", relative(project, workspace)));
        guests::cargo(workspace, "clippy")?
            // Examples, too: those of the fixtures are the components of benchmarks.
            .args(["--locked", "--lib", "--examples", "--", "-D", "warnings"])
            .or_else("mend what the lints above name")
            .run()?;
    }
    progress.stage("linting the host (the first time, this checks wasmtime again: some minutes)");
    Step::cargo()
        .within(project.root())
        .args(["clippy", "--release", "--workspace", "--all-targets", "--locked", "--target-dir"])
        .args([project.target()])
        .args(["--", "-D", "warnings"])
        .or_else("mend what the lints above name")
        .run()
}

/// Licences, advisories, bans and sources, by deny.toml.
fn dependencies(project: &Project, progress: &Progress, workspaces: &[PathBuf]) -> Result<(), Failure> {
    if !Step::cargo().args(["deny", "--version"]).succeeds() {
        if std::env::var_os(REQUIRE_DENY).as_deref() == Some(OsStr::new("1")) {
            return Err(Failure::unready(
                format!("cargo-deny is not installed, and {REQUIRE_DENY}=1 requires it"),
                "run `cargo install --locked cargo-deny`, or unset the variable",
            ));
        }
        progress.stage("skipping the check of dependencies: cargo-deny is not installed");
        return Ok(());
    }
    for workspace in workspaces {
        progress.stage(&format!("checking the dependencies of {}", relative(project, workspace)));
        Step::cargo()
            .within(workspace)
            .args(["deny", "--config"])
            .args([project.root().join("deny.toml")])
            .args(["check"])
            .or_else("drop the dependency, or allow it in deny.toml with the reason")
            .run()?;
    }
    Ok(())
}

/// Files under version control must read the same on every machine.
fn stray_paths(project: &Project, progress: &Progress) -> Result<(), Failure> {
    if !Step::new("git").within(project.root()).args(["rev-parse", "--git-dir"]).succeeds() {
        progress.stage("skipping the search for paths of this machine: there is no git, or this is no clone");
        return Ok(());
    }
    progress.stage("looking for paths of this machine in the files under version control");
    let listed = Step::new("git").within(project.root()).args(["ls-files", "-z"]).output()?;
    let needles = machine_paths(project.root());
    let mut found = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let path = project.root().join(name);
        match fs::read(&path) {
            Ok(bytes) => found.extend(first_of(&bytes, &needles).map(|(line, text)| format!("{name}:{line}: {text}"))),
            // Deleted in the working tree, or a link to a folder: nothing here to read.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => {}
            Err(source) => {
                let next = "check the file's permissions".to_owned();
                return Err(Failure::File { action: "read", path, source, next });
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::unready(
        format!("files under version control name paths of one machine:\n  {}", found.join("\n  ")),
        "write these paths relative to the repository",
    ))
}

/// What a path of one machine starts with: home folders, and this clone's own folder.
fn machine_paths(root: &Path) -> Vec<Vec<u8>> {
    // In two pieces, so that this file does not find itself.
    let mut needles: Vec<Vec<u8>> =
        [["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"]].map(|pieces| pieces.concat().into_bytes()).into();
    // A clone right below `/` has too common a name to search for.
    if root.components().count() > 2 {
        needles.push([root.as_os_str().as_bytes(), b"/"].concat());
    }
    needles
}

/// The first needle found, with its line counted from 1.
fn first_of(bytes: &[u8], needles: &[Vec<u8>]) -> Option<(usize, String)> {
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        for needle in needles {
            if line.windows(needle.len()).any(|window| window == needle) {
                return Some((index + 1, String::from_utf8_lossy(needle).into_owned()));
            }
        }
    }
    None
}

fn relative(project: &Project, folder: &Path) -> String {
    match folder.strip_prefix(project.root()) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside.display().to_string(),
        _ => "the root workspace".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_machine_is_found_with_its_line() {
        let needles = machine_paths(Path::new("/srv/clones/bobbin"));
        let home = ["/ho", "me/"].concat();
        let text = format!("first\nsee {home}someone/x\n");
        assert_eq!(first_of(text.as_bytes(), &needles), Some((2, home)));
        assert!(first_of(b"\0\x01 built in /srv/clones/bobbin/host", &needles).is_some());
        assert_eq!(first_of(b"/srv/clones/bobbins and /home", &needles), None);
    }

    #[test]
    fn a_clone_right_below_the_root_is_not_searched_for() {
        assert_eq!(machine_paths(Path::new("/bobbin")).len(), 3);
        assert_eq!(machine_paths(Path::new("/srv/bobbin")).len(), 4);
    }
}
