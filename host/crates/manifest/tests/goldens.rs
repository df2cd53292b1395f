//! Golden manifests: each `goldens/<case>.toml` must be refused with exactly the text of `<case>.err`, and each
//! `good/<case>.toml` must become exactly the application of `<case>.app`. `BOBBIN_UPDATE_GOLDENS=1` rewrites
//! the expectations; read the difference before you keep it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests state what they expect by failing")]

use std::fs;
use std::path::{Path, PathBuf};

use bobbin_manifest::{App, ManifestErrors, ProblemKind, load, load_profile, parse};

/// The manifests of a folder, by name. Paths are relative to the crate, so messages name no machine.
fn cases(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new("tests").join(folder)).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    cases
}

/// Compares with the golden file beside the manifest, or rewrites it.
fn differs_from_golden(manifest: &Path, extension: &str, actual: &str) -> Option<String> {
    let golden = manifest.with_extension(extension);
    if std::env::var_os("BOBBIN_UPDATE_GOLDENS").is_some() {
        fs::write(&golden, actual).unwrap();
        return None;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let report = || format!("--- {}, expected:\n{expected}\n--- actual:\n{actual}", golden.display());
    (expected != actual).then(report)
}

fn refused(manifest: &Path) -> ManifestErrors {
    match load(manifest) {
        Ok(_) => panic!("{} was accepted", manifest.display()),
        Err(errors) => errors,
    }
}

#[test]
fn every_bad_manifest_is_refused_with_its_golden_text() {
    let cases = cases("goldens");
    assert!(cases.len() >= 25, "only {} cases", cases.len());
    let differences: Vec<String> =
        cases.iter().filter_map(|case| differs_from_golden(case, "err", &format!("{}\n", refused(case)))).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_problem_says_where_and_what_to_do_next() {
    for case in cases("goldens") {
        for problem in refused(&case).problems() {
            assert_eq!(problem.file(), case);
            assert!(problem.place().is_some(), "{problem}");
            assert!(problem.help().len() > 5, "{problem}");
            assert!(problem.to_string().starts_with(&case.display().to_string()), "{problem}");
        }
    }
}

#[test]
fn every_good_manifest_becomes_its_golden_application() {
    let root = std::path::absolute("tests/good").unwrap();
    let differences: Vec<String> = cases("good")
        .iter()
        .filter_map(|case| {
            let app = load(case).unwrap_or_else(|errors| panic!("{errors}"));
            let releases: Vec<_> = app
                .triggers
                .iter()
                .map(|trigger| (&trigger.id, app.releases_of(trigger)))
                .flat_map(|(id, all)| {
                    all.into_iter().map(move |(name, one)| format!("{id} {name} {} {}", one.stable, one.digest()))
                })
                .collect();
            let supported = app.check_supported().err().map_or(String::from("everything"), |errors| errors.to_string());
            let warnings: Vec<String> = app.warnings.iter().map(ToString::to_string).collect();
            let warnings = warnings.join("\n");
            let shown = App { warnings: vec![], ..app };
            let text =
                format!("{shown:#?}\n\nreleases: {releases:#?}\n\nwarnings:\n{warnings}\n\nsupported:\n{supported}\n");
            differs_from_golden(case, "app", &text.replace(root.to_str().unwrap(), "<root>"))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_missing_manifest_says_where_it_was_looked_for_and_how_to_name_it() {
    let text = load(Path::new("tests")).unwrap_err().to_string();
    assert!(text.contains("looked for tests/spin.toml"), "{text}");
    assert!(text.contains("-f PATH"), "{text}");
}

#[test]
fn a_profile_replaces_what_it_names_and_an_unknown_one_is_refused() {
    let manifest = Path::new("tests/good/maximal.toml");
    let app = load_profile(manifest, "debug").unwrap();
    let story = &app.components["storyteller"];
    assert_eq!(story.environment["LEVEL"], "debug");
    assert_eq!(story.environment["KEPT"], "yes");
    assert_eq!(story.build.as_ref().unwrap().commands, ["cargo build"]);
    assert_eq!(story.build.as_ref().unwrap().workdir.as_deref(), Some("guest-components/storyteller"));
    let refused = load_profile(manifest, "debgu").unwrap_err().to_string();
    assert!(refused.contains("did you mean \"debug\"?"), "{refused}");
}

fn ids(app: &App) -> Vec<String> {
    let mut ids: Vec<String> = app.triggers.iter().map(|trigger| trigger.id.to_string()).collect();
    ids.extend(app.components.keys().map(ToString::to_string));
    ids.sort();
    ids
}

#[test]
fn trigger_and_component_ids_do_not_depend_on_the_order_of_the_triggers() {
    let text = fs::read_to_string("tests/good/maximal.toml").unwrap();
    let file = Path::new("tests/good/reordered.toml");
    let (before, rest) = text.split_at(text.find("[[trigger.").unwrap());
    let (triggers, after) = rest.split_at(rest.find("[component.").unwrap());
    let mut blocks: Vec<&str> = triggers.split("\n\n").filter(|block| !block.is_empty()).collect();
    blocks.reverse();
    let reordered = format!("{before}{}\n\n{after}", blocks.join("\n\n"));
    assert_ne!(reordered, text);
    let app = parse(&reordered, file).unwrap().resolve().unwrap();
    assert_eq!(ids(&app), ids(&load(Path::new("tests/good/maximal.toml")).unwrap()));
}

#[test]
fn parsing_touches_no_disk_and_resolving_reports_what_is_missing() {
    let text = fs::read_to_string("tests/good/minimal.toml").unwrap();
    let manifest = parse(&text, Path::new("/nowhere/spin.toml")).unwrap();
    assert_eq!(manifest.name(), "minimal");
    let errors = manifest.resolve().unwrap_err();
    assert_eq!(errors.problems().len(), 1);
    assert_eq!(errors.problems()[0].kind(), ProblemKind::File);
    assert!(
        errors.to_string().starts_with("/nowhere/spin.toml:11:10: component \"hello\": there is no file"),
        "{errors}"
    );
}

#[test]
fn a_manifest_cut_anywhere_is_read_or_refused_and_never_half_accepted() {
    let text = fs::read_to_string("tests/good/maximal.toml").unwrap();
    let file = Path::new("tests/good/cut.toml");
    for (end, _) in text.char_indices().step_by(13) {
        // Either an application or problems comes back; a panic fails the test.
        let _ = parse(&text[..end], file).and_then(bobbin_manifest::Manifest::resolve);
    }
    let lines: Vec<&str> = text.lines().collect();
    for left_out in 0..lines.len() {
        let kept: Vec<&str> =
            lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
        let kept = kept.join("\n");
        let Ok(app) = parse(&kept, file).and_then(bobbin_manifest::Manifest::resolve) else { continue };
        let triggers = |kind: &str| kept.matches(&format!("[[trigger.{kind}]]")).count();
        let served = triggers("http") + triggers("bobbin") + triggers("redis");
        assert_eq!(app.triggers.len(), served, "without line {}", left_out + 1);
        for trigger in &app.triggers {
            let granted = app.component_of(trigger).map_or(0, |component| component.ai_models.len());
            assert_eq!(app.releases_of(trigger).len(), granted, "without line {}", left_out + 1);
        }
        assert!(app.components.values().all(|component| component.source.is_file()), "without line {}", left_out + 1);
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = fs::read_to_string("tests/good/minimal.toml").unwrap();
    let marked = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let app = parse(&marked, Path::new("tests/good/minimal.toml")).unwrap().resolve().unwrap();
    assert_eq!(app.components["hello"].place.line, 10);
}
