//! `bobbin infer ..`: a model in the terminal, without a server.

use super::stories;
use anyhow::{Context, ensure};
use bobbin_tests::{Ran, Result, bobbin, children, eventually, ran, ran_with, repository_root, typed};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const PROMPT: &str = "Once upon a time";

fn infer(folder: &Path, args: &[&str]) -> Result<Ran> {
    ran(folder, &[&["infer"], args].concat())
}

/// One that must be refused: its exit code, and parts of what it says.
fn refused(folder: &Path, args: &[&str], code: i32, says: &[&str]) -> Result {
    let ran = infer(folder, args)?;
    ensure!(ran.code == code && ran.out.is_empty(), "{args:?}: {ran:?}");
    for part in says {
        ensure!(ran.err.contains(part), "{part} is not in: {ran:?}");
    }
    Ok(())
}

#[test]
fn a_story_is_told_without_a_server_and_without_a_word_besides() -> Result {
    let app = stories()?;
    let told = infer(app.path(), &["storyteller@1.0.0", PROMPT, "--max-tokens", "40", "--temperature", "0"])?;
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    assert!(told.out.starts_with(", there was") && told.out.ends_with('\n'), "{told:?}");
    // The same from standard input, whose last line break is none of the prompt's.
    let args = ["infer", "storyteller@1.0.0", "--max-tokens", "40", "--temperature", "0"];
    let piped = ran_with(app.path(), &args, format!("{PROMPT}\n").as_bytes())?;
    assert_eq!((piped.code, piped.out), (0, told.out));
    Ok(())
}

