//! What a swap costs, and what it never does: the figures that the releases are held to.
//!
//! Measures, with the real binary, the example's two storytellers and this machine: tokens/s with two versions under
//! load against one; a thousand swaps under sixteen streams and what was wrong with their answers; the flip of each
//! commit, the whole change as its caller sees it, and this disk's own fsync beside it; the p99 of other routes while
//! a bundle of a gigabyte loads; the split; kills in the middle of changes; memory after swaps.
//!
//! How to read it: each row has its bound beside it, and the run fails where one does not hold. Figures of one run
//! compare with each other and with nothing else. The clients share the machine's cores with the host, so absolute
//! figures are lower bounds. Run it with `cargo xtask bench swap`; `cargo xtask bench swap -- flips split` measures
//! only those parts.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod bundle;
mod crashes;
mod events;
mod host;
mod memory;
mod quiet;
mod split;
mod stories;
mod swaps;
mod throughput;

use anyhow::{Result, ensure};
use bobbin_tests::{Busy, Report, TestApp, bench, machine, vector_units};
use host::Host;
use std::process::ExitCode;
use std::time::Instant;

/// Two routes whose releases are apart, although they share component and graph.
const ROUTES: &str = r#"
[[trigger.http]]
route = "/tale"
component = "storyteller"
"#;

const PARTS: [&str; 6] = ["throughput", "flips", "memory", "split", "loading", "crashes"];

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for part in &asked {
        ensure!(PARTS.contains(&part.as_str()), "there is no part {part:?}; there are: {}", PARTS.join(", "));
    }
    let (begun, before) = (Instant::now(), Busy::now()?);
    println!("machine: {}", machine()?);
    let mut report = Report::default();
    for part in PARTS.into_iter().filter(|part| asked.is_empty() || asked.iter().any(|asked| asked == part)) {
        println!("\n{part}");
        measure(part, &mut report).await?;
    }
    let took = begun.elapsed().as_secs_f64();
    let others = Busy::now()?.others_since(&before);
    println!("\nthe run took {took:.0} s; other processes, and the kernel for itself, had {others:.0} % of the cores");
    report.finish()
}

/// Each part has a host of its own, so that none inherits what another left in memory.
async fn measure(part: &str, report: &mut Report) -> Result<()> {
    let app = TestApp::stories(ROUTES)?;
    let state = app.path().join("state");
    if part == "crashes" {
        return crashes::measure(&app.manifest(), &state, report).await;
    }
    let models = app.path().join("models");
    let large = match part {
        "loading" => Some(bundle::write(&models, "large", "1.0.0", &bundle::BILLION)?),
        "throughput" => {
            bundle::write(&models, "noise", "1.0.0", &bundle::SMALL)?;
            Some(bundle::write(&models, "noise", "1.1.0", &bundle::SMALL)?)
        }
        _ => None,
    };
    let host = Host::start(&app.manifest(), &state).await?;
    vector_units(&host.log())?;
    match (part, large) {
        ("throughput", _) => {
            throughput::storytellers(&host, report).await?;
            throughput::matrices(&host, report).await?;
        }
        ("flips", _) => swaps::measure(&host, &stories::Themes::read()?, report).await?,
        ("memory", _) => memory::measure(&host, report).await?,
        ("split", _) => split::measure(&host, report).await?,
        (_, Some(large)) => quiet::measure(&host, &large, report).await?,
        (_, None) => {}
    }
    host.stop().await
}
