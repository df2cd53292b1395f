//! A stop that cuts no answer, and leaves no process behind.

use anyhow::Context;
use bobbin_tests::{Result, TestApp, TestHost, bobbin, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

#[tokio::test]
async fn a_signal_lets_answers_finish_and_takes_nothing_new() -> Result {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut host = TestHost::fixtures().start().await?;
        let ask = json!({"prompt": "Once upon a time", "max_tokens": 200, "stream": true, "temperature": 1.0});
        let mut events = host.stream("/story", &ask).await?;
        events.next_json().await?;
        let slow = host.connect();
        let mut slow = slow.await?;
        slow.send("GET /f3/sleep?ms=500 HTTP/1.1\r\nhost: test\r\n\r\n").await?;
        host.metrics_when("both are in flight", |m| m.sum("bobbin_http_requests_in_flight", &[]) >= 1.0).await?;
        let workers = host.workers()?;
        assert_eq!(workers.len(), 1);
        host.signal(host.pid()?, signal)?;
        if signal == Signal::HUP {
            // A shell and the kernel both tell that a terminal is gone.
            eventually(async || Ok(host.log().contains("stopping").then_some(()))).await?;
            host.signal(host.pid()?, signal)?;
        }
        assert_eq!(events.rest().await?.last().map(String::as_str), Some("[DONE]"), "a stream was cut");
        let slow = slow.read_to_end().await;
        assert!(slow.contains("slept_ms"), "an answer was cut: {slow}");
        assert_eq!(host.ended().await?, 0);
        for worker in workers {
            assert!(!Path::new(&format!("/proc/{worker}")).exists(), "worker {worker} outlived its host");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_host_whose_log_nobody_reads_any_more_stops_all_the_same() -> Result {
    let app = TestApp::fixtures("")?;
    let state = tempfile::tempdir()?;
    let mut host = Command::new(bobbin())
        .args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "-f"])
        .arg(app.manifest())
        .arg("--state-dir")
        .arg(state.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut banner = BufReader::new(host.stdout.take().context("standard output is piped")?).lines();
    while !banner.next_line().await?.context("the host ended before it was up")?.contains("admin") {}
    drop(host.stderr.take());
    let pid = host.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("the host runs")?;
    kill_process(pid, Signal::TERM)?;
    let ended = tokio::time::timeout(Duration::from_secs(60), host.wait()).await.context("it goes on")??;
    assert_eq!(ended.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_signal_gives_up_a_verification_that_is_under_way() -> Result {
    const SIZE: u64 = 3 << 30;
    let app = TestApp::stories("")?;
    app.add_hollow_bundle("hollow", "1.0.0", SIZE)?;
    app.release("hollow@1.0.0")?;
    let mut host = TestHost::of(&app.manifest()).start_unready().await?;
    eventually(async || Ok(host.admin("/readyz").await?.text().contains("verifying").then_some(()))).await?;
    let pid = host.pid()?;
    host.signal(pid, Signal::TERM)?;
    let mut hashed = 0;
    let watch = async {
        loop {
            hashed = bytes_read(pid).unwrap_or(hashed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let code = tokio::select! {
        code = host.ended() => code?,
        () = watch => 0,
    };
    assert_eq!(code, 0, "{}", host.log());
    assert!(hashed > 0 && hashed < SIZE / 2, "it read {hashed} of {SIZE} bytes before it ended");
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_to_outlive_its_terminal_goes_on_without_it() -> Result {
    let app = TestApp::stories("")?;
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""].map(str::to_owned);
    let mut host = TestHost::of(&app.manifest()).through(ignoring.to_vec()).start().await?;
    host.signal(host.pid()?, Signal::HUP)?;
    assert_eq!(host.get("/hello").await?.status(), 200);
    host.signal(host.pid()?, Signal::TERM)?;
    assert_eq!(host.ended().await?, 0);
    assert_eq!(host.log().matches("stopping: requests in flight may finish; again").count(), 1, "{}", host.log());
    Ok(())
}

/// Bytes that a process has read so far, from files and anything else.
fn bytes_read(pid: u32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
}

#[tokio::test]
async fn a_killed_host_takes_its_workers_with_it() -> Result {
    let mut host = TestHost::stories().start().await?;
    let workers = host.workers()?;
    assert_eq!(workers.len(), 1);
    let pid = host.pid()?;
    host.signal(pid, Signal::KILL)?;
    assert!(host.ended().await.is_err(), "a killed host has no exit code");
    for worker in workers {
        eventually(async || Ok((!is_running(worker)).then_some(()))).await?;
    }
    Ok(())
}

/// An orphan that has ended may stay a zombie until its new parent looks.
fn is_running(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    !status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}
