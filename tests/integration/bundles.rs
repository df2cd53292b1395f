//! `bobbin bundle ..`: bundles on disk, for people and for programs.

use anyhow::Context;
use bobbin_tests::{Result, TestApp, bobbin};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Exit code, standard output, standard error.
fn bundle(command: &str, args: &[&str], path: &Path) -> Result<(i32, String, String)> {
    let output = std::process::Command::new(bobbin()).args(["bundle", command]).args(args).arg(path).output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code().context("ended by a signal")?, text(&output.stdout), text(&output.stderr)))
}

fn line<'a>(text: &'a str, bundle: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(bundle)).unwrap_or_default()
}

#[test]
fn a_list_has_every_bundle_with_its_digest() -> Result {
    let app = TestApp::stories("")?;
    let copy = app.bundle("storyteller", "1.0.0").join("storyteller-q8_0.gguf");
    app.add_bundle("another", "2.1.0", &copy, 64)?;
    let models = app.path().join("models");
    let (code, list, errors) = bundle("list", &["--repository"], &models)?;
    assert_eq!(code, 0, "{errors}");
    assert_eq!(list.lines().count(), 3, "{list}");
    let columns: Vec<Option<usize>> = list.lines().map(|line| line.find("sha256:")).collect();
    assert!(columns.iter().all(|column| column.is_some() && *column == columns[0]), "not aligned:\n{list}");
    for bundle in ["another@2.1.0", "storyteller@1.0.0", "storyteller@1.1.0"] {
        assert!(line(&list, bundle).contains("generate") && line(&list, bundle).contains("sha256:"), "{list}");
    }
    let (code, json, _) = bundle("list", &["--json", "--repository"], &models)?;
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&json)?;
    let [another, storyteller, refresh] = &json.as_array().context("an array")?[..] else { panic!("{json}") };
    assert_eq!(another["bundle"], "another@2.1.0");
    assert_eq!(storyteller["bundle"], "storyteller@1.0.0");
    assert_eq!(refresh["bundle"], "storyteller@1.1.0");
    assert_eq!(storyteller["kind"], "generate");
    assert!(storyteller["size"].as_u64().is_some_and(|size| size > 1_000_000), "{storyteller}");
    let digest = storyteller["digest"].as_str().context("a digest")?;
    assert!(list.contains(digest), "{digest} is not in {list}");
    Ok(())
}

#[test]
fn an_unreadable_bundle_is_listed_with_why_and_fails_the_command() -> Result {
    let app = TestApp::stories("")?;
    let broken = app.bundle("broken", "3.0.0");
    fs::create_dir_all(&broken)?;
    fs::write(broken.join("bundle.toml"), "format = 1\nnmae = \"broken\"\n")?;
    let models = app.path().join("models");
    let (code, list, _) = bundle("list", &["--repository"], &models)?;
    assert_eq!(code, 1, "{list}");
    assert!(line(&list, "broken@3.0.0").contains("UNREADABLE"), "{list}");
    assert!(line(&list, "broken@3.0.0").contains("bundle.toml"), "the file is not named: {list}");
    assert!(line(&list, "storyteller@1.0.0").contains("sha256:"), "{list}");
    let (code, json, _) = bundle("list", &["--json", "--repository"], &models)?;
    assert_eq!(code, 1, "{json}");
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(json[0]["bundle"], "broken@3.0.0");
    assert!(json[0]["error"].as_str().is_some_and(|error| error.contains("nmae")), "{json}");
    assert!(json[1].get("error").is_none() && json[1]["bundle"] == "storyteller@1.0.0", "{json}");
    Ok(())
}

#[test]
fn a_repository_that_is_not_there_is_named() -> Result {
    let (code, list, error) = bundle("list", &["--repository"], Path::new("no/such/models"))?;
    assert_eq!((code, list.as_str()), (4, ""));
    assert!(error.contains("no/such/models"), "{error}");
    Ok(())
}

