//! What must be on the machine before anything is built, and installing what is missing.

mod machine;
mod packages;
mod rust;

use crate::browser;
use crate::guests::{MODULE_TARGET, TARGET};
use crate::process::{Failure, Progress};
use crate::python;
use crate::servers::SERVERS;
use machine::{Machine, Need};
use packages::{Family, Rights};

/// What `build`, `up` and `bench` need.
pub(crate) fn for_building(progress: &Progress) -> Result<(), Failure> {
    rust::check_version()?;
    system(progress)?;
    rust::ensure_target(TARGET, progress)
}

/// What `test` needs besides.
pub(crate) fn for_testing(progress: &Progress) -> Result<(), Failure> {
    for_building(progress)?;
    rust::ensure_target(MODULE_TARGET, progress)?;
    test_means(progress)?;
    rust::ensure_test_runner(progress)
}

/// What `ci` needs besides.
pub(crate) fn for_checking(progress: &Progress) -> Result<(), Failure> {
    rust::ensure_component(progress, "rustfmt", "fmt")?;
    rust::ensure_component(progress, "clippy", "clippy")
}

fn system(progress: &Progress) -> Result<(), Failure> {
    let missing = Machine::here().missing();
    if missing.is_empty() {
        progress.stage("everything the build needs is installed");
        return Ok(());
    }
    let family = Family::here()?;
    let packages = packages::of(&missing, family);
    let rights = Rights::here();
    if family != Family::Debian || !rights.suffice() {
        return Err(by_hand(&missing, family, &packages, rights));
    }
    progress.stage(&format!("installing {} (apt-get, {})", packages.join(", "), rights.shown()));
    install(&packages, rights, progress)?;
    let still = Machine::here().missing();
    if still.is_empty() {
        return Ok(());
    }
    Err(Failure::unready(
        format!("{} installed, and still missing:\n{}", packages.join(", "), listed(&still)),
        "for a library in an unusual place set LIBCLANG_PATH to its folder; else check PATH",
    ))
}

/// What some tests need: servers that they start, Python, Node, and a browser with what drives it. Without it those are
/// skipped, so only what needs no question
/// is done.
fn test_means(progress: &Progress) -> Result<(), Failure> {
    let missing = SERVERS.iter().filter(|server| !server.is_installed());
    let mut missing: Vec<&str> = missing.map(|server| server.package).collect();
    if !python::is_installed() {
        missing.push(python::PACKAGE);
    }
    missing.extend(browser::missing_packages());
    let rights = Rights::here();
    if missing.is_empty() || Family::here()? != Family::Debian || !rights.suffice() {
        return Ok(());
    }
    progress.stage(&format!("installing {} (apt-get, {})", missing.join(", "), rights.shown()));
    install(&missing, rights, progress)
}

/// Nothing can be installed from here: the one line that a person runs.
fn by_hand(missing: &[Need], family: Family, packages: &[&str], rights: Rights) -> Failure {
    let what = format!("the build needs what this machine lacks:\n{}", listed(missing));
    let next = match packages::line(family, packages, rights) {
        Some(line) => format!("run this line, then the same command again:\n\n    {line}\n"),
        None => format!("install {} with this system's package manager", packages.join(", ")),
    };
    Failure::unready(what, next)
}

fn listed(needs: &[Need]) -> String {
    needs.iter().map(|need| format!("  - {}", need.shown())).collect::<Vec<_>>().join("\n")
}

fn install(packages: &[&str], rights: Rights, progress: &Progress) -> Result<(), Failure> {
    // Lists that could not be refreshed may still do, so the failure counts only if the installation fails.
    // Without the error mode apt-get calls an update a success that reached no server.
    let update = "the package lists could not be refreshed; the installation is tried all the same";
    let refreshed =
        packages::apt_get(rights, &["-o", "APT::Update::Error-Mode=any", "update"]).or_else(update).output();
    if let Err(failure) = &refreshed {
        progress.stage(&format!("going on with the package lists that are there, because {failure}"));
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    let next = match refreshed {
        Ok(_) => "the lines above say why; Debian 12 and Ubuntu 24.04 have these packages",
        Err(_) => "let `apt-get update` succeed first: it needs the network and the sources in /etc/apt",
    };
    packages::apt_get(rights, &arguments).or_else(next).output().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_without_rights_gets_the_missing_parts_and_one_line() {
        let missing = [Need::Cmake, Need::Libclang];
        let packages = packages::of(&missing, Family::Debian);
        let text = by_hand(&missing, Family::Debian, &packages, Rights::SudoWithPassword).to_string();
        assert!(text.contains("  - cmake") && text.contains("  - libclang"), "{text}");
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("    ")).collect();
        let line = "sudo apt-get update && sudo apt-get install -y --no-install-recommends cmake clang libclang-dev";
        assert_eq!(lines, [format!("    {line}")]);
    }

    #[test]
    fn an_unknown_system_gets_the_names_of_what_to_install() {
        let missing = [Need::Cmake, Need::Compiler];
        let packages = packages::of(&missing, Family::Other);
        let text = by_hand(&missing, Family::Other, &packages, Rights::Root).to_string();
        assert!(text.contains("install cmake, g++ with its OpenMP library with this system's"), "{text}");
    }
}
