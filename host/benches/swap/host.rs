//! One running `bobbin up` whose state outlives it, and its admin API as a client sees it.

use anyhow::{Context, Result, ensure};
use bobbin_tests::process_status;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The release of the route whose name this is.
pub(crate) fn release(route: &str) -> String {
    format!("http:/{route}:storyteller:story")
}

/// A host, killed when it is dropped.
pub(crate) struct Host {
    child: Child,
    pub(crate) state: PathBuf,
    app: SocketAddr,
    admin: SocketAddr,
    pub(crate) http: reqwest::Client,
}

impl Host {
    /// Starts a host and waits for its banner.
    pub(crate) async fn start(manifest: &Path, state: &Path) -> Result<Self> {
        std::fs::create_dir_all(state)?;
        let log = std::fs::File::options().create(true).append(true).open(state.join("log"))?;
        let mut command = Command::new(bobbin_tests::bobbin());
        command.arg("up").arg("-f").arg(manifest).arg("--state-dir").arg(state);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.env("BOBBIN_LOG", "info,bobbin::access=warn");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().context("bobbin cannot be started")?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let (mut app, mut admin) = (None, None);
        while admin.is_none() {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("no banner came")??;
            let Some(line) = line else {
                let log = std::fs::read_to_string(state.join("log")).unwrap_or_default();
                anyhow::bail!("the host ended before it was up: {}", log.lines().last().unwrap_or_default());
            };
            app = app.or_else(|| address(&line, "route"));
            admin = address(&line, "admin");
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (app, admin) = (app.context("the banner names no route")?, admin.context("no admin address")?);
        let http = bobbin_tests::http().timeout(PATIENCE).tcp_nodelay(true).build()?;
        Ok(Self { child, state: state.to_owned(), app, admin, http })
    }

    /// Ends it as a power cut would: no signal that it could hear.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Ends it as its users do. Its workers' processor time is this process's afterwards.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id().context("the host has ended")?)?;
        kill_process(Pid::from_raw(pid).context("no process id")?, Signal::TERM)?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the host goes on")??;
        Ok(())
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.state.join("log")).unwrap_or_default()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.app)
    }

    /// Resident bytes of the host's own process, and of each of its workers.
    pub(crate) fn resident(&self) -> Result<(u64, Vec<u64>)> {
        let host = self.child.id().context("the host has ended")?;
        let mut workers = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // A process may end between the listing and the look.
            let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { continue };
            if line.starts_with(b"bobbin\0worker\0")
                && process_status(pid, "PPid:").ok() == Some(u64::from(host))
                && let Ok(kib) = process_status(pid, "VmRSS:")
            {
                workers.push(kib * 1024);
            }
        }
        Ok((process_status(host, "VmRSS:")? * 1024, workers))
    }

    /// A release as it is.
    pub(crate) async fn release(&self, route: &str) -> Result<Value> {
        Ok(self.http.get(self.release_url(route, "")).send().await?.error_for_status()?.json().await?)
    }

    /// Changes a release: the generation is read first, so only one may do so at a time. Returns the release.
    pub(crate) async fn put(&self, route: &str, mut edit: Value) -> Result<Value> {
        let generation = self.release(route).await?.get("generation").cloned();
        if let Some(edit) = edit.as_object_mut() {
            edit.insert("expected_generation".into(), generation.unwrap_or_default());
        }
        whole(self.send_put(route, &edit).await?).await
    }

    /// Changes a release, and returns when it has begun to answer.
    pub(crate) async fn send_put(&self, route: &str, edit: &Value) -> Result<reqwest::Response> {
        Ok(self.http.put(self.release_url(route, "?wait=ready")).json(edit).send().await?)
    }

    /// Goes one step back.
    pub(crate) async fn rollback(&self, route: &str, generation: u64) -> Result<Value> {
        let body = json!({ "expected_generation": generation });
        let answer = self.http.post(self.release_url(route, "/rollback?wait=ready")).json(&body).send().await?;
        whole(answer).await
    }

    /// The newest change of a release.
    pub(crate) async fn newest(&self, route: &str) -> Result<Value> {
        let answer = self.http.get(self.release_url(route, "/history?limit=1")).send().await?;
        let history: Value = answer.error_for_status()?.json().await?;
        history.pointer("/history/0").cloned().context("a release without history")
    }

    /// Waits until so many versions of a release drain, and so many workers run, as a machine at rest has them.
    pub(crate) async fn at_rest(&self, route: &str, workers: usize) -> Result<()> {
        let begun = Instant::now();
        loop {
            let release = self.release(route).await?;
            let draining = release.get("draining").and_then(Value::as_array).map_or(0, Vec::len);
            let running = self.resident()?.1.len();
            if draining == 0 && running == workers {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{running} workers run, not {workers}: {release}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn release_url(&self, route: &str, rest: &str) -> String {
        let id = release(route).replace(':', "%3A").replace('/', "%2F");
        format!("http://{}/admin/v1/releases/{id}{rest}", self.admin)
    }

    pub(crate) fn events_url(&self) -> String {
        format!("http://{}/admin/v1/events", self.admin)
    }
}

/// The release in a good answer; what was refused, and why, is an error.
pub(crate) async fn whole(answer: reqwest::Response) -> Result<Value> {
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

pub(crate) fn generation(release: &Value) -> Result<u64> {
    release.get("generation").and_then(Value::as_u64).context("a release without generation")
}

fn address(line: &str, label: &str) -> Option<SocketAddr> {
    let rest = line.trim_start().strip_prefix(label)?.trim_start().strip_prefix("http://")?;
    rest.split(['/', ' ']).next()?.parse().ok()
}
