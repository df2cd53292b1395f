//! Building the binary `bobbin`, and running what needs it: the application, the tests, the benchmarks.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::process::{Failure, Progress, Step, words};
use crate::project::Project;

/// The variable that tells tests and benchmarks where the binary is: an absolute path.
const BOBBIN_BIN: &str = "BOBBIN_BIN";

/// Builds the host. The whole workspace is named, although only one binary is wanted: cargo unites the
/// features of what it is asked for, and a build of one package would compile wasmtime's WASI crates with
/// other features than the tests do, and so twice.
pub(crate) fn build(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress
        .stage("building the host (the first build compiles wasmtime and llama.cpp: 20 to 40 minutes on two cores)");
    Step::cargo()
        .within(project.root())
        .args(["build", "--release", "--workspace", "--target-dir"])
        .args([project.target()])
        .or_else("the message above says why; `llama-cpp-sys-2` means cmake, libclang or the C++ compiler")
        .run()?;
    if project.bobbin().is_file() {
        return Ok(());
    }
    Err(Failure::unready(
        format!("the build left no binary at {}", project.bobbin().display()),
        "unset CARGO_BUILD_TARGET and `build.target` in cargo's configuration: Bobbin is built for this machine",
    ))
}

/// Becomes `bobbin up`. Returns only if that fails.
pub(crate) fn up(project: &Project, progress: &Progress, arguments: Vec<OsString>) -> Failure {
    progress.stage("starting the application");
    Step::new(project.bobbin()).within(project.root()).args(up_arguments(arguments)).take_over()
}

/// The example application, unless the arguments name another.
fn up_arguments(arguments: Vec<OsString>) -> Vec<OsString> {
    let names_application = arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        argument.starts_with("--file") || argument.starts_with("-f")
    });
    let mut all = if names_application { words(&["up"]) } else { words(&["up", "-f", "spin.toml"]) };
    all.extend(arguments);
    all
}

/// Becomes the test runner, with the variables `required` set to 1. Returns only if that fails.
pub(crate) fn test(project: &Project, progress: &Progress, arguments: Vec<OsString>, required: &[&str]) -> Failure {
    progress.stage("building and running the tests");
    required
        .iter()
        .fold(Step::cargo(), |step, name| step.env(name, "1"))
        .within(project.root())
        .env(BOBBIN_BIN, project.bobbin())
        .args(["nextest", "run", "--release", "--workspace", "--target-dir"])
        .args([project.target()])
        .args(arguments)
        .take_over()
}

/// Runs the examples in the crates' documentation, where there are any: nextest does not.
pub(crate) fn doc_tests(project: &Project, progress: &Progress) -> Result<(), Failure> {
    if !any_doc_test(&project.root().join("host/crates"))? {
        return Ok(());
    }
    progress.stage("running the examples in the documentation");
    Step::cargo()
        .within(project.root())
        .env(BOBBIN_BIN, project.bobbin())
        .args(["test", "--quiet", "--release", "--workspace", "--doc", "--target-dir"])
        .args([project.target()])
        .or_else("an example in a doc comment no longer holds; the output above names its file and line")
        .run()
}

/// Runs benchmarks one after the other, since they would disturb each other.
pub(crate) fn bench(
    project: &Project,
    progress: &Progress,
    names: &[String],
    arguments: &[OsString],
) -> Result<(), Failure> {
    for name in names {
        progress.stage(&format!("benchmark {name}"));
        Step::cargo()
            .within(project.root())
            .env(BOBBIN_BIN, project.bobbin())
            .args(["bench", "--profile", "release", "--workspace", "--bench", name, "--target-dir"])
            .args([project.target()])
            .args(["--"])
            .args(arguments)
            .or_else(format!("the output above says why; `cargo xtask bench {name}` runs it alone"))
            .run()?;
    }
    Ok(())
}

/// Whether any Rust source below `folder` has an example that `cargo test --doc` would run.
fn any_doc_test(folder: &Path) -> Result<bool, Failure> {
    let failed = |source| Failure::File {
        action: "look for documentation examples in",
        path: folder.to_owned(),
        source,
        next: "check that the clone is complete".to_owned(),
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let found = if path.is_dir() {
            any_doc_test(&path)?
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            has_doc_test(&fs::read_to_string(&path).map_err(failed)?)
        } else {
            false
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_doc_test(source: &str) -> bool {
    let mut open = false;
    for line in source.lines() {
        let line = line.trim_start();
        let Some(text) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            open = false;
            continue;
        };
        if let Some(attributes) = text.trim().strip_prefix("```") {
            if !open && is_run(attributes) {
                return true;
            }
            open = !open;
        }
    }
    false
}

/// Whether rustdoc compiles a code block with these attributes.
fn is_run(attributes: &str) -> bool {
    let mut attributes = attributes.split([',', ' ']).filter(|attribute| !attribute.is_empty());
    attributes.all(|attribute| {
        matches!(attribute, "rust" | "no_run" | "should_panic" | "compile_fail") || attribute.starts_with("edition")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_application_starts_unless_another_is_named() {
        let line = |given: &[&str]| {
            let all = up_arguments(words(given));
            all.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line(&[]), "up -f spin.toml");
        assert_eq!(line(&["--listen", "127.0.0.1:4000"]), "up -f spin.toml --listen 127.0.0.1:4000");
        assert_eq!(line(&["-f", "other.toml"]), "up -f other.toml");
        assert_eq!(line(&["--file=other.toml"]), "up --file=other.toml");
    }

    #[test]
    fn an_example_in_a_doc_comment_is_found() {
        assert!(has_doc_test("/// Adds.\n/// ```\n/// assert!(true);\n/// ```\nfn f() {}"));
        assert!(has_doc_test("//! ```rust,no_run\n//! main();\n//! ```"));
        assert!(has_doc_test("    /// ```compile_fail\n    /// ```"));
    }

    #[test]
    fn blocks_that_rustdoc_does_not_run_are_no_examples() {
        assert!(!has_doc_test("/// ```text\n/// GET /hello\n/// ```\nfn f() {}"));
        assert!(!has_doc_test("/// ```json,ignore\n/// {}\n/// ```"));
        assert!(!has_doc_test("/// ```ignore\n/// f();\n/// ```"));
        assert!(!has_doc_test("let text = \"```\";"));
    }
}