#[test]
fn a_name_alone_is_its_newest_version_and_programs_get_one_document() -> Result {
    let app = stories()?;
    let told = infer(app.path(), &["storyteller", PROMPT, "--max-tokens", "12", "--seed", "7", "--json"])?;
    let json = told.json()?;
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
    assert_eq!(json["bundle"], "storyteller@1.1.0");
    assert!(json["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{json}");
    assert_eq!((&json["finish_reason"], &json["usage"]["output_tokens"]), (&"length".into(), &12.into()), "{json}");
    assert!(json["usage"]["input_tokens"].as_u64().is_some_and(|tokens| tokens > 2), "{json}");
    assert!(json["seconds"]["load"].as_f64().is_some_and(|seconds| seconds > 0.0), "{json}");
    let again = infer(app.path(), &["storyteller", PROMPT, "--max-tokens", "12", "--seed", "7", "--json"])?.json()?;
    assert_eq!((&again["text"], again["text"].as_str().map(str::is_empty)), (&json["text"], Some(false)));
    Ok(())
}

#[test]
fn options_reach_the_model() -> Result {
    let app = stories()?;
    let text = |more: &[&str]| -> Result<String> {
        let args =
            [&["storyteller@1.0.0", PROMPT, "--max-tokens", "60", "--temperature", "0", "--json"], more].concat();
        Ok(infer(app.path(), &args)?.json()?["text"].as_str().context("a text")?.to_owned())
    };
    let whole = text(&[])?;
    let cut = text(&["--stop", "."])?;
    assert!(whole.contains('.') && !cut.contains('.') && whole.starts_with(&cut), "{cut:?} of {whole:?}");
    // The choice among one is the likeliest, however warm it is.
    assert_eq!(text(&["--top-k", "1", "--temperature", "5"]).err().map(|_| ()), Some(()), "given twice");
    let likeliest = infer(
        app.path(),
        &["storyteller@1.0.0", PROMPT, "--max-tokens", "60", "--temperature", "5", "--top-k", "1", "--json"],
    )?;
    assert_eq!(likeliest.json()?["text"], whole.as_str());
    Ok(())
}

#[test]
fn threads_are_as_said_and_no_more_than_there_are_cores() -> Result {
    let app = stories()?;
    let base = ["storyteller@1.0.0", PROMPT, "--max-tokens", "20", "--temperature", "0"];
    let plain = infer(app.path(), &base)?;
    let one = infer(app.path(), &[&base[..], &["--threads", "1"]].concat())?;
    assert_eq!((one.code, &one.out, one.err.as_str()), (0, &plain.out, ""), "{one:?}");
    let many = infer(app.path(), &[&base[..], &["--threads", "1024"]].concat())?;
    assert_eq!((many.code, &many.out), (0, &plain.out), "{many:?}");
    assert!(many.err.contains("--threads 1024 is more than the cores"), "{many:?}");
    refused(app.path(), &["storyteller", PROMPT, "--threads", "0"], 2, &["--threads", "from 1 to 1024"])
}

#[test]
fn a_chat_is_rendered_by_the_template() -> Result {
    let app = stories()?;
    let base = ["storyteller@1.0.0", PROMPT, "--max-tokens", "20", "--temperature", "0"];
    let plain = infer(app.path(), &base)?;
    // This template passes the user's words on and leaves a system's out.
    for more in [&["--chat"][..], &["--system", "You tell stories."]] {
        let chat = infer(app.path(), &[&base, more].concat())?;
        assert_eq!((chat.code, &chat.out), (0, &plain.out), "{more:?}: {chat:?}");
    }
    Ok(())
}

#[test]
fn a_model_that_embeds_answers_with_vectors() -> Result {
    let folder = tempfile::tempdir()?;
    let models = repository_root().join("models");
    let models = models.to_str().context("a path")?;
    let args = ["infer", "sentence", "--repository", models, "--state-dir", "state"];
    let texts = b"Where is my parcel?\n\nWhen will the package come?\nI like cats.\n";
    let many = ran_with(folder.path(), &args, texts)?;
    let json = many.json()?;
    assert_eq!(many.code, 0, "{many:?}");
    let vectors = json["embeddings"].as_array().context("vectors")?;
    let vector = |at: usize| -> Vec<f64> {
        vectors[at].as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
    };
    assert_eq!((vectors.len(), json["dimensions"].as_u64()), (3, Some(vector(0).len() as u64)), "{json}");
    let dot = |a: usize, b: usize| vector(a).iter().zip(vector(b)).map(|(a, b)| a * b).sum::<f64>();
    assert!(dot(0, 1) > dot(0, 2), "what means the same is nearer: {} {}", dot(0, 1), dot(0, 2));
    let one = ran(folder.path(), &[&args[..], &["--embed", "Where is my parcel?"]].concat())?.json()?;
    assert_eq!(one["embeddings"].as_array().map(Vec::len), Some(1), "{one}");
    for (more, code, says) in [
        (&["x", "--temperature", "1"][..], 2, "--temperature means nothing"),
        (&["x", "--system", "y"], 2, "--system means nothing"),
        (&["x", "--dimensions", "1000000"], 2, "dimensions"),
        (&[], 2, "no text to embed"),
    ] {
        let refused = ran(folder.path(), &[&args[..], more].concat())?;
        assert!(refused.code == code && refused.err.contains(says), "{more:?}: {refused:?}");
    }
    Ok(())
}

#[test]
fn whatever_cannot_be_done_is_said_with_what_can() -> Result {
    let app = stories()?;
    let at = app.path();
    refused(at, &["storyteler", "x"], 4, &["\"storyteler\"", "did you mean \"storyteller\"?"])?;
    refused(at, &["llama", "x"], 4, &["known here: \"storyteller\""])?;
    refused(at, &["storyteller@1.0.7", "x"], 4, &["no version 1.0.7", "1.0.0, 1.1.0"])?;
    refused(at, &["storyteller@one", "x"], 2, &["\"one\" is no version", "there are 1.0.0, 1.1.0"])?;
    refused(at, &["storyteller@1.0", "x"], 2, &["\"1.0\" is no version", "there are 1.0.0, 1.1.0"])?;
    refused(at, &["storyteler@latest", "x"], 4, &["did you mean \"storyteller\"?"])?;
    refused(at, &["../x", "x"], 2, &["lower-case letters"])?;
    refused(at, &["storyteller", "x", "--repository", "modles"], 4, &["modles", "did you mean \"models\"?"])?;
    refused(at, &["storyteller", "x", "-f", "spin.tml"], 4, &["spin.tml", "did you mean \"spin.toml\"?"])?;
    refused(at, &["storyteller", "x", "-f", "spin.toml", "--repository", "models"], 2, &["cannot be used with"])?;
    refused(at, &["storyteller", "x", "--temperature", "11"], 2, &["\"temperature\" is 11", "10"])?;
    refused(at, &["storyteller", "x", "--temperature", "nan"], 2, &["temperature"])?;
    refused(at, &["storyteller", "x", "--max-tokens", "0"], 2, &["\"max_tokens\" is 0"])?;
    refused(at, &["storyteller", "x", "--top-p", "2"], 2, &["\"top_p\" is 2"])?;
    refused(at, &["storyteller", "x", "--stop", ""], 2, &["empty"])?;
    refused(at, &["storyteller", "x", "--embed"], 5, &["makes text and no vectors"])?;
    refused(at, &["storyteller", "x", "--embed", "--seed", "1"], 2, &["cannot be used with"])?;
    refused(at, &["storyteller", &"word ".repeat(2000)], 1, &["256"])?;
    let binary = ran_with(at, &["infer", "storyteller"], b"ab\xff")?;
    assert!(binary.code == 2 && binary.err.contains("byte 2"), "{binary:?}");
    let json = infer(at, &["storyteler", "x", "--json"])?;
    assert!(json.json()?["error"]["message"].as_str().is_some_and(|error| error.contains("did you mean")), "{json:?}");
    Ok(())
}

#[test]
fn a_bundle_that_was_changed_is_refused() -> Result {
    let app = stories()?;
    let weights = app.bundle("storyteller", "1.1.0").join("storyteller-q8_0.gguf");
    let mut bytes = std::fs::read(&weights)?;
    *bytes.last_mut().context("bytes")? ^= 1;
    std::fs::write(&weights, bytes)?;
    refused(app.path(), &["storyteller", "x"], 5, &["storyteller-q8_0.gguf", "digest"])?;
    assert_eq!(infer(app.path(), &["storyteller@1.0.0", "x", "--max-tokens", "1"])?.code, 0);
    Ok(())
}

#[test]
fn an_application_says_where_its_bundles_are() -> Result {
    let app = stories()?;
    let elsewhere = tempfile::tempdir()?;
    let manifest = app.manifest();
    let manifest = manifest.to_str().context("a path")?;
    let told = infer(elsewhere.path(), &["storyteller", PROMPT, "--max-tokens", "4", "-f", manifest])?;
    assert_eq!(told.code, 0, "{told:?}");
    assert!(app.path().join(".bobbin/blobs").is_dir() && !elsewhere.path().join(".bobbin").exists());
    Ok(())
}

#[test]
fn an_application_says_which_bundle_its_names_mean() -> Result {
    let app = stories()?;
    let told = infer(app.path(), &["story", PROMPT, "--max-tokens", "2", "-f", "spin.toml", "--json"])?;
    assert_eq!((told.code, &told.json()?["bundle"]), (0, &"storyteller@1.0.0".into()), "what it declares: {told:?}");
    refused(app.path(), &["story", "x"], 4, &["\"story\""])?;
    refused(app.path(), &["tale", "x", "-f", "spin.toml"], 4, &["\"tale\""])
}

#[test]
fn a_rate_is_told_where_there_was_time_to_measure_it() -> Result {
    let app = stories()?;
    let mut told = 0;
    for tokens in ["1", "2", "3", "200"] {
        let json = infer(app.path(), &["storyteller@1.0.0", PROMPT, "--max-tokens", tokens, "--json"])?.json()?;
        let seconds = |of: &str| json["seconds"][of].as_f64().unwrap_or_default();
        let after_first = seconds("answer") - seconds("first_token");
        let made = json["usage"]["output_tokens"].as_f64().unwrap_or_default() - 1.0;
        match json["tokens_per_second"].as_f64() {
            Some(rate) => {
                told += 1;
                ensure!(after_first > 0.019 && (rate * after_first - made).abs() < 0.1, "{json}");
            }
            None => ensure!(after_first < 0.021 || made < 1.0, "{json}"),
        }
    }
    ensure!(told < 4, "one token has no rate");
    Ok(())
}

#[test]
fn on_a_terminal_the_answer_is_followed_by_what_it_took() -> Result {
    let app = stories()?;
    let shown = typed(app.path(), "\"$BOBBIN\" infer storyteller@1.0.0 'Once upon a time' --max-tokens 9 --seed 1")?;
    assert_eq!(shown.code, 0, "{shown:?}");
    let summary = shown.out.lines().find(|line| line.contains("storyteller@1.0.0: ")).unwrap_or_default();
    assert!(summary.contains("9 made") && summary.contains("the first after"), "{shown:?}");
    // A document has no summary, and no bar.
    let quiet = typed(app.path(), "\"$BOBBIN\" infer storyteller@1.0.0 'Once' --max-tokens 3 --json")?;
    assert!(quiet.out.trim_start().starts_with('{') && !quiet.out.contains("the first after"), "{quiet:?}");
    Ok(())
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() -> Result {
    let app = stories()?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut command = Command::new(bobbin());
    command.args(["infer", "storyteller", PROMPT]).current_dir(app.path()).stdin(Stdio::null());
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_it_and_its_worker_even_when_nobody_reads() -> Result {
    let app = stories()?;
    // A pipe that is full to the last byte: the first word of the story has no room.
    let (mut reader, writer) = std::io::pipe()?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    let mut full = 0;
    while let Ok(written) = (&writer).write(b".") {
        full += written;
    }
    fcntl_setfl(&writer, flags)?;
    let mut command = Command::new(bobbin());
    command.args(["infer", "storyteller", PROMPT]).current_dir(app.path()).stdin(Stdio::null());
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn()?;
    drop(command);
    let pid = child.id();
    let worker = eventually(async || Ok(children(pid)?.first().copied())).await?;
    // It has answered, or will: whatever it is doing, it is to end.
    kill_process(Pid::from_raw(pid.try_into()?).context("a process id")?, Signal::INT)?;
    let code = eventually(async || Ok(child.try_wait()?)).await?.code();
    let mut said = String::new();
    child.stderr.take().context("standard error is piped")?.read_to_string(&mut said)?;
    assert_eq!((code, said.as_str()), (Some(130), ""));
    assert!(!Path::new(&format!("/proc/{worker}")).exists(), "the worker is still there");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    assert_eq!(rest.len(), full, "nothing was written that had no room");
    Ok(())
}
