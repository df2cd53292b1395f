//! What people name that is not what it looks like: folders whose names are no text, pipes, disks without room.

use super::{stories, tree, weights};
use anyhow::{Context, ensure};
use bobbin_tests::{Ran, Result, TestHost, bobbin, ran, repository_root};
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A line of a shell in a folder, with `$BOBBIN` as the binary. What hangs is killed, and has no code then.
fn shell(folder: &Path, line: &str) -> Result<Ran> {
    let mut command = Command::new("timeout");
    command.args(["--signal", "KILL", "60", "sh", "-c", line]).current_dir(folder).env("BOBBIN", bobbin());
    let output = command.stdin(Stdio::null()).output().context("`timeout` ends what hangs, and is not there")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) })
}

/// A folder within, that no text names.
fn nameless(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(OsStr::from_bytes(b"np\xff"));
    fs::create_dir(&path)?;
    Ok(path)
}

#[tokio::test]
async fn folders_may_be_called_what_is_no_text() -> Result {
    let app = stories()?;
    let home = tempfile::tempdir()?;
    let folder = nameless(home.path())?;
    let (repository, state) = (folder.join("models"), folder.join("st"));
    let words = |words: &[&OsStr]| words.iter().map(|word| OsString::from(*word)).collect::<Vec<_>>();
    let [bundle, import, into] = ["bundle", "import", "--into"].map(OsStr::new);
    let source = app.bundle("storyteller", "1.0.0");
    let taken = words(&[bundle, import, source.as_os_str(), into, repository.as_os_str(), OsStr::new("--json")]);
    let taken = ran(home.path(), &taken)?;
    assert_eq!((taken.code, taken.err.as_str()), (0, ""), "{taken:?}");
    assert_eq!(taken.json()?["bundle"], "storyteller@1.0.0");

    let mut infer = words(&["infer", "storyteller", "Once", "--max-tokens", "3", "--repository"].map(OsStr::new));
    infer.extend(words(&[repository.as_os_str(), OsStr::new("--state-dir"), state.as_os_str()]));
    let told = ran(home.path(), &infer)?;
    assert_eq!(told.code, 0, "{told:?}");

    // With its fingerprint: the draft lies in the repository, and a worker loads it there.
    let weights = weights();
    let mut new = words(&[bundle, OsStr::new("new"), weights.as_os_str(), into, repository.as_os_str()]);
    new.extend(words(&["--name", "tale", "--version", "1.0.0", "--json"].map(OsStr::new)));
    let made = ran(home.path(), &new)?;
    assert_eq!((made.code, made.err.as_str()), (0, ""), "{made:?}");
    let json = made.json()?;
    let ends_well = json["folder"].as_str().is_some_and(|shown| shown.ends_with("np\u{fffd}/models/tale/1.0.0"));
    assert!(ends_well && json["fingerprint"]["sequences"] == 2, "{json}");

    let host = TestHost::of(&app.manifest()).state_dir(&folder.join("up")).start().await?;
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}

#[test]
fn pipes_are_refused_and_nobody_waits_for_them() -> Result {
    let folder = tempfile::tempdir()?;
    let weights = weights();
    let new = format!("\"$BOBBIN\" bundle new {} --name tale --version 1.0.0 --no-fingerprint", weights.display());
    let neither = "neither a folder nor a regular file";
    for (line, code, says) in [
        ("mkfifo pipe && exec \"$BOBBIN\" bundle import pipe".to_owned(), 5, neither),
        ("cat /dev/zero | \"$BOBBIN\" bundle import /dev/stdin".into(), 5, neither),
        ("exec \"$BOBBIN\" bundle import /dev/zero".into(), 5, neither),
        (format!("exec {new} --template pipe"), 1, "no regular file"),
        (format!("exec {new} --licence-file pipe"), 1, "no regular file"),
        (format!("exec {new} --tokenizer pipe"), 1, "no regular file"),
    ] {
        let refused = shell(folder.path(), &line)?;
        ensure!(refused.code == code && refused.out.is_empty(), "{line}: {refused:?}");
        ensure!(refused.err.contains(says) && !refused.err.contains("pack it anew"), "{line}: {refused:?}");
        ensure!(tree(&folder.path().join("models"))?.is_empty(), "{line} left something behind");
    }
    Ok(())
}

#[test]
fn what_standard_output_did_not_take_is_no_success() -> Result {
    let folder = tempfile::tempdir()?;
    let models = repository_root().join("models");
    for line in [
        "completions zsh".to_owned(),
        "doctor".to_owned(),
        "doctor --json".to_owned(),
        "key create one --state-dir state".to_owned(),
        format!("bundle list --repository {}", models.display()),
        format!("bundle show storyteller --repository {} --json", models.display()),
        format!("infer storyteller Once --max-tokens 2 --repository {}", models.display()),
    ] {
        let lost = shell(folder.path(), &format!("exec \"$BOBBIN\" {line} >/dev/full"))?;
        ensure!(lost.code == 1 && lost.err.contains("standard output cannot be written"), "{line}: {lost:?}");
        // Whoever has seen enough closes it, and that is no failure.
        let enough = shell(folder.path(), &format!("\"$BOBBIN\" {line} | head -c 1 >/dev/null"))?;
        ensure!(!enough.err.contains("standard output"), "{line}: {enough:?}");
    }
    Ok(())
}

/// What every file below a folder says.
fn texts(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut texts = BTreeMap::new();
    for path in tree(folder)?.into_keys().filter(|path| path.is_file()) {
        let text = fs::read(&path)?;
        texts.insert(path, text);
    }
    Ok(texts)
}

#[test]
fn a_disk_without_room_leaves_what_was_there() -> Result {
    let folder = tempfile::tempdir()?;
    assert_eq!(shell(folder.path(), "exec \"$BOBBIN\" man pages")?.code, 0);
    assert_eq!(shell(folder.path(), "exec \"$BOBBIN\" key create one --state-dir state")?.code, 0);
    let (pages, state) = (texts(&folder.path().join("pages"))?, texts(&folder.path().join("state"))?);
    // No file may grow beyond nothing, which writers see as they see a full disk.
    let full = "trap '' XFSZ; ulimit -f 0; exec \"$BOBBIN\"";
    let man = shell(folder.path(), &format!("{full} man pages"))?;
    assert!(man.code == 1 && man.err.contains("cannot be written into pages"), "{man:?}");
    assert_eq!(texts(&folder.path().join("pages"))?, pages);
    let key = shell(folder.path(), &format!("{full} key create two --state-dir state"))?;
    assert!(key.code == 1 && key.err.contains("keys.json cannot be written"), "{key:?}");
    assert_eq!(texts(&folder.path().join("state"))?, state);
    Ok(())
}

#[test]
fn a_key_does_not_expire_at_another_time_than_was_said() -> Result {
    let folder = tempfile::tempdir()?;
    let refused = ran(folder.path(), &["key", "create", "one", "--state-dir", "s", "--expires", "99999999999d"])?;
    assert!(refused.code == 5 && refused.err.contains("after the year 9999"), "{refused:?}");
    assert!(!folder.path().join("s").exists());
    Ok(())
}

#[tokio::test]
async fn a_token_that_nobody_can_send_starts_no_host() -> Result {
    let app = stories()?;
    for token in ["secret\n", " "] {
        let error = TestHost::of(&app.manifest()).arg("--admin-token").arg(token).refused().await?;
        assert!(error.contains("--admin-token") && error.contains("the secret alone"), "{token:?}: {error}");
    }
    Ok(())
}
