//! `bobbin bundle new ..`: a bundle of a GGUF file.

use super::{tree, weights};
use anyhow::{Context, ensure};
use bobbin_tests::{Ran, Result, bobbin, eventually, ran, shared_models, typed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn make(folder: &Path, weights: &Path, more: &[&str]) -> Result<Ran> {
    let weights = weights.to_str().context("a path")?;
    let args = [&["bundle", "new", weights, "--name", "tale", "--version", "1.0.0"], more].concat();
    ran(folder, &args)
}

fn manifest(folder: &Path) -> Result<toml::Table> {
    Ok(fs::read_to_string(folder.join("models/tale/1.0.0/bundle.toml"))?.parse()?)
}

#[test]
fn weights_become_a_bundle_that_is_verified_proved_and_answers() -> Result {
    let folder = tempfile::tempdir()?;
    let made = make(folder.path(), &weights(), &["--data", "a \"grammar\" of stories"])?;
    assert_eq!(made.code, 0, "{made:?}");
    let first = made.out.lines().next().unwrap_or_default();
    assert_eq!(first, "tale@1.0.0", "{made:?}");
    for part in ["llama", "generate", "Apache-2.0  (general.license)", "en  (general.languages)", "fingerprint of 2"] {
        assert!(made.out.contains(part), "{part} is not in:\n{}", made.out);
    }
    assert!(made.err.contains("--limits") && !made.err.contains("--licence"), "{made:?}");
    let text = manifest(folder.path())?;
    let card = &text["card"];
    assert_eq!(card["licence"].as_str(), Some("Apache-2.0"), "{text}");
    assert_eq!(card["data"].as_str(), Some("a \"grammar\" of stories"), "{text}");
    assert_eq!(card["limits"].as_str(), Some("unknown"), "{text}");
    assert_eq!(text["limits"]["context"].as_integer(), Some(256), "{text}");
    assert_eq!(text["fingerprint"]["sequences"].as_array().map(Vec::len), Some(2), "{text}");
    // What lies in the repository is the bundle, and nothing else.
    let names: Vec<_> = tree(&folder.path().join("models"))?.into_keys().collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let verified = ran(folder.path(), &["bundle", "verify", "tale@1.0.0"])?;
    assert_eq!(verified.code, 0, "{verified:?}");
    let args = |model| ["infer", model, "Once upon a time", "--max-tokens", "20", "--temperature", "0", "--json"];
    let told = ran(folder.path(), &args("tale"))?.json()?;
    let repository = bobbin_tests::repository_root().join("models");
    let more = ["--repository", repository.to_str().context("a path")?, "--state-dir", ".bobbin"];
    let original = ran(folder.path(), &[&args("storyteller@1.0.0")[..], &more].concat())?.json()?;
    assert_eq!(told["text"], original["text"], "the same weights tell the same story");
    Ok(())
}

#[test]
fn a_fingerprint_that_does_not_fit_keeps_the_bundle_from_answering() -> Result {
    let folder = tempfile::tempdir()?;
    assert_eq!(make(folder.path(), &weights(), &["--tolerance", "0.01"])?.code, 0);
    let path = folder.path().join("models/tale/1.0.0/bundle.toml");
    let text = fs::read_to_string(&path)?;
    let (before, recorded) = text.split_once("logprobs = [").context("a record")?;
    let (first, rest) = recorded.split_once(',').context("several")?;
    let other = first.parse::<f32>()? - 1.0;
    fs::write(&path, format!("{before}logprobs = [{other:.5},{rest}"))?;
    let told = ran(folder.path(), &["infer", "tale", "x"])?;
    assert!(told.code == 5 && told.err.contains("does not match its fingerprint"), "{told:?}");
    Ok(())
}

#[test]
fn programs_learn_what_was_found_and_what_nobody_said() -> Result {
    let folder = tempfile::tempdir()?;
    let made = make(folder.path(), &weights(), &["--json", "--warm-up", "A fox", "--warm-up", "The sea"])?;
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
    let json = made.json()?;
    assert_eq!(
        (&json["bundle"], &json["kind"], &json["loaded"]),
        (&"tale@1.0.0".into(), &"generate".into(), &true.into())
    );
    assert_eq!(json["card"]["licence"]["from"], "general.license", "{json}");
    assert_eq!(json["card"]["limits"]["from"], Value::Null, "{json}");
    assert!(json["unknown"].as_array().is_some_and(|keys| keys.contains(&"limits".into())), "{json}");
    assert_eq!(json["fingerprint"]["sequences"], 3, "{json}");
    // The same machine, the same steps: the record is met but for the digits that were not written.
    assert!(json["fingerprint"]["deviation"].as_f64().is_some_and(|deviation| deviation < 1e-3), "{json}");
    let listed = ran(folder.path(), &["bundle", "list", "--json"])?.json()?;
    assert_eq!(listed[0]["digest"], json["digest"], "{listed}");
    Ok(())
}

#[test]
fn other_shapes_of_weights_are_known_by_themselves() -> Result {
    let Some(shared) = shared_models() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let tokenizer = shared.join("all-MiniLM-L6-v2-tokenizer.json");
    let more = ["--tokenizer", tokenizer.to_str().context("a path")?, "--json", "--warm-up", "Where is my order?"];
    let made = make(folder.path(), &shared.join("all-MiniLM-L6-v2-q8_0.gguf"), &more)?;
    let json = made.json()?;
    assert_eq!((made.code, &json["kind"], &json["fingerprint"]), (0, &"embed".into(), &Value::Null), "{made:?}");
    let vectors = ran(folder.path(), &["infer", "tale", "hello"])?.json()?;
    assert_eq!(vectors["dimensions"], 384);
    let folder = tempfile::tempdir()?;
    let made = make(folder.path(), &shared.join("stories260K-f16.gguf"), &["--context", "64", "--json"])?;
    let json = made.json()?;
    assert_eq!((made.code, &json["kind"], &json["context"]), (0, &"generate".into(), &64.into()), "{made:?}");
    // Another model's tokenizer is found out when the bundle is loaded, and nothing is left of it.
    let folder = tempfile::tempdir()?;
    let elsewhere = tempfile::tempdir()?;
    let nameless = elsewhere.path().join("words");
    fs::copy(&tokenizer, &nameless)?;
    for tokenizer in [&tokenizer, &nameless] {
        let more = ["--tokenizer", tokenizer.to_str().context("a path")?];
        let wrong = make(folder.path(), &shared.join("stories260K-f16.gguf"), &more)?;
        assert!(wrong.code == 5 && wrong.err.contains("tokenizer"), "{wrong:?}");
        assert_eq!(wrong.err.lines().count(), 1, "said once, and not by a log: {wrong:?}");
        assert!(tree(folder.path())?.is_empty(), "{:?}", tree(folder.path())?);
    }
    Ok(())
}

#[test]
fn hostile_weights_are_refused_with_what_is_wrong_and_leave_nothing() -> Result {
    let Some(shared) = shared_models() else { return Ok(()) };
    let mut seen = 0;
    for entry in fs::read_dir(shared.join("hostile"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        seen += 1;
        let folder = tempfile::tempdir()?;
        let refused = make(folder.path(), &path, &[])?;
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        ensure!(refused.code == 5 && refused.out.is_empty(), "{name}: {refused:?}");
        ensure!(refused.err.contains(name) && refused.err.lines().count() == 1, "{name}: {refused:?}");
        ensure!(tree(folder.path())?.is_empty(), "{name} left {:?}", tree(folder.path())?);
    }
    assert!(seen >= 5, "{seen} files");
    Ok(())
}

#[test]
fn a_version_that_is_there_is_never_written_over() -> Result {
    let folder = tempfile::tempdir()?;
    assert_eq!(make(folder.path(), &weights(), &["--no-fingerprint"])?.code, 0);
    let before = tree(&folder.path().join("models"))?;
    let again = make(folder.path(), &weights(), &["--data", "other"])?;
    assert!(again.code == 3 && again.err.contains("a version never changes"), "{again:?}");
    assert_eq!(tree(&folder.path().join("models"))?, before);
    Ok(())
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_written() -> Result {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("model.gguf");
    fs::copy(weights(), &model)?;
    let cut = folder.path().join("cut.gguf");
    fs::write(&cut, fs::read(&model)?.get(..5000).context("bytes")?)?;
    fs::write(folder.path().join("readme.md"), "# A readme\n\nProse, and no template.\n")?;
    let before = tree(folder.path())?;
    let new = |words: &[&str]| ran(folder.path(), &[&["bundle", "new"], words].concat());
    let named = ["--name", "tale", "--version", "1.0.0"];
    for (words, code, says) in [
        (&["model.gguf"][..], 2, "--name"),
        (&["model.gguf", "--name", "Tale", "--version", "1.0.0"], 2, "lower-case letters"),
        (&["model.gguf", "--name", "../tale", "--version", "1.0.0"], 2, "lower-case letters"),
        (&["model.gguf", "--name", "tale", "--version", "1"], 2, "1.0.0"),
        (&["nowhere.gguf", named[0], named[1], named[2], named[3]], 4, "nowhere.gguf is not there"),
        (&[".", named[0], named[1], named[2], named[3]], 5, "no regular file"),
        (&["cut.gguf", named[0], named[1], named[2], named[3]], 5, "cut.gguf"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--context", "4096"], 5, "made for 256 tokens"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--context", "1"], 2, "8..=1048576"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--threads", "0"], 2, "1..=512"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--tolerance", "0"], 2, "above 0"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--kind", "classify"], 2, "possible values"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--template", "nowhere"], 4, "nowhere is not there"),
        (&["modle.gguf", named[0], named[1], named[2], named[3]], 4, "did you mean \"model.gguf\"?"),
        (
            &["model.gguf", named[0], named[1], named[2], named[3], "--licence-file", "nowhere"],
            4,
            "nowhere is not there",
        ),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--licence", " "], 2, "no SPDX expression"),
        (
            &["model.gguf", named[0], named[1], named[2], named[3], "--licence", "apachee-2.0"],
            2,
            "mean \"Apache-2.0\"?",
        ),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--language", "English"], 2, "did you mean \"en\"?"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--template", "readme.md"], 5, "no chat template"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--template", "cut.gguf"], 5, "template"),
        (&["model.gguf", named[0], named[1], named[2], named[3], "--into", "cut.gguf"], 1, "cut.gguf"),
    ] {
        let refused = new(words)?;
        assert!(refused.code == code && refused.err.contains(says), "{words:?}: {refused:?}");
        assert_eq!(tree(folder.path())?, before, "{words:?}");
    }
    let json = new(&["nowhere.gguf", "--name", "tale", "--version", "1.0.0", "--json"])?;
    assert!(json.json()?["error"]["message"].as_str().is_some_and(|error| error.contains("nowhere.gguf")), "{json:?}");
    Ok(())
}

