//! `--json`: one document in any case, and where a command fails, with the `error` in it.

use super::{stories, weights};
use anyhow::{Context, ensure};
use bobbin_tests::{Ran, Result, ran};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Runs a command that must fail, and gives its document.
fn failed(folder: &Path, words: &[&str], code: i32, name: &str) -> Result<Value> {
    let told: Ran = ran(folder, &[words, &["--json"]].concat())?;
    let document = told.json().with_context(|| format!("{words:?}"))?;
    let error = document.get("error").with_context(|| format!("no error: {words:?}: {told:?}"))?;
    ensure!(told.code == code && error.get("exit_code") == Some(&code.into()), "{words:?}: {told:?}");
    ensure!(error.get("code") == Some(&name.into()), "{words:?}: {told:?}");
    let message = error.get("message").and_then(Value::as_str).with_context(|| format!("{words:?}: {told:?}"))?;
    // People read the same; an argument's error in several lines.
    let said = told.err.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(!message.is_empty() && said.contains(message), "{words:?}: {told:?}");
    Ok(document)
}

#[test]
fn every_command_that_fails_prints_a_document_with_the_error() -> Result {
    let app = stories()?;
    let at = app.path();
    fs::rename(app.bundle("storyteller", "1.1.0"), at.join("models/storyteller/2.0.0"))?;
    fs::write(at.join("file"), "")?;
    let weights = weights();
    let weights = weights.to_str().context("a path")?;
    let nobody = ["--admin", "http://127.0.0.1:1"];
    for (words, code, name) in [
        (&["bundle", "show", "nobody"][..], 4, "unknown_bundle"),
        (&["bundle", "show", "models/storyteller/9.9.9"], 4, "unknown_bundle"),
        (&["bundle", "show", "models/storyteller/2.0.0"], 1, "failed"),
        (&["bundle", "verify", "models/storyteller/2.0.0"], 1, "failed"),
        (&["bundle", "list", "--repository", "nope"], 4, "not_found"),
        (&["bundle", "new", "nope.gguf", "--name", "a", "--version", "1.0.0"], 4, "not_found"),
        (&["bundle", "new", "file", "--name", "a", "--version", "1.0.0"], 5, "refused"),
        (&["bundle", "new", weights, "--name", "storyteller", "--version", "1.0.0"], 3, "conflict"),
        (&["bundle", "import", "nope.tar"], 4, "not_found"),
        (&["infer", "nobody", "x"], 4, "unknown_bundle"),
        (&["infer", "storyteller@1.0.0", "x", "--max-tokens", "0"], 2, "invalid_option"),
        (&["man", "file"], 1, "failed"),
        (&["key", "revoke", "aaaaaaaa", "-f", "spin.toml"], 4, "not_found"),
        (&["bench", "http://127.0.0.1:1/story", "-n", "1"], 6, "unreachable"),
        (&["release", "list", nobody[0], nobody[1]], 6, "unreachable"),
        (&["release", "set", "story", "a@1.0.0", nobody[0], nobody[1]], 6, "unreachable"),
        (&["key", "list", nobody[0], nobody[1]], 6, "unreachable"),
        // What makes no sense.
        (&["infer", "storyteller", "--max-tokens", "abc"], 2, "usage"),
        (&["infr", "storyteller"], 2, "usage"),
        (&["release", "lst"], 2, "usage"),
        (&["release", "set", "story"], 2, "usage"),
        (&["bundle", "new"], 2, "usage"),
        (&["key", "create", "a", "--expires", "soon"], 2, "usage"),
        (&["bench", "story"], 2, "usage"),
    ] {
        failed(at, words, code, name)?;
    }
    Ok(())
}

#[test]
fn what_programs_read_before_stands_beside_the_error() -> Result {
    let app = stories()?;
    let nobody = ["--admin", "127.0.0.1:1"];
    for command in [["release", "list"], ["key", "list"]] {
        let document = failed(app.path(), &[command, nobody].concat(), 6, "unreachable")?;
        assert_eq!(document["code"], "unreachable", "{document}");
        assert_eq!(document["detail"], document["error"]["detail"], "{document}");
        assert!(document["detail"].is_string() && document["title"].is_string(), "{document}");
    }
    fs::write(app.bundle("storyteller", "1.0.0").join("storyteller-q8_0.gguf"), "cut")?;
    let document = failed(app.path(), &["bundle", "verify", "storyteller@1.0.0"], 1, "failed")?;
    assert_eq!((&document["ok"], &document["files"][0]["path"]), (&json!(false), &json!("storyteller-q8_0.gguf")));
    assert!(document["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{document}");
    let document = failed(app.path(), &["bench", "127.0.0.1:1/x", "-n", "2"], 6, "unreachable")?;
    assert_eq!((&document["requests"], &document["answered"]), (&json!(2), &json!(0)), "{document}");
    Ok(())
}

#[test]
fn a_command_that_knows_no_documents_prints_none() -> Result {
    let refused = ran(Path::new("."), &["up", "--json"])?;
    assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{refused:?}");
    let helped = ran(Path::new("."), &["infer", "--json", "--help"])?;
    assert!(helped.code == 0 && helped.out.contains("Usage") && helped.err.is_empty(), "{helped:?}");
    Ok(())
}

#[test]
fn an_application_that_is_not_there_is_told_once_with_the_one_that_is() -> Result {
    let app = stories()?;
    let refused = ran(app.path(), &["up", "-f", "spin.tml"])?;
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("did you mean \"spin.toml\"?"), "{refused:?}");
    assert_eq!(refused.err.matches("spin.tml").count(), 1, "{refused:?}");
    let refused = ran(app.path(), &["up", "--listen", "here"])?;
    assert!(refused.code == 2 && refused.err.contains("127.0.0.1:3000"), "{refused:?}");
    Ok(())
}
