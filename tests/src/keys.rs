//! API keys: made, listed and revoked by the real `bobbin key`, and sent as clients send them.

use crate::client::Answer;
use crate::paths::bobbin;
use crate::{Result, TestHost};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What one `bobbin key ..` came to.
#[derive(Debug)]
pub struct KeyCommand {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

/// A key that was made.
#[derive(Debug, Clone)]
pub struct TestKey {
    /// Its id.
    pub id: String,
    /// The key itself.
    pub token: String,
}

impl KeyCommand {
    /// Runs `bobbin key` with these words, apart from every folder and environment that could say whose keys are meant.
    ///
    /// # Errors
    /// When it cannot be started, or is ended by a signal.
    pub fn run(words: &[&str]) -> Result<Self> {
        let elsewhere = tempfile::tempdir()?;
        let mut command = Command::new(bobbin());
        command.arg("key").args(words).current_dir(elsewhere.path());
        for name in ["BOBBIN_KEYS_FILE", "BOBBIN_ADMIN", "BOBBIN_ADMIN_TOKEN"] {
            command.env_remove(name);
        }
        let output = command.output()?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().context("ended by a signal")?;
        Ok(Self { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// What it printed, as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("no JSON: {} {}", self.stdout, self.stderr))
    }
}

impl TestKey {
    /// Makes a key in a state folder. `more` are further words of the command line.
    ///
    /// # Errors
    /// When none is made.
    pub fn create(state: &Path, more: &[&str]) -> Result<Self> {
        let state = state.to_str().context("the path is text")?;
        Self::made(&[&["create", "a test", "--state-dir", state, "--json"], more].concat())
    }

    /// Makes a key with these words of the command line, `--json` among them.
    ///
    /// # Errors
    /// When none is made.
    pub fn made(words: &[&str]) -> Result<Self> {
        let made = KeyCommand::run(words)?;
        ensure!(made.code == 0, "{}", made.stderr);
        let json = made.json()?;
        let text = |at| json.pointer(at).and_then(Value::as_str).map(str::to_owned).context(at);
        Ok(Self { id: text("/key/id")?, token: text("/token")? })
    }

    /// Revokes it in a state folder.
    ///
    /// # Errors
    /// When it is not revoked.
    pub fn revoke(&self, state: &Path) -> Result {
        let state = state.to_str().context("the path is text")?;
        let revoked = KeyCommand::run(&["revoke", &self.id, "--state-dir", state])?;
        ensure!(revoked.code == 0, "{}", revoked.stderr);
        Ok(())
    }
}

impl TestHost {
    /// GET on the application, with an `authorization` header.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn get_as(&self, authorization: &str, path: &str) -> Result<Answer> {
        let request = self.client().get(self.url(path)).header("authorization", authorization);
        Answer::read(request.send().await?).await
    }

    /// POST with JSON on the application, with an `authorization` header.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn post_as(&self, authorization: &str, path: &str, body: &Value) -> Result<Answer> {
        let request = self.client().post(self.url(path)).header("authorization", authorization);
        Answer::read(request.body(body.to_string()).send().await?).await
    }
}
