//! The real binary, as somebody types it.

use crate::Result;
use crate::paths::bobbin;
use anyhow::Context;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    fn of(output: &Output) -> Result<Self> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().with_context(|| format!("ended by a signal: {}", text(&output.stderr)))?;
        Ok(Self { code, out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// Its standard output, as the one JSON document that it is.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {self:?}"))
    }
}

/// Runs `bobbin` in a folder, without a terminal.
///
/// # Errors
/// When it cannot be started, or is ended by a signal.
pub fn ran(folder: &Path, args: &[impl AsRef<OsStr>]) -> Result<Ran> {
    ran_with(folder, args, b"")
}

/// The same, with something on its standard input.
///
/// # Errors
/// As [`ran`].
pub fn ran_with(folder: &Path, args: &[impl AsRef<OsStr>], input: &[u8]) -> Result<Ran> {
    let mut command = Command::new(bobbin());
    command.args(args).current_dir(folder).env_remove("NO_COLOR");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    // One that refuses its arguments does not read.
    let _ = stdin.write_all(input);
    drop(stdin);
    Ran::of(&child.wait_with_output()?)
}

/// Runs a line of a shell in a folder, on a terminal; `$BOBBIN` is the binary. What is shown on the terminal comes as
/// standard output.
///
/// # Errors
/// When `script`, which makes the terminal, cannot be started, or is ended by a signal.
pub fn typed(folder: &Path, line: &str) -> Result<Ran> {
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--echo", "never", "--command", line, "/dev/null"]);
    command.current_dir(folder).env("BOBBIN", bobbin()).env("TERM", "xterm").env_remove("NO_COLOR");
    Ran::of(&command.stdin(Stdio::null()).output().context("`script` makes a terminal, and is not there")?)
}
