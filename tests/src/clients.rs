//! Clients that other people made: scripts that use them, in the folders that `cargo xtask test` installs them into.

use crate::host::PATIENCE;
use crate::paths::repository_root;
use crate::skip::skipped;
use crate::{Result, TestHost};
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// What a script printed.
pub type Said = String;

/// Runs a script with the packages of `tests/clients/requirements.txt`, as a client of this host.
///
/// Returns `None` where they are not installed, after saying so; with `BOBBIN_REQUIRE_PYTHON_CLIENTS=1` that is a failure.
///
/// # Errors
/// When the script fails; with what it printed.
pub async fn python_client(host: &TestHost, script: &Path) -> Result<Option<Said>> {
    let python = folder().join("target/venv/bin/python");
    // Left behind by a run that was broken off, it has no packages yet.
    let whole = folder().join("target/requirements.txt");
    if !(python.is_file() && whole.is_file()) {
        return Ok(skipped("BOBBIN_REQUIRE_PYTHON_CLIENTS", &missing(&whole)));
    }
    run(host, Command::new(python).arg(script)).await.map(Some)
}

/// Runs a script with the packages of `tests/clients/package-lock.json`, as a client of this host.
///
/// Returns `None` where they are not installed, after saying so; with `BOBBIN_REQUIRE_NODE_CLIENTS=1` that is a failure.
///
/// # Errors
/// When the script fails; with what it printed.
pub async fn node_client(host: &TestHost, script: &Path) -> Result<Option<Said>> {
    let whole = folder().join("node_modules/.package-lock.json");
    if !whole.is_file() {
        return Ok(skipped("BOBBIN_REQUIRE_NODE_CLIENTS", &missing(&whole)));
    }
    run(host, Command::new("node").arg(script)).await.map(Some)
}

fn folder() -> PathBuf {
    repository_root().join("tests/clients")
}

fn missing(whole: &Path) -> String {
    format!("`cargo xtask test` has not installed {}", whole.display())
}

async fn run(host: &TestHost, command: &mut Command) -> Result<Said> {
    let command = command
        .env("OPENAI_BASE_URL", host.openai_url())
        // What these clients want to be given although nobody looks at it.
        .env("OPENAI_API_KEY", "none")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // They tell their makers how they are used, unless they are told not to.
        .env("LANGCHAIN_TRACING_V2", "false")
        .envs(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, "")))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("the client did not end")??;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (said, complaint) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "{}\n{said}\n{complaint}\n{}", output.status, host.log());
    Ok(said)
}
