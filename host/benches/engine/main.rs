//! What the engine makes of a machine, through HTTP and the sandbox, beside llama.cpp's own server on the same file.
//!
//! Measures tokens/s at 1, 8 and 32 streams, time to first token, inter-token time, requests/s of sixteen requests that
//! arrive at once and share a system prompt of 480 tokens (cold, then warm), peak memory, and which share of the
//! memory's bandwidth one stream uses. With `--peer llama-server=PATH` the same is asked of a llama-server with the
//! same threads, sequences and context, the two taking turns within each round; with
//! `--peer llama-batched-bench=PATH`, the rate of llama.cpp without any server stands beside it.
//!
//! How to read it: a ratio is the median over the rounds of Bobbin's figure by its peer's in the same round, so what the
//! machine does meanwhile meets both. The clients share the machine's cores with the server under test. A build
//! without vector units is refused. Run it with
//! `cargo xtask bench engine [--peer NAME=PATH].. [--model FILE] [--rounds N]`. Without `--model`, the weights are noise
//! in the shape of qwen2.5-0.5b, Q8_0: speed does not depend on what weights say.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod client;
mod options;
mod peers;
mod roofline;
mod rounds;

use anyhow::{Context, Result};
use bobbin_synthetic::{Quant, SHAPES};
use bobbin_tests::{
    BundleText, Peer, Report, TestApp, TestHost, WrittenBundle, bench, machine, vector_units, write_bundle,
};
use client::{Protocol, Server};
use options::Options;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::ExitCode;

const SHAPE: &str = "qwen2.5-0.5b";
/// Tokens of one sequence, and sequences at once.
const CONTEXT: u32 = 1024;
const PARALLEL: u32 = 32;

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::read()?;
    println!("machine: {}", machine()?);
    let app = TestApp::stories("")?;
    let bundle = bundle(&app, options.model.as_deref())?;
    app.release(&bundle.id)?;
    let host = TestHost::of(&app.manifest()).log_filter("info,bobbin::access=warn").start().await?;
    vector_units(&host.log())?;
    let worker = *host.workers()?.first().context("no worker runs")?;
    let ours = Server::new(Protocol::Bobbin, host.app_addr(), vec![host.pid()?, worker])?;
    let llama = match &options.llama_server {
        Some(program) => Some(peers::llama_server(program, &bundle.weights).await?),
        None => None,
    };
    let server = |peer: &Peer| Server::new(Protocol::LlamaServer, peer.address(), vec![peer.pid()?]);
    let theirs = llama.as_ref().map(server).transpose()?;
    let mut report = Report::default();
    let rounds = rounds::measure(&ours, theirs.as_ref(), &options, &bundle.weights).await?;
    rounds.report(&mut report);
    roofline::report(&rounds, bundle.size, &mut report);
    report.finish()
}

/// The bundle `model@1.0.0` with the given weights, or with noise.
fn bundle(app: &TestApp, model: Option<&Path>) -> Result<WrittenBundle> {
    let text = BundleText { context: CONTEXT, parallel: PARALLEL, more: "" };
    let bundle = write_bundle(&app.path().join("models"), "model", "1.0.0", text, |mut file| {
        match model {
            Some(model) => {
                io::copy(&mut File::open(model)?, &mut file)?;
            }
            None => {
                let shape = SHAPES.iter().find(|shape| shape.name == SHAPE).context("the shape has another name")?;
                bobbin_synthetic::write(&mut file, shape, Quant::Q8_0, 1)?;
            }
        }
        Ok(())
    })?;
    println!("model: {:.2} GiB, context {CONTEXT}, {PARALLEL} sequences", bundle.size as f64 / f64::from(1 << 30));
    Ok(bundle)
}
