//! What the command line says of itself: help, completions, manual pages.

use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestHost, bobbin, ran, typed};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The commands that a help lists: lines of the form `  name   what it does`, before the options.
fn listed(help: &str) -> Vec<String> {
    let before = help.split("\nOptions:").next().unwrap_or_default();
    let name = |line: &str| {
        let rest = line.strip_prefix("  ")?;
        let name = rest.split("  ").next()?.trim();
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase()) && rest.len() > name.len();
        (word && name != "help").then(|| name.to_owned())
    };
    let after_usage = before.split_once("Usage:").map_or("", |(_, rest)| rest);
    let arguments = after_usage.split("\nArguments:").next().unwrap_or_default();
    arguments.lines().filter_map(name).collect()
}

/// Every command that people use, found as they find it, with its help.
fn all() -> Result<Vec<(Vec<String>, String)>> {
    let (mut found, mut open) = (Vec::new(), vec![Vec::<String>::new()]);
    while let Some(path) = open.pop() {
        let line: Vec<String> = path.iter().cloned().chain(["--help".to_owned()]).collect();
        let help = ran(Path::new("."), &line)?;
        ensure!(help.code == 0 && help.err.is_empty(), "{line:?}: {help:?}");
        open.extend(listed(&help.out).into_iter().map(|name| path.iter().cloned().chain([name]).collect()));
        found.push((path, help.out));
    }
    Ok(found)
}

#[test]
fn every_command_that_is_listed_helps_with_an_example_and_a_group() -> Result {
    let found = all()?;
    let paths: BTreeSet<String> = found.iter().map(|(path, _)| path.join(" ")).collect();
    for expected in [
        "up",
        "watch",
        "infer",
        "bench",
        "bundle new",
        "bundle import",
        "bundle verify",
        "bundle show",
        "bundle list",
        "release set",
        "release rollback",
        "key create",
        "doctor",
        "completions",
        "man",
    ] {
        assert!(paths.contains(expected), "{expected} is not listed: {paths:?}");
    }
    assert!(!paths.iter().any(|path| ["worker", "trigger", "examine"].contains(&path.as_str())), "{paths:?}");
    for (path, help) in &found {
        assert!(help.contains("Example"), "{path:?} has no example:\n{help}");
        assert!(help.contains("  bobbin "), "{path:?} has no example:\n{help}");
    }
    let top = &found.first().context("the first help")?.1;
    for group in ["Serve an application:", "Ask a model:", "Bundles on disk:", "A host and its keys:", "This machine:"]
    {
        assert!(top.contains(group), "{group} is not in:\n{top}");
    }
    Ok(())
}

#[test]
fn colours_are_for_terminals_whose_owner_wants_them() -> Result {
    let escape = '\u{1b}';
    assert!(!ran(Path::new("."), &["--help"])?.out.contains(escape));
    assert!(typed(Path::new("."), "\"$BOBBIN\" --help")?.out.contains(escape));
    assert!(!typed(Path::new("."), "NO_COLOR=1 \"$BOBBIN\" --help")?.out.contains(escape));
    Ok(())
}

#[test]
fn a_slip_finds_the_command_that_was_meant() -> Result {
    for (line, meant) in [
        (&["relaese"][..], "release"),
        (&["bundle", "imprt"], "import"),
        (&["key", "revok"], "revoke"),
        (&["help", "infr"], "infer"),
        (&["help", "bundle", "nw"], "new"),
    ] {
        let refused = ran(Path::new("."), line)?;
        assert!(refused.code == 2 && refused.err.contains(&format!("'{meant}'")), "{line:?}: {refused:?}");
    }
    let refused = ran(Path::new("."), &["bundle", "show", "storyteler@1.0.0", "--repository", models()?.as_str()])?;
    assert!(refused.code == 4 && refused.err.contains("did you mean \"storyteller\"?"), "{refused:?}");
    Ok(())
}

fn models() -> Result<String> {
    Ok(bobbin_tests::repository_root().join("models").to_str().context("a path")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_finds_the_release_and_the_bundle_of_a_running_host() -> Result {
    let host = TestHost::stories().start().await?;
    let admin = format!("http://{}", host.admin_addr());
    for (line, meant) in [
        (&["release", "show", "stroy"][..], "did you mean \"story\"?"),
        (&["release", "history", "http:/story:storyteler:story"], "did you mean \"http:/story:storyteller:story\"?"),
        (&["release", "set", "story", "storyteler@1.1.0"], "did you mean \"storyteller\"?"),
        (&["release", "set", "story", "storyteller@9.0.0"], "1.0.0, 1.1.0"),
    ] {
        let line: Vec<String> =
            line.iter().map(|word| (*word).to_owned()).chain(["--admin".into(), admin.clone()]).collect();
        let refused = tokio::task::spawn_blocking(move || ran(Path::new("."), &line)).await??;
        assert!(refused.code == 4 && refused.err.contains(meant), "{meant}: {refused:?}");
    }
    Ok(())
}

#[test]
fn completions_are_made_for_every_shell_and_bash_completes_by_them() -> Result {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ran(Path::new("."), &["completions", shell])?;
        assert!(
            script.code == 0 && script.out.contains("infer") && !script.out.contains("examine "),
            "{shell}: {script:?}"
        );
    }
    let refused = ran(Path::new("."), &["completions", "csh"])?;
    assert!(refused.code == 2 && refused.err.contains("possible values: bash"), "{refused:?}");
    let line = "source <(\"$BOBBIN\" completions bash); COMP_WORDS=(bobbin rel) COMP_CWORD=1; \
                _bobbin bobbin rel bobbin; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["--norc", "-c", line]).env("BOBBIN", bobbin()).output()?;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "release", "{output:?}");
    Ok(())
}

#[test]
fn every_command_has_a_manual_page() -> Result {
    let folder = tempfile::tempdir()?;
    let pages = folder.path().join("share/man1");
    let written = ran(folder.path(), &["man", "share/man1", "--json"])?;
    assert_eq!(written.code, 0, "{written:?}");
    let expected: BTreeSet<String> =
        all()?.into_iter().map(|(path, _)| [vec!["bobbin".to_owned()], path].concat().join("-") + ".1").collect();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&pages)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        assert!(text.contains(".SH EXAMPLES") && text.contains("Example"), "{}:\n{text}", path.display());
        assert!(!text.contains("bobbin\\-help") && !text.contains(".SH EXTRA"), "{}:\n{text}", path.display());
        found.insert(path.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned());
    }
    assert_eq!(found, expected);
    let page = |name: &str| fs::read_to_string(pages.join(name));
    let infer = page("bobbin-infer.1")?;
    let place = |part: &str| infer.find(part).with_context(|| format!("{part} is not in {infer}"));
    assert!(place(".SH ARGUMENTS")? < place(".SH OPTIONS")?, "{infer}");
    assert!(infer.contains("[OPTIONS] <MODEL> [PROMPT]"), "{infer}");
    assert!(
        page("bobbin-release-set.1")?.contains("[OPTIONS] <RELEASE> [BUNDLE]"),
        "{}",
        page("bobbin-release-set.1")?
    );
    assert_eq!(written.json()?["files"].as_array().map(Vec::len), Some(expected.len()));
    fs::write(folder.path().join("file"), "")?;
    let refused = ran(folder.path(), &["man", "file"])?;
    assert!(refused.code == 1 && refused.err.contains("file"), "{refused:?}");
    Ok(())
}
