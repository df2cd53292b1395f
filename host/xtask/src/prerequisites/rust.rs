//! The Rust side of the prerequisites: the compiler's version, the guests' target, the test runner.

use std::ffi::OsString;
use std::path::Path;

use crate::process::{Failure, Progress, Step};

/// The oldest compiler, from Cargo.toml's `rust-version`.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// The oldest test runner that .config/nextest.toml is written for, and the one that is installed.
const OLDEST_NEXTEST: &str = "0.9.100";
const NEXTEST: &str = "0.9.151";

pub(super) fn check_version() -> Result<(), Failure> {
    let said = rustc().args(["--version"]).or_else("install Rust: https://rustup.rs").output()?;
    if version_in(&said) >= version_in(OLDEST_RUST) {
        return Ok(());
    }
    Err(Failure::unready(
        format!("the compiler is {}, and Bobbin needs {OLDEST_RUST} or newer", said.trim()),
        "run `rustup update stable`",
    ))
}

/// The compiler that cargo will use.
fn rustc() -> Step {
    Step::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Adds a target of the components, for the toolchain that runs this.
pub(super) fn ensure_target(target: &str, progress: &Progress) -> Result<(), Failure> {
    if has_target(target)? {
        return Ok(());
    }
    progress.stage(&format!("installing the target {target} (rustup)"));
    rustup("target", target)?;
    if has_target(target)? {
        return Ok(());
    }
    Err(Failure::unready(
        format!("rustup added the target {target}, but the compiler in use does not have it"),
        "unset RUSTC, or use rustup's cargo: `which cargo` should name its folder",
    ))
}

fn has_target(target: &str) -> Result<bool, Failure> {
    let folder = rustc().args(["--print", "target-libdir", "--target", target]).output()?;
    Ok(Path::new(folder.trim()).is_dir())
}

/// Adds a component of the toolchain, known by the cargo command it brings.
pub(super) fn ensure_component(progress: &Progress, component: &str, command: &str) -> Result<(), Failure> {
    if Step::cargo().args([command, "--version"]).succeeds() {
        return Ok(());
    }
    progress.stage(&format!("installing the component {component} (rustup)"));
    rustup("component", component)
}

fn rustup(kind: &str, name: &str) -> Result<(), Failure> {
    let line = format!("rustup {kind} add {name}");
    Step::new("rustup")
        .args([kind, "add", name])
        .or_else(format!("check the network, then run `{line}`; without rustup, install what has {name} for this Rust"))
        .run()
}

/// Installs cargo-nextest where it is missing or too old.
pub(super) fn ensure_test_runner(progress: &Progress) -> Result<(), Failure> {
    if let Ok(said) = Step::cargo().args(["nextest", "--version"]).output()
        && version_in(&said) >= version_in(OLDEST_NEXTEST)
    {
        return Ok(());
    }
    progress.stage(&format!("installing the test runner cargo-nextest {NEXTEST} (cargo install: some minutes)"));
    Step::cargo()
        .args(test_runner_arguments())
        // Its build is no part of this project's: own folder, own flags.
        .without_env(&["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS"])
        .or_else("check the network, or install cargo-nextest another way: https://nexte.st")
        .run()
}

fn test_runner_arguments() -> Vec<OsString> {
    // Without the feature that lets it update itself: half of what it would otherwise compile.
    let features = ["--no-default-features", "--features", "default-no-update"];
    let package = ["install", "--locked", "cargo-nextest", "--version", NEXTEST];
    package.into_iter().chain(features).map(OsString::from).collect()
}

/// The first version in a text such as `rustc 1.95.0 (..)`: its numbers, missing ones as 0. A text without
/// one is older than every version.
fn version_in(text: &str) -> Option<[u32; 3]> {
    let word = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let word = word.split(['-', '+']).next()?;
    let mut numbers = word.split('.').map(str::parse);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    Some([next(), next(), next()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version_in("rustc 1.95.0 (59807616e 2026-04-14)"), Some([1, 95, 0]));
        assert_eq!(version_in("1.95"), Some([1, 95, 0]));
        assert_eq!(version_in("rustc 1.97.0-nightly (abc 2026-05-01)"), Some([1, 97, 0]));
        assert!(version_in("cargo-nextest 0.9.143 (60fa45f63)") > version_in("0.9.99"));
        assert!(version_in("rustc 1.100.0") > version_in("1.95"));
        assert!(version_in("command not found") < version_in("0.0.1"));
    }

    #[test]
    fn the_installed_test_runner_is_new_enough() {
        assert!(version_in(NEXTEST) >= version_in(OLDEST_NEXTEST));
    }

    #[test]
    fn the_test_runners_configuration_asks_for_the_same_version() {
        let configuration = include_str!("../../../../.config/nextest.toml");
        let line = format!("nextest-version = \"{OLDEST_NEXTEST}\"");
        assert!(configuration.lines().any(|found| found == line), "{line} is not in .config/nextest.toml");
    }
}
