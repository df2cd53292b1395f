//! What neighbours notice of guests that ask for as much as they can.
//!
//! Measures the p99 of `/hello` and of `/story` while guests on another route, of the same host and the same worker, ask
//! for too much: giant tensors, thousands of contexts, streams that they never read, prompts far over the context, JSON
//! bombs in the options. For each kind also: by how much the host's memory grew at most, what the guests were
//! answered, and how long it took.
//!
//! The hostile load is bounded: so many clients, each of which asks at most once a second, and not before it was answered,
//! for a guest that goes on for so long; the first lines of the output have the numbers. A guest may take as much
//! processor time as its limits give, whoever has written it. So a guest that does nothing but compute, for the same time
//! and at the same rate, has rows without a bound: what is in them too is the price of the processor time alone.
//!
//! How to read it: each attack is held against the quiet before and after it; a ratio is that of all rounds' answers together.
//! The clients share the machine's cores with host and worker. Run it with
//! `cargo xtask bench hostile [--rounds N] [--seconds N] [--clients N] [--lasting MILLISECONDS] [--kind NAME]..`.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod attacks;

use anyhow::Result;
use attacks::{Attacked, KINDS, Kind, Load};
use bobbin_tests::{
    Arrivals, Arrived, Bound, Busy, Report, Span, TestApp, TestHost, bench, beside_quiet, machine, stop, vector_units,
};
use clap::Parser;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const ACCOUNT: u64 = 16 * MIB;
const GUEST_MEMORY: u64 = 64 * MIB;
/// What the host needs besides, for itself and for the neighbours.
const SLACK: u64 = 32 * MIB;
/// The soft deadline, and the grace after it.
const DEADLINE: Duration = Duration::from_secs(3);
/// Arrivals per second of the neighbours: together some 15 % of two cores.
const HELLO_RATE: u32 = 100;
const STORY_RATE: u32 = 20;
const STORY_TOKENS: u32 = 16;
/// From the end of an attack until what it began is over.
const SETTLE: Duration = Duration::from_millis(500);

#[derive(Parser)]
struct Options {
    /// cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// How often each attack is made.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each attack goes on, and each quiet.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Hostile clients at once.
    #[arg(long, default_value_t = 2)]
    clients: usize,
    /// How long a hostile guest goes on, in milliseconds.
    #[arg(long, default_value_t = 100)]
    lasting: u64,
    /// Only attacks of this name; may be given several times.
    #[arg(long = "kind", value_parser = KINDS.map(|kind| kind.name))]
    kinds: Vec<String>,
}

impl Options {
    fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        KINDS.iter().filter(|kind| self.kinds.is_empty() || self.kinds.iter().any(|name| name == kind.name))
    }
}

/// What was measured in all rounds.
struct Measured {
    spans: Vec<Span>,
    attacks: BTreeMap<&'static str, Attacked>,
    hello: Arrived,
    story: Arrived,
}

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine()?);
    let (clients, lasting) = (options.clients, options.lasting);
    println!("hostile: {clients} clients, each at most once a second, for guests that go on for {lasting} ms");
    println!("neighbours: /hello {HELLO_RATE}/s, /story with {STORY_TOKENS} tokens {STORY_RATE}/s, of the same model");
    let limits = format!(
        "request_seconds = 2\ngrace_seconds = 1\nguest_cpu_seconds = 1\naccount_bytes = {ACCOUNT}\nguest_memory_bytes = {GUEST_MEMORY}"
    );
    println!("limits: {}", limits.replace('\n', ", "));
    let app = TestApp::fixtures(&limits)?;
    let host = TestHost::of(&app.manifest()).log_filter("info,bobbin::access=warn").start().await?;
    vector_units(&host.log())?;
    let before = Busy::now()?;
    let measured = measure(&host, &options).await?;
    stop(host).await?;
    let mut report = Report::default();
    for kind in options.kinds() {
        show(kind, &measured, &options, &mut report);
    }
    let failed: Vec<_> = measured.hello.failed.iter().chain(&measured.story.failed).collect();
    let all = failed.len() + measured.hello.samples.len() + measured.story.samples.len();
    report.none("neighbours' requests without an answer", failed.len(), &format!("{all} requests"));
    for (_, why) in failed.iter().take(3) {
        println!("      {why}");
    }
    println!(
        "\nother processes, and the kernel for itself, had {:.0} % of the cores",
        Busy::now()?.others_since(&before)
    );
    report.finish()
}

async fn measure(host: &TestHost, options: &Options) -> Result<Measured> {
    let http = bobbin_tests::http().tcp_nodelay(true).timeout(Duration::from_secs(60)).build()?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": STORY_TOKENS, "seed": 7}).to_string();
    let (client, url) = (http.clone(), host.url("/hello"));
    let hello = Arrivals::start(HELLO_RATE, move || client.get(&url));
    let (client, url) = (http.clone(), host.url("/story"));
    let story = Arrivals::start(STORY_RATE, move || client.post(&url).body(ask.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let length = Duration::from_secs(options.seconds);
    let load = Load { clients: options.clients, lasting: Duration::from_millis(options.lasting), length };
    let mut spans = vec![Span::quiet(length).await];
    let mut attacks = BTreeMap::<&str, Attacked>::new();
    for round in 1..=options.rounds {
        for kind in options.kinds() {
            println!("    round {round}: {}", kind.name);
            let (span, attacked) = load.attack(host, &http, kind).await?;
            spans.push(span);
            attacks.entry(kind.name).or_default().add(attacked);
            tokio::time::sleep(SETTLE).await;
            spans.push(Span::quiet(length).await);
        }
    }
    Ok(Measured { spans, attacks, hello: hello.stop().await?, story: story.stop().await? })
}

fn show(kind: &Kind, measured: &Measured, options: &Options, report: &mut Report) {
    let bound = if kind.hostile { Bound::AtMost(1.2) } else { Bound::None };
    for (route, arrived) in [("/hello", &measured.hello), ("/story", &measured.story)] {
        let what = format!("{}: p99 of {route} during / without", kind.what);
        beside_quiet(report, &what, kind.name, &arrived.samples, &measured.spans, bound);
    }
    let Some(attacked) = measured.attacks.get(kind.name) else { return };
    let most = options.clients as u64 * (ACCOUNT + GUEST_MEMORY) + SLACK;
    let figure = format!("{} MiB at most", attacked.grown / MIB);
    report.must("- by how much the host grew", figure, &format!("<= {} MiB", most / MIB), attacked.grown <= most);
    let longest = attacked.longest.as_secs_f64();
    let bound = format!("<= {} s", DEADLINE.as_secs());
    report.must("- the longest of its requests", format!("{longest:.2} s"), &bound, attacked.longest <= DEADLINE);
    report.note("- what its requests were answered; what its attempts came to", attacked.shown());
}
