//! Golden locked applications: each `locked/bad/<case>.json` must be refused with exactly the text of `<case>.err`, and
//! each `locked/good/<case>.json` must become exactly the application of `<case>.app`. `{root}` in them stands for the
//! absolute path of `tests`. `BOBBIN_UPDATE_GOLDENS=1` rewrites the expectations; read the difference before you keep it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests state what they expect by failing")]

use std::fs;
use std::path::{Path, PathBuf};

use bobbin_manifest::{App, ManifestErrors, Route, Trigger, load, load_locked};

fn cases(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new("tests/locked").join(folder)).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    cases.sort();
    cases
}

/// Loads a case, as a file of its own without paths that are not there.
fn loaded(case: &Path) -> (String, Result<App, ManifestErrors>) {
    let tests = std::path::absolute("tests").unwrap().display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(case.file_name().unwrap());
    fs::write(&file, fs::read_to_string(case).unwrap().replace("{root}", &tests)).unwrap();
    let app = load_locked(&file, None);
    let shown = match &app {
        Ok(app) => {
            let warnings: Vec<String> = app.warnings.iter().map(ToString::to_string).collect();
            let shown = App { warnings: vec![], ..app.clone() };
            format!("{shown:#?}\n\nwarnings:\n{}\n", warnings.join("\n"))
        }
        Err(errors) => format!("{errors}\n"),
    };
    let shown = shown.replace(&folder.path().display().to_string(), "<folder>").replace(&tests, "<root>");
    (shown, app)
}

fn differs(case: &Path, extension: &str, actual: &str) -> Option<String> {
    let golden = case.with_extension(extension);
    if std::env::var_os("BOBBIN_UPDATE_GOLDENS").is_some() {
        fs::write(&golden, actual).unwrap();
        return None;
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let report = || format!("--- {}, expected:\n{expected}\n--- actual:\n{actual}", golden.display());
    (expected != actual).then(report)
}

#[test]
fn every_bad_application_is_refused_with_its_golden_text() {
    let cases = cases("bad");
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    let refused = |case: &PathBuf| match loaded(case) {
        (_, Ok(_)) => Some(format!("{} was accepted", case.display())),
        (shown, Err(_)) => differs(case, "err", &shown),
    };
    let differences: Vec<String> = cases.iter().filter_map(refused).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_good_application_becomes_its_golden_one() {
    let accepted = |case: &PathBuf| match loaded(case) {
        (shown, Ok(_)) => differs(case, "app", &shown),
        (shown, Err(_)) => Some(format!("{} was refused: {shown}", case.display())),
    };
    let differences: Vec<String> = cases("good").iter().filter_map(accepted).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What identifies the parts of an application, and its releases.
fn names(app: &App) -> Vec<String> {
    let mut names: Vec<String> = app.components.keys().map(|id| format!("component {id}")).collect();
    for trigger in &app.triggers {
        names.push(format!("trigger {} before it {}", trigger.id, trigger.middleware.len()));
        names
            .extend(app.releases_of(trigger).into_iter().map(|(graph, release)| format!("{graph} {}", release.stable)));
    }
    names.sort();
    names
}

#[test]
fn a_locked_application_has_the_names_of_the_manifest_that_it_was_made_from() {
    let (_, locked) = loaded(Path::new("tests/locked/good/split.json"));
    let manifest = load(Path::new("tests/locked/good/split.toml")).unwrap();
    assert_eq!(names(&locked.unwrap()), names(&manifest));
}

/// `spin registry push` composes a component with its middleware, so that the copy has other bytes than the original.
#[test]
fn a_copy_that_was_composed_with_its_middleware_is_a_component_of_its_own() {
    let text = fs::read_to_string("tests/locked/good/split.json").unwrap();
    let root = fs::canonicalize("tests/locked").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text.replace("{root}", root.to_str().unwrap())).unwrap();
    for component in json["components"].as_array_mut().unwrap() {
        let id = component["id"].as_str().unwrap().to_owned();
        component.as_object_mut().unwrap().remove("trigger_dependencies");
        let file = folder.path().join(&id).with_extension("wasm");
        fs::write(&file, &id).unwrap();
        component["source"]["source"] = format!("file://{}", file.display()).into();
    }
    let file = folder.path().join("spin.lock");
    fs::write(&file, json.to_string()).unwrap();
    let app = load_locked(&file, None).unwrap();
    let runs = |route: &str| {
        let is_it = |trigger: &&Trigger| matches!(trigger.route(), Some(Route::Path(path)) if path == route);
        let trigger = app.triggers.iter().find(is_it).unwrap();
        let component = app.component_of(trigger).unwrap();
        (trigger.id.to_string(), fs::read_to_string(&component.source).unwrap())
    };
    assert_eq!(runs("/plain"), ("http:/plain:teller".into(), "teller".into()));
    assert_eq!(runs("/named"), ("named".into(), "teller-for-named".into()));
    // Identified as in the manifest, and never by the number that Spin gave it.
    assert_eq!(runs("/numbered"), ("http:/numbered:teller".into(), "teller-for-http-trigger1".into()));
}

#[test]
fn an_application_cut_anywhere_is_refused() {
    let text = fs::read_to_string("tests/locked/good/split.json").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.json");
    for (end, _) in text.trim_end().char_indices().step_by(7) {
        fs::write(&file, &text[..end]).unwrap();
        assert!(load_locked(&file, None).is_err(), "cut at {end}");
    }
}
