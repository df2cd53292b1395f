//! Building what runs inside Bobbin: the example components, and the components that only tests run.

use std::path::Path;

use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// The target that every component is built for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// The target that makes core modules; the host makes components of them, and a test shows it.
pub(crate) const MODULE_TARGET: &str = "wasm32-wasip1";

/// The component of the tests that is built as a core module.
const MODULE: &str = "core-module";

/// Variables meant for the host's build. spin.toml names files in guest-components/target, and flags such
/// as `target-cpu` mean nothing to WebAssembly.
const HOST_ONLY: [&str; 9] = [
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS",
    "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
    "RUSTFLAGS",
];

/// Builds guest-components into its own target folder.
pub(crate) fn build(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("building the guest components (guest-components)");
    build_workspace(&project.guests())
}

/// Builds tests/fixtures/components into its own target folder.
pub(crate) fn build_fixtures(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("building the components of the tests (tests/fixtures/components)");
    build_workspace(&project.fixtures())
}

/// Builds tests/conformance into its own target folder.
pub(crate) fn build_conformance(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("building the components of Spin's interfaces (tests/conformance)");
    build_workspace(&project.conformance())?;
    build_module(project)
}

/// Builds docs/examples into its own target folder, so that a test which runs an example's own command finds it built.
pub(crate) fn build_examples(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("building the examples of the documentation (docs/examples)");
    build_workspace(&project.examples())
}

/// Builds the components that only benchmarks run: the examples of that workspace.
pub(crate) fn build_benched(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("building the components of the benchmarks (tests/fixtures/components/benched)");
    cargo(&project.fixtures(), "build")?.args(["--examples"]).or_else("the compiler's message above says why").run()
}

/// Builds the component of the tests that is a core module.
fn build_module(project: &Project) -> Result<(), Failure> {
    let workspace = project.conformance();
    Step::cargo()
        .within(&workspace)
        .without_env(&HOST_ONLY)
        .args(["build", "--release", "--package", MODULE, "--target", MODULE_TARGET, "--target-dir"])
        .args([workspace.join("target")])
        .or_else("the compiler's message above says why")
        .run()
}

/// Runs the unit tests of the guests that have any, which need no WebAssembly, and compiles the examples of
/// docs/wasi-nn.md with the shared crate. Out of sight unless they fail: the last line of a test run belongs to the run of
/// the host's tests.
pub(crate) fn test(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("building and running the tests of the guests (guest-components)");
    for (tests, package) in
        [(["nextest", "run"], "bobbin-wasi-nn"), (["test", "--doc"], "bobbin-wasi-nn"), (["nextest", "run"], "openai")]
    {
        Step::cargo()
            .within(&project.guests())
            .without_env(&HOST_ONLY)
            .args(tests)
            .args(["--package", package, "--target-dir"])
            .args([project.guests().join("target")])
            .or_else(format!(
                "run `cargo {} --package {package}` in guest-components to see all of it",
                tests.join(" ")
            ))
            .output()?;
    }
    Ok(())
}

/// A cargo command for the components of a workspace, in that workspace.
pub(crate) fn cargo(workspace: &Path, subcommand: &str) -> Result<Step, Failure> {
    if !workspace.join("Cargo.toml").is_file() {
        return Err(Failure::unready(
            format!("there is no workspace of components at {}", workspace.display()),
            "check that the clone is complete: `git status` lists deleted files",
        ));
    }
    Ok(Step::cargo()
        .within(workspace)
        .without_env(&HOST_ONLY)
        .args([subcommand, "--release", "--workspace", "--target", TARGET, "--target-dir"])
        .args([workspace.join("target")]))
}

fn build_workspace(workspace: &Path) -> Result<(), Failure> {
    cargo(workspace, "build")?.or_else("the compiler's message above says why").run()
}
