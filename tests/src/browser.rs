//! The system's Chromium, driven by scripts of `tests/ui`.

use crate::Result;
use crate::host::PATIENCE;
use crate::paths::repository_root;
use crate::skip::skipped;
use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;

/// Names that Chromium's program has.
const CHROMIUM: [&str; 2] = ["chromium", "chromium-browser"];

/// A browser, and what drives it.
#[derive(Debug, Clone)]
pub struct Browser {
    chromium: PathBuf,
    scripts: PathBuf,
}

impl Browser {
    /// The one of this machine.
    ///
    /// Returns `None` where there is none, or nothing that drives it, after saying so; with `BOBBIN_REQUIRE_BROWSER=1` that
    /// is a failure.
    #[must_use]
    pub fn here() -> Option<Self> {
        let scripts = repository_root().join("tests/ui");
        let missing = |what: &str| skipped("BOBBIN_REQUIRE_BROWSER", what);
        let Some(chromium) = CHROMIUM.into_iter().find_map(program) else { return missing("there is no chromium") };
        if program("node").is_none() {
            return missing("there is no node");
        }
        if !scripts.join("node_modules/playwright-core").is_dir() {
            return missing("`cargo xtask test` has not installed the packages of tests/ui");
        }
        Some(Self { chromium, scripts })
    }

    /// Runs a script to its end, with these variables.
    ///
    /// # Errors
    /// When it fails, or does not end; with everything that it said.
    pub async fn run(&self, script: &str, variables: &[(&str, String)]) -> Result {
        let mut command = Command::new("node");
        command.current_dir(&self.scripts).arg(script).env("BOBBIN_CHROMIUM", &self.chromium);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let ended = tokio::time::timeout(PATIENCE * 3, running).await;
        let output = ended.with_context(|| format!("{script} does not end"))?.context("node was not started")?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, error) = (said(&output.stdout), said(&output.stderr));
        ensure!(output.status.success(), "{script} ended with {}:\n{out}{error}", output.status);
        println!("{out}");
        Ok(())
    }
}

/// A program that the search path leads to.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
