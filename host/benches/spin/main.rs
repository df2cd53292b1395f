//! What Spin's interfaces cost: an operation on a key-value store and a request to another host, each beside the same
//! without a sandbox; and what interfaces cost that a component is linked to and does not use.
//!
//! Measures, at 1 and 8 connections: a component that does the same 20 times within a request beside one that does nothing,
//! so that the difference is 20 operations; and in the benchmark's own process the same on SQLite, on a Redis server (where
//! `redis-server` is installed) and with a native HTTP client, which is as fast as it can be. At 8 connections: components
//! that are linked to one interface, or to all, and answer without using them, beside one that is linked to none; each request in
//! an instance of its own. With `--peer spin=PATH`, a `spin up` takes its turn in each round with the same components.
//!
//! How to read it: a ratio is the median over the rounds of two figures of the same round. Clients, the server that is asked
//! and what runs natively share the machine's cores with the host. Run it with
//! `cargo xtask bench spin [linked] [key-value] [http] [--peer spin=PATH] [--rounds N]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod application;
mod floor;
mod http;
mod key_value;
mod linked;
mod loopback;
mod operations;

use anyhow::{Context, Result};
use application::Servers;
use bobbin_tests::{Busy, RedisServer, Report, bench, machine};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const PARTS: [&str; 3] = ["key-value", "http", "linked"];

#[derive(Parser)]
struct Options {
    /// cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// What is measured; everything where nothing is named.
    #[arg(value_parser = PARTS)]
    parts: Vec<String>,
    /// The other server: spin=PATH.
    #[arg(long, value_parser = spin)]
    peer: Option<PathBuf>,
    /// How often each has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn spin(peer: &str) -> Result<PathBuf> {
    Ok(peer.strip_prefix("spin=").context("the only peer is spin=PATH")?.into())
}

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine()?);
    let (begun, before) = (Instant::now(), Busy::now()?);
    let redis = RedisServer::start(None).await?;
    let servers = Servers::start(redis.as_ref(), options.peer.as_deref()).await?;
    let mut report = Report::default();
    for part in PARTS.into_iter().filter(|part| options.parts.is_empty() || options.parts.iter().any(|one| one == part))
    {
        match part {
            "key-value" => key_value::measure(&servers, redis.as_ref(), options.rounds, &mut report).await?,
            "http" => http::measure(&servers, options.rounds, &mut report).await?,
            _ => linked::measure(&servers, options.rounds, &mut report).await?,
        }
    }
    servers.stop().await?;
    if let Some(redis) = redis {
        redis.kill().await?;
    }
    let others = Busy::now()?.others_since(&before);
    let took = begun.elapsed().as_secs_f64();
    println!("\nthe run took {took:.0} s; other processes, and the kernel for itself, had {others:.0} % of the cores");
    report.finish()
}
