//! What the sandbox costs: a component that answers without a model, beside `wasmtime serve` with the same component.
//!
//! Measures requests/s and latency of `/hello` at 8 and 32 connections, in both ways to run it: an instance for each
//! request, which is the default here, and instances that answer one request after another
//! (`reuse_instances` in `[application.trigger.bobbin]`), which is wasmtime's default; those once more without Spin's headers
//! (`plain_requests`). With `--peer wasmtime=PATH`, wasmtime takes its turn in each round.
//!
//! How to read it: a ratio is the median over the rounds of Bobbin's figure by its peer's in the same round. The clients
//! share the machine's cores with the server under test. Both guests read the same request: Bobbin tells its guests seven
//! headers, as Spin does, so wasmtime's clients send it the same seven, and none where Bobbin tells none. A row of its own has
//! wasmtime without them beside a Bobbin with them. Bobbin's answers carry a request id and are counted in its metrics;
//! wasmtime does neither. The access log is off, as it is by default. Run it with
//! `cargo xtask bench sandbox [--peer wasmtime=PATH] [--rounds N]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

use anyhow::{Context, Result};
use bobbin_tests::{
    Bound, Lasts, Peer, Report, TestApp, TestHost, Window, bench, in_turn, machine, process_status, repository_root,
};
use clap::Parser;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::process::Command;

const CONNECTIONS: [usize; 2] = [8, 32];
const LASTS: Lasts = Lasts { warm: Duration::from_millis(300), counted: Duration::from_secs(2) };
const COMPONENT: &str = "guest-components/target/wasm32-wasip2/release/hello.wasm";
const APP: &str = r#"
spin_manifest_version = 2

[application]
name = "sandbox"
version = "0.1.0"

[application.trigger.bobbin]
reuse_instances = ["reused", "plain"]
plain_requests = ["plain"]

[[trigger.http]]
route = "/hello"
component = "hello"

[[trigger.http]]
route = "/reused"
component = "reused"

[[trigger.http]]
route = "/plain"
component = "plain"

[component.hello]
source = "{root}/guest-components/target/wasm32-wasip2/release/hello.wasm"

[component.reused]
source = "{root}/guest-components/target/wasm32-wasip2/release/hello.wasm"

[component.plain]
source = "{root}/guest-components/target/wasm32-wasip2/release/hello.wasm"
"#;

/// What Spin, and so Bobbin, tells the guest of a request to `/hello`.
const TOLD: [(&str, &str); 7] = [
    ("spin-path-info", ""),
    ("spin-full-url", "http://127.0.0.1:3000/hello"),
    ("spin-matched-route", "/hello"),
    ("spin-base-path", "/"),
    ("spin-raw-component-route", "/hello"),
    ("spin-component-route", "/hello"),
    ("spin-client-addr", "127.0.0.1:40000"),
];

#[derive(Parser)]
struct Options {
    /// cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// The other server: wasmtime=PATH.
    #[arg(long, value_parser = wasmtime)]
    peer: Option<PathBuf>,
    /// How often each of the two has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn wasmtime(peer: &str) -> Result<PathBuf> {
    Ok(peer.strip_prefix("wasmtime=").context("the only peer is wasmtime=PATH")?.into())
}

/// One way to run the component, here and there.
struct Way {
    what: &'static str,
    ours: (SocketAddr, &'static str),
    theirs: Option<(SocketAddr, &'static str)>,
    /// What the host tells the guest here, and the clients there.
    told: &'static [(&'static str, &'static str)],
}

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine()?);
    let app = TestApp::new(APP)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let peers = match &options.peer {
        Some(program) => {
            Some((serve(program, &["--max-instance-reuse-count", "1"]).await?, serve(program, &[]).await?))
        }
        None => None,
    };
    let at = |peer: &Peer| (peer.address(), "/");
    let ways = [
        Way {
            what: "an instance for each request",
            ours: (host.app_addr(), "/hello"),
            theirs: peers.as_ref().map(|peers| at(&peers.0)),
            told: &TOLD,
        },
        Way {
            what: "instances reused",
            ours: (host.app_addr(), "/reused"),
            theirs: peers.as_ref().map(|peers| at(&peers.1)),
            told: &TOLD,
        },
        Way {
            what: "instances reused, plain requests",
            ours: (host.app_addr(), "/plain"),
            theirs: peers.as_ref().map(|peers| at(&peers.1)),
            told: &[],
        },
    ];
    let mut report = Report::default();
    for way in &ways {
        for connections in CONNECTIONS {
            measure(way, connections, options.rounds, &mut report).await?;
        }
    }
    let peak = |pid: u32| anyhow::Ok(process_status(pid, "VmHWM:")? as f64 / 1024.0);
    let theirs = match &peers {
        Some((fresh, reused)) => format!("; wasmtime {:.0} and {:.0}", peak(fresh.pid()?)?, peak(reused.pid()?)?),
        None => String::new(),
    };
    report.note("peak memory in MiB", format!("{:.0} for all ways{theirs}", peak(host.pid()?)?));
    report.finish()
}

async fn serve(program: &Path, more: &[&str]) -> Result<Peer> {
    let address = Peer::address_to_listen_on()?;
    let mut command = Command::new(program);
    command.args(["serve", "-S", "cli", "--addr", &address.to_string()]).args(more);
    command.arg(repository_root().join(COMPONENT));
    Peer::start(command, address, "/").await
}

async fn measure(way: &Way, connections: usize, rounds: usize, report: &mut Report) -> Result<()> {
    let (mut ours, mut theirs, mut untold) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let turns = [
            (Some(way.ours), &[][..], &mut ours),
            (way.theirs, way.told, &mut theirs),
            (way.theirs.filter(|_| !way.told.is_empty()), &[][..], &mut untold),
        ];
        for (server, headers, windows) in in_turn(round, turns) {
            if let Some(server) = server {
                windows.push(Window::with(headers, server, connections, LASTS).await?);
            }
        }
    }
    let of = |windows: &[Window], figure: fn(&Window) -> f64| windows.iter().map(figure).collect::<Vec<f64>>();
    let what = format!("{}, {connections} connections", way.what);
    let rate: fn(&Window) -> f64 = |window| window.rate;
    report.beside(&what, "requests/s", Bound::AtLeast(1.0), &of(&ours, rate), &of(&theirs, rate));
    if !way.told.is_empty() {
        let name = "- beside it without Spin's headers";
        report.beside(name, "requests/s", Bound::None, &of(&ours, rate), &of(&untold, rate));
    }
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let latency = |windows: &[Window]| windows.iter().map(|window| window.latency.at(share)).collect::<Vec<f64>>();
        report.beside(&format!("- latency, {name}"), "ms", Bound::None, &latency(&ours), &latency(&theirs));
    }
    Ok(())
}
