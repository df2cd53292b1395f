//! How the cores are divided: what a second worker costs, busy or idle.
//!
//! Measures, with weights of noise in the shape of qwen2.5-0.5b (Q8_0, about half a GiB, as fast as it has threads), tokens/s
//! and the time between tokens of: one worker with one stream; the same worker with two; two workers, of a release and
//! its canary, with a stream each; and one worker with one stream beside another that is loaded and asked nothing.
//!
//! How to read it: all four take turns within each round, and their order changes from round to round; a ratio is the
//! median of the rounds' ratios. The bounds are what was measured before there was a supervisor, on two cores and without
//! a host: 43 tokens/s of one worker, 24 to 29 of each of two with a thread each, 1 to 5 where they spin against each
//! other. The clients share the machine's cores with host and workers. A build without vector units is refused. Run it
//! with `cargo xtask bench cpu [--rounds N] [--seconds N]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod ways;

use anyhow::{Context, Result};
use bobbin_synthetic::{Quant, SHAPES};
use bobbin_tests::{
    Bound, BundleText, Busy, Report, Sorted, TestApp, TestHost, bench, machine, stop, vector_units, write_bundle,
};
use clap::Parser;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use ways::{Figures, Way};

const SHAPE: &str = "qwen2.5-0.5b";
const TEXT: BundleText = BundleText { context: 512, parallel: 4, more: "" };
/// Of the two versions, in the order of their names. They differ in their weights, or one blob would serve both.
const VERSIONS: [(&str, u64); 2] = [("1.0.0", 1), ("1.1.0", 2)];

/// What each way made in each round.
type Rounds = BTreeMap<Way, Vec<Figures>>;

#[derive(Parser)]
struct Options {
    /// cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// How often each of the four has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each turn is measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
}

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine()?);
    let app = TestApp::stories("")?;
    write(&app.path().join("models"))?;
    app.release("model@1.0.0")?;
    let host = TestHost::of(&app.manifest()).log_filter("info,bobbin::access=warn").start().await?;
    vector_units(&host.log())?;
    host.release("story").set(json!({"version_header": true, "keep_warm_seconds": 0})).await?;
    let before = Busy::now()?;
    let rounds = measure(&host, &options).await?;
    stop(host).await?;
    let mut report = Report::default();
    show(&rounds, &mut report);
    println!(
        "\nother processes, and the kernel for itself, had {:.0} % of the cores",
        Busy::now()?.others_since(&before)
    );
    report.finish()
}

fn write(models: &Path) -> Result<()> {
    let shape = SHAPES.iter().find(|shape| shape.name == SHAPE).context("the shape has another name")?;
    for (version, seed) in VERSIONS {
        write_bundle(models, "model", version, TEXT, |mut file| {
            bobbin_synthetic::write(&mut file, shape, Quant::Q8_0, seed)?;
            Ok(())
        })?;
    }
    Ok(())
}

async fn measure(host: &TestHost, options: &Options) -> Result<Rounds> {
    let mut rounds = Rounds::new();
    for round in 0..options.rounds {
        // Each way has as many neighbours of either kind before it as after it.
        let mut ways = Way::ALL;
        if !round.is_multiple_of(2) {
            ways.reverse();
        }
        for way in ways {
            let figures = way.measure(host, Duration::from_secs(options.seconds)).await?;
            println!("    round {}, {}: {}", round + 1, way.name(), figures.shown());
            rounds.entry(way).or_default().push(figures);
        }
    }
    Ok(rounds)
}

fn show(rounds: &Rounds, report: &mut Report) {
    let rates = |way| figures(rounds, way, Figures::rate);
    let one = rates(Way::One);
    let both = "two workers, a stream each / one worker";
    report.beside(&format!("{both} with one stream"), "tokens/s", Bound::AtLeast(1.12), &rates(Way::Canary), &one);
    let slower = figures(rounds, Way::Canary, Figures::slowest);
    report.beside("- the slower of the two / one worker with one stream", "tokens/s", Bound::None, &slower, &one);
    let name = format!("{both} with both streams");
    report.beside(&name, "tokens/s", Bound::AtLeast(0.8), &rates(Way::Canary), &rates(Way::OneWithTwo));
    let name = "one worker beside an idle one / one worker alone, one stream";
    report.beside(name, "tokens/s", Bound::AtLeast(0.95), &rates(Way::BesideIdle), &one);
    for way in Way::ALL {
        let list: Vec<_> = rates(way).iter().map(|rate| format!("{rate:.1}")).collect();
        let gaps = |share: f64| Sorted::of(figures(rounds, way, |figures| figures.gaps.at(share))).at(0.5);
        let figure = format!("{} tokens/s; {:.1}, {:.1} ms", list.join(" "), gaps(0.5), gaps(0.99));
        report.note(&format!("- {}: by round; inter-token p50, p99", way.name()), figure);
    }
}

fn figures(rounds: &Rounds, way: Way, of: impl Fn(&Figures) -> f64) -> Vec<f64> {
    rounds.get(&way).into_iter().flatten().map(of).collect()
}
