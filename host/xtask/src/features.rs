//! Whether tests compile a dependency anew: one that a dev-dependency gives features which the build does without is compiled
//! twice, and with it all that stands on it. Of tokio's that is wasmtime's half of a cold build.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::{Failure, Progress, Step};
use crate::project::Project;

/// Holds the features of the build against those of the tests.
pub(crate) fn check(project: &Project, progress: &Progress) -> Result<(), Failure> {
    progress.stage("comparing the features of dependencies with and without tests");
    let of = |edges: &str| {
        Step::cargo()
            .within(project.root())
            .args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p} {f}", "--edges", edges])
            .or_else("the message above says why")
            .output()
    };
    let twice = compiled_twice(&of("normal,build")?, &of("normal,build,dev")?);
    if twice.is_empty() {
        return Ok(());
    }
    Err(Failure::unready(
        format!("tests compile what the build has compiled already, with other features:\n  {}", twice.join("\n  ")),
        "drop the feature from the dev-dependencies, or give it to the same dependency of the package `tests`",
    ))
}

/// The packages of both trees that only the second one has with these features.
fn compiled_twice(build: &str, tests: &str) -> Vec<String> {
    let (build, tests) = (features(build), features(tests));
    let new = tests.iter().filter_map(|(package, sets)| {
        let known = build.get(package)?;
        let new: Vec<&str> = sets.difference(known).copied().collect();
        (!new.is_empty()).then(|| format!("{package}: {}", new.join("; ")))
    });
    new.collect()
}

/// The sets of features that each package has in a tree.
fn features(tree: &str) -> BTreeMap<String, BTreeSet<&str>> {
    let mut all: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for line in tree.lines().map(|line| line.trim_end_matches("(*)").trim_end()) {
        let mut words = line.splitn(3, ' ');
        // A package of this workspace has its folder in brackets, and tests compile it anew in any case.
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let features = words.next().unwrap_or_default();
        if !features.starts_with('(') {
            all.entry(format!("{name} {version}")).or_default().insert(features);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: &str = "host v0.1.0 (/somewhere/host) \ntokio v1.0.0 net,rt\nserde v1.0.0 std\nsyn v2.0.0 (*)\n";

    #[test]
    fn what_only_tests_want_of_a_dependency_of_the_build_is_found() {
        let tests =
            format!("{BUILD}tokio v1.0.0 net,rt,test-util\nproptest v1.0.0 std\nhost v0.1.0 (/somewhere/host) x\n");
        assert_eq!(compiled_twice(BUILD, &tests), ["tokio v1.0.0: net,rt,test-util"]);
    }

    #[test]
    fn the_same_features_and_what_only_tests_need_are_no_matter() {
        assert!(compiled_twice(BUILD, &format!("{BUILD}tokio v1.0.0 net,rt (*)\nproptest v1.0.0 std\n")).is_empty());
    }
}
