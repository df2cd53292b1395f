//! Error texts and the format itself, held against files in `tests/goldens/`.
//!
//! `NAME.toml` is a bad manifest and `NAME.err` the message it must get. `format-N.txt` is every key of a format: when the
//! newest changes, so must the number, and the older ones never do. `BOBBIN_UPDATE_GOLDENS=1` writes the others anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::{Digest, FORMAT, Manifest};
use std::path::{Path, PathBuf};
use support::bundle::{REST, entry, head};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn updating() -> bool {
    std::env::var("BOBBIN_UPDATE_GOLDENS").is_ok_and(|value| value == "1")
}

fn hold(path: &Path, text: &str) {
    if updating() {
        std::fs::write(path, text).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(expected, text, "{}: run with BOBBIN_UPDATE_GOLDENS=1 and look at the difference", path.display());
}

#[test]
fn bad_manifests_get_their_messages() {
    let mut count = 0;
    for entry in std::fs::read_dir(goldens()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let error = match Manifest::parse(&text, Path::new("bundle.toml")) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{} is a good manifest", path.display()),
        };
        hold(&path.with_extension("err"), &format!("{error}\n"));
        count += 1;
    }
    assert!(count >= 30, "only {count} goldens were found");
}

#[test]
fn a_full_manifest_is_read_whole() {
    let text = std::fs::read_to_string(goldens().join("full.toml.ok")).unwrap();
    let manifest = Manifest::parse(&text, Path::new("bundle.toml")).unwrap();
    assert_eq!(manifest.id(), "storyteller@1.0.0");
    assert_eq!(manifest.defaults.stop.as_deref(), Some(&["\n\n".to_owned()][..]));
    assert_eq!(manifest.card.evaluations.len(), 1);
    // Writing and reading again must change nothing: the host stores manifests so.
    let again = Manifest::parse(&toml::to_string(&manifest).unwrap(), Path::new("bundle.toml")).unwrap();
    assert_eq!(again, manifest);
}

#[test]
fn the_least_manifest_is_enough() {
    let text = head("generate")
        + &entry("w.gguf", "weights", b"x")
        + &REST.replace("[prompt]\ntemplate = \"chat.jinja\"\n", "");
    let manifest = Manifest::parse(&text, Path::new("bundle.toml")).unwrap();
    assert!(manifest.warm_up.prompts.is_empty() && manifest.fingerprint.is_none());
}

/// Every key with a value, one per line: what a format is.
fn keys(prefix: &str, value: &toml::Value, lines: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                keys(&name, value, lines);
            }
        }
        toml::Value::Array(list) => match list.first() {
            Some(first) => keys(&format!("{prefix}[]"), first, lines),
            None => lines.push(format!("{prefix}[]")),
        },
        value => lines.push(format!("{prefix}: {}", value.type_str())),
    }
}

#[test]
fn the_format_does_not_change_without_its_number() {
    let text = std::fs::read_to_string(goldens().join("full.toml.ok")).unwrap();
    let manifest = Manifest::parse(&text, Path::new("bundle.toml")).unwrap();
    let mut lines = Vec::new();
    keys("", &toml::Value::try_from(&manifest).unwrap(), &mut lines);
    lines.sort();
    // A key that the full manifest does not use would not be seen: the error for an unknown one lists them all.
    for table in ["", "files", "limits", "defaults", "prompt", "warm_up", "fingerprint", "card", "card.evaluations"] {
        lines.push(format!("{table}: {}", allowed_in(table, &text)));
    }
    let name = format!("format-{FORMAT}.txt");
    let path = goldens().join(&name);
    if updating() {
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let new = format!("{}\n", lines.join("\n"));
        assert!(
            old.is_empty() || old == new,
            "the format changed but FORMAT is still {FORMAT}: give it the next number, describe both in \
             docs/bundle-format.md, keep reading the old one, and remove {name} only if {FORMAT} was never released"
        );
    }
    hold(&path, &format!("{}\n", lines.join("\n")));
}

/// Whoever wrote a bundle in format 1 can count on it: its keys are what they were, and no later one is taken for them.
#[test]
fn format_1_has_the_keys_that_it_had() {
    let text = std::fs::read_to_string(goldens().join("full.toml.ok")).unwrap();
    let text = text.replacen("format = 2\n", "format = 1\n", 1);
    let refused = Manifest::parse(&text, Path::new("bundle.toml")).unwrap_err().to_string();
    assert!(refused.contains("`format = 2`"), "{refused}");
    let manifest = Manifest::parse(&text.replacen("threads = 4\n", "", 1), Path::new("bundle.toml")).unwrap();
    let mut lines = Vec::new();
    keys("", &toml::Value::try_from(&manifest).unwrap(), &mut lines);
    lines.sort();
    let golden = std::fs::read_to_string(goldens().join("format-1.txt")).unwrap();
    // What follows is which keys each table may have.
    let (golden, _) = golden.split_once("\n: one of").unwrap();
    assert_eq!(lines.join("\n"), golden);
}

/// What the reader says is allowed where `text` has an unknown key in `table`.
fn allowed_in(table: &str, text: &str) -> String {
    let header = match table {
        "" => "encoding = \"ggml\"".to_owned(),
        "files" | "card.evaluations" => format!("[[{table}]]"),
        table => format!("[{table}]"),
    };
    assert!(text.contains(&header), "{header}");
    let broken = text.replacen(&header, &format!("{header}\nno_such_key = 1"), 1);
    let error = Manifest::parse(&broken, Path::new("bundle.toml")).unwrap_err().to_string();
    let list = error.split_once("expected ").map(|(_, list)| list.split(';').next().unwrap().to_owned());
    list.unwrap_or_else(|| panic!("{table}: {error}"))
}

#[test]
fn the_example_of_the_specification_is_right() {
    let text = include_str!("../../../../docs/bundle-format.md");
    let manifest = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    Manifest::parse(manifest, Path::new("docs/bundle-format.md")).unwrap();
    let list = text.split("```text\nbobbin-bundle").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let digest = Digest::of(format!("bobbin-bundle{list}").as_bytes()).to_string();
    assert!(text.contains(&digest), "the worked example's digest is {digest}");
}
