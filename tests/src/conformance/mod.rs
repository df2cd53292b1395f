//! Behaviours of Spin's interfaces, one folder each in `tests/conformance`: an application, requests to it, and what is
//! expected. `tests/conformance/README.md` describes the files.

mod expected;
mod script;
mod servers;

use crate::host::PATIENCE;
use crate::paths::repository_root;
use crate::{Answer, Result, TestHost};
use anyhow::{Context, bail, ensure};
use expected::Expected;
use script::{Asking, Script};
use servers::Servers;
use std::fs;
use std::path::{Path, PathBuf};

/// What is no behaviour: the folder that cargo builds the components into, and the crate of what they have in common.
const OTHERS: [&str; 2] = ["target", "shared"];
const MANIFEST: &str = "spin.toml";
const RUNTIME_CONFIG: &str = "runtime-config.toml";

/// One behaviour.
#[derive(Debug, Clone)]
pub struct Behaviour {
    name: String,
    folder: PathBuf,
}

/// Every behaviour, by name. None is looked into: a folder that is none fails when it runs, under its own name.
///
/// # Errors
/// When the folder cannot be read, or has none.
pub fn behaviours() -> Result<Vec<Behaviour>> {
    let home = repository_root().join("tests/conformance");
    let mut found = Vec::new();
    for entry in fs::read_dir(&home).with_context(|| home.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && !OTHERS.contains(&name.as_str()) && !name.starts_with('.') {
            found.push(Behaviour { name, folder: entry.path() });
        }
    }
    ensure!(!found.is_empty(), "there is no behaviour in {}", home.display());
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

impl Behaviour {
    /// The folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the application, sends its requests one after the other, and compares.
    ///
    /// Where a server or a component that it needs is not there, it says so and is skipped, or fails where the server is
    /// declared required.
    ///
    /// # Errors
    /// When the folder is no behaviour, the application does not start, or something else comes than what is expected.
    pub async fn run(&self) -> Result {
        let manifest = self.folder.join(MANIFEST);
        ensure!(manifest.is_file(), "{} has no {MANIFEST}: every folder here is a behaviour", self.folder.display());
        let script = Script::read(&self.folder)?;
        let Some(mut servers) = Servers::start(&script.needs).await? else { return Ok(()) };
        let host = start(&manifest, &script, &servers).await?;
        let client = client()?;
        for (number, asking) in (1..).zip(&script.requests) {
            let told = ask(&client, &host, asking, &mut servers).await;
            told.with_context(|| format!("request {number}, {asking}\nthe host's log:\n{}", host.log()))?;
        }
        let log = host.log();
        for part in &script.log {
            ensure!(log.contains(part), "the host's log does not contain {part:?}:\n{log}");
        }
        Ok(())
    }
}

async fn start(manifest: &Path, script: &Script, servers: &Servers) -> Result<TestHost> {
    let mut host = TestHost::of(manifest);
    for (name, port) in servers.ports() {
        host = host.arg("--variable").arg(&format!("{name}_port={port}"));
    }
    let config = manifest.with_file_name(RUNTIME_CONFIG);
    if config.is_file() {
        host = host.arg("--runtime-config-file").arg(&config.display().to_string());
    }
    host = script.arguments.iter().fold(host, |host, argument| host.arg(argument));
    host = script.environment.iter().fold(host, |host, (name, value)| host.env(name, value));
    host.start().await
}

/// A client that follows no redirect: where an answer leads is part of it.
fn client() -> Result<reqwest::Client> {
    Ok(crate::http().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?)
}

async fn ask(client: &reqwest::Client, host: &TestHost, asking: &Asking, servers: &mut Servers) -> Result {
    let asked_before = servers.asked().len();
    let mut request = client.request(asking.method.parse()?, host.url(&asking.path));
    for (name, value) in &asking.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &asking.body {
        request = request.body(body.clone());
    }
    let answer = Answer::read(request.send().await?).await?;
    let mut differs = asking.expect.differences(&answer);
    let asked = servers.asked();
    differs.extend(asking.expect.differences_of_asked(asked.get(asked_before..).unwrap_or_default()));
    if !differs.is_empty() {
        bail!("{}\nthe answer: {}\n{:?}\n{}", differs.join("\n"), answer.status(), answer.headers(), answer.text());
    }
    hear(&asking.expect, servers).await
}

/// Waits for the messages that the broker hands on.
async fn hear(expected: &Expected, servers: &mut Servers) -> Result {
    for message in &expected.messages {
        let heard = tokio::time::timeout(PATIENCE, servers.next_message()).await;
        let heard = heard.with_context(|| format!("the broker did not hand on {message:?}"))??;
        ensure!(heard == *message, "the broker handed on {heard:?}, not {message:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const SOUND: &str = "[[request]]\nwhat = \"it answers\"\npath = \"/\"\n";

    /// What a folder with these files is refused with.
    async fn refused(files: &[(&str, &str)]) -> String {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let behaviour = Behaviour { name: "made".to_owned(), folder: folder.path().to_owned() };
        format!("{:#}", behaviour.run().await.unwrap_err())
    }

    #[tokio::test]
    async fn a_folder_without_a_manifest_or_without_requests_fails() {
        assert!(refused(&[("requests.toml", SOUND)]).await.contains("has no spin.toml"));
        assert!(refused(&[("spin.toml", "")]).await.contains("requests.toml"));
        for nothing in ["", "needs = []\n", "request = []\n"] {
            let error = refused(&[("spin.toml", ""), ("requests.toml", nothing)]).await;
            assert!(error.contains("requests.toml has no request"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_word_that_nobody_knows_fails_with_its_line() {
        for (text, word) in [
            (format!("need = [\"redis\"]\n{SOUND}"), "need"),
            (format!("{SOUND}statsu = 200\n"), "statsu"),
            (format!("{SOUND}expect = {{ bdoy = \"x\" }}\n"), "bdoy"),
            (format!("{SOUND}expect = {{ asked = [{{ traget = \"/\" }}] }}\n"), "traget"),
            (format!("needs = [\"oracle\"]\n{SOUND}"), "oracle"),
            (format!("{SOUND}expect = {{ json = \"{{\" }}\n"), "no JSON"),
            (format!("{SOUND}method = \"no method\"\n"), "no method"),
        ] {
            let error = refused(&[("spin.toml", ""), ("requests.toml", &text)]).await;
            assert!(error.contains(word) && error.contains("requests.toml"), "{word}: {error}");
        }
    }

    #[tokio::test]
    async fn an_application_that_does_not_start_fails_with_what_the_host_says() {
        let error = refused(&[("spin.toml", "spin_manifest_version = 7\n"), ("requests.toml", SOUND)]).await;
        assert!(error.contains("spin_manifest_version"), "{error}");
    }
}