#[test]
fn a_bundle_that_says_its_threads_is_of_the_format_that_has_them_and_any_other_of_the_first() -> Result {
    for (more, format, threads) in [(&["--no-fingerprint"][..], 1, None), (&["--threads", "3"], 2, Some(3))] {
        let folder = tempfile::tempdir()?;
        let made = make(folder.path(), &weights(), more)?;
        assert_eq!(made.code, 0, "{made:?}");
        let text = manifest(folder.path())?;
        let written = text["limits"].get("threads").and_then(toml::Value::as_integer);
        assert_eq!((text["format"].as_integer(), written), (Some(format), threads), "{text}");
        let shown = ran(folder.path(), &["bundle", "show", "tale"])?;
        let limits = shown.out.lines().find(|line| line.contains("parallel")).unwrap_or_default();
        assert_eq!(limits.ends_with(", threads 3"), threads.is_some(), "{shown:?}");
        let json = ran(folder.path(), &["bundle", "show", "tale", "--json"])?.json()?;
        assert_eq!(json["manifest"]["limits"]["threads"].as_i64(), threads, "{json}");
    }
    Ok(())
}

#[test]
fn licences_and_languages_are_written_as_programs_read_them() -> Result {
    let folder = tempfile::tempdir()?;
    let more = ["--no-fingerprint", "--licence", "mit or apache2", "--language", "PT-br", "--language", "en"];
    assert_eq!(make(folder.path(), &weights(), &more)?.code, 0);
    let text = manifest(folder.path())?;
    assert_eq!(text["card"]["licence"].as_str(), Some("MIT OR Apache-2.0"), "{text}");
    assert_eq!(text["card"]["languages"], toml::Value::from(vec!["pt-BR", "en"]), "{text}");
    Ok(())
}

