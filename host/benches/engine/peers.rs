//! The peers, which were built elsewhere: llama.cpp's server, and llama.cpp without one.

use crate::{CONTEXT, PARALLEL};
use anyhow::{Context, Result, ensure};
use bobbin_tests::Peer;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

fn threads() -> Result<String> {
    Ok(std::thread::available_parallelism()?.to_string())
}

/// A llama-server with the file, the threads and the sequences that Bobbin has.
pub(crate) async fn llama_server(program: &Path, weights: &Path) -> Result<Peer> {
    let address = Peer::address_to_listen_on()?;
    let (threads, cells) = (threads()?, (CONTEXT * PARALLEL).to_string());
    let mut command = Command::new(program);
    command.arg("--model").arg(weights).args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--threads", &threads, "--threads-batch", &threads]);
    command.args(["--ctx-size", &cells, "--parallel", &PARALLEL.to_string()]);
    Peer::start(command, address, "/health").await
}

/// Tokens/s that llama-batched-bench generates, by the number of sequences.
pub(crate) async fn batched(
    program: &Path,
    weights: &Path,
    streams: &[usize],
    prompt: u64,
    tokens: u32,
) -> Result<BTreeMap<usize, f64>> {
    let streams: Vec<String> = streams.iter().map(usize::to_string).collect();
    let (threads, cells) = (threads()?, (CONTEXT * PARALLEL).to_string());
    let mut command = Command::new(program);
    command.arg("-m").arg(weights).args(["-t", &threads, "-tb", &threads, "-c", &cells]);
    command.args(["-npp", &prompt.to_string(), "-ntg", &tokens.to_string(), "-npl", &streams.join(",")]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("{} cannot be started", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | ..
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(3);
        let streams = cells.next()?.parse().ok()?;
        Some((streams, cells.nth(4)?.parse().ok()?))
    };
    let rates: BTreeMap<usize, f64> = text.lines().filter_map(row).collect();
    ensure!(rates.len() == streams.len(), "llama-batched-bench printed no table: {text}");
    Ok(rates)
}