#[test]
fn a_sound_bundle_is_reported_file_by_file() -> Result {
    let app = TestApp::stories("")?;
    let folder = app.bundle("storyteller", "1.0.0");
    let (code, report, errors) = bundle("verify", &[], &folder)?;
    assert_eq!(code, 0, "{errors}");
    assert!(line(&report, "storyteller@1.0.0").contains("sha256:"), "{report}");
    for checked in ["storyteller-q8_0.gguf", "preflight"] {
        let line = report.lines().find(|line| line.contains(checked)).unwrap_or_default();
        assert!(line.trim_start().starts_with("ok"), "{checked}: {report}");
    }
    let (code, json, _) = bundle("verify", &["--json"], &folder)?;
    assert_eq!(code, 0, "{json}");
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!((&json["bundle"], &json["ok"]), (&"storyteller@1.0.0".into(), &true.into()), "{json}");
    assert_eq!(json["errors"], Value::Array(Vec::new()), "{json}");
    assert_eq!(json["files"][0]["path"], "storyteller-q8_0.gguf", "{json}");
    assert!(json["files"][0]["error"].is_null(), "{json}");
    assert!(report.contains(json["digest"].as_str().context("a digest")?), "{report}");
    Ok(())
}

#[test]
fn a_damaged_bundle_is_reported_to_programs_with_the_file_and_why() -> Result {
    let app = TestApp::stories("")?;
    let folder = app.bundle("storyteller", "1.0.0");
    let weights = folder.join("storyteller-q8_0.gguf");
    let mut bytes = fs::read(&weights)?;
    bytes.truncate(1000);
    fs::write(&weights, bytes)?;
    let (code, json, errors) = bundle("verify", &["--json"], &folder)?;
    assert_eq!(code, 1, "{json}");
    assert!(errors.contains("storyteller-q8_0.gguf"), "{errors}");
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(json["ok"], false, "{json}");
    for error in [&json["files"][0]["error"], &json["errors"][0]] {
        assert!(error.as_str().is_some_and(|error| error.contains("1000 bytes")), "{json}");
    }
    Ok(())
}

#[test]
fn a_name_alone_is_its_newest_version_and_a_slip_finds_what_there_is() -> Result {
    let app = TestApp::stories("")?;
    let ran = |words: &[&str]| bobbin_tests::ran(app.path(), &[&["bundle"], words].concat());
    for named in ["storyteller", "storyteller@1.1.0", "models/storyteller", "models/storyteller/1.1.0"] {
        let shown = ran(&["show", named, "--json"])?;
        assert_eq!((shown.code, &shown.json()?["bundle"]), (0, &"storyteller@1.1.0".into()), "{named}: {shown:?}");
    }
    assert_eq!(ran(&["verify", "storyteller"])?.code, 0);
    for (words, code, says) in [
        (["show", "storyteler"], 4, "did you mean \"storyteller\"?"),
        (["verify", "models/storyteler/1.0.0"], 4, "did you mean \"storyteller\"?"),
        (["verify", "models/storyteler"], 4, "did you mean \"storyteller\"?"),
        (["verify", "models/storyteller/9.9.9"], 4, "no version 9.9.9 in models; there are 1.0.0, 1.1.0"),
        (["verify", "modles/storyteller/1.0.0"], 4, "did you mean \"models/storyteller/1.0.0\"?"),
        (["show", "storyteller@1.2.0"], 4, "there are 1.0.0, 1.1.0"),
        (["show", "storyteller@latest"], 2, "there are 1.0.0, 1.1.0"),
        (["show", "Storyteller@1.0.0"], 2, "lower-case"),
        (["show", "elsewhere/x"], 4, "elsewhere/x is not there"),
    ] {
        let refused = ran(&words)?;
        assert!(refused.code == code && refused.err.contains(says), "{words:?}: {refused:?}");
    }
    Ok(())
}