/// The drafts that lie in the repository.
fn drafts(folder: &Path) -> Result<Vec<String>> {
    let names = match fs::read_dir(folder.join("models")) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())),
        Err(_) => return Ok(Vec::new()),
    };
    let names: Vec<String> = names.collect::<Result<_>>()?;
    Ok(names.into_iter().filter(|name| name.starts_with(".draft-")).collect())
}

fn signal(child: &Child, signal: Signal) -> Result {
    Ok(kill_process(Pid::from_raw(child.id().try_into()?).context("a process id")?, signal)?)
}

/// Begins a bundle, and stops the process as soon as it holds its draft: it goes on when it is told to.
async fn begun(folder: &Path) -> Result<Child> {
    let mut command = Command::new(bobbin());
    command.args(["bundle", "new"]).arg(weights()).args(["--name", "slow", "--version", "1.0.0"]).current_dir(folder);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let held = |draft: &String| folder.join("models").join(draft).join("lock").exists();
    eventually(async || Ok(drafts(folder)?.iter().any(held).then_some(()))).await?;
    signal(&child, Signal::STOP)?;
    Ok(child)
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_by_the_next_one_at_once() -> Result {
    for signals in [&[Signal::KILL][..], &[Signal::CONT, Signal::INT, Signal::INT]] {
        let folder = tempfile::tempdir()?;
        let mut child = begun(folder.path()).await?;
        assert_eq!(make(folder.path(), &weights(), &["--no-fingerprint"])?.code, 0);
        assert_eq!(drafts(folder.path())?.len(), 1, "what somebody still writes stays");
        for each in signals {
            signal(&child, *each)?;
        }
        let ended = child.wait()?;
        assert!(!ended.success(), "it was to be given up: {ended:?}");
        let again = make(folder.path(), &weights(), &["--no-fingerprint"])?;
        assert_eq!(again.code, 3, "{again:?}");
        assert_eq!(drafts(folder.path())?, Vec::<String>::new(), "{signals:?}");
        assert!(!folder.path().join("models/slow").exists(), "{signals:?}");
    }
    Ok(())
}

#[test]
fn progress_is_for_terminals() -> Result {
    let folder = tempfile::tempdir()?;
    let weights = weights();
    let line = format!("\"$BOBBIN\" bundle new {} --name tale --version 1.0.0", weights.display());
    let shown = typed(folder.path(), &line)?;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("loading, and recording the fingerprint"), "{shown:?}");
    let folder = tempfile::tempdir()?;
    let quiet = make(folder.path(), &weights, &[])?;
    assert!(!quiet.err.contains("loading") && !quiet.out.contains('\u{1b}'), "{quiet:?}");
    Ok(())
}
