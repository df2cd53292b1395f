//! Whether a host stays as it is: minutes of mixed load on the example application, with clients that leave, releases that
//! change and workers that are killed.
//!
//! Measures the answers of every kind of request: whole, refused or ended with a reason that something done here explains,
//! or neither. Beside them resident memory of the host and of each bundle's workers over the run; and what the host holds
//! at rest, before and after: memory, open files, threads, processes.
//!
//! How to read it: an error is explained when it is one of those that a worker's death or a change may cause, names its
//! code and says why, and a worker was killed, or a release changed, while it was asked for or shortly before. Whatever
//! else is no whole answer fails the run and is printed. Memory is the median of the run's last part by that of its
//! second part; a part is a tenth of the run. The load comes from clients that wait for each answer and pause after it.
//! Run it with `cargo xtask bench soak [--minutes N]`.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod answers;
mod clients;
mod health;
mod trouble;

use answers::Tally;
use anyhow::Result;
use bobbin_tests::{Busy, Report, TestHost, bench, machine, stop, vector_units};
use clap::Parser;
use futures::join;
use health::{Held, Memory};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use trouble::Trouble;

/// Of everything, before the first look: what is filled once is filled then.
const WARM_UP: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Options {
    /// cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// How long the load goes on.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

/// A host, and what is done to it.
struct Soak {
    host: TestHost,
    /// With a connection for each request: one that is used again may be closed just then, which is nobody's error.
    http: reqwest::Client,
    tally: Tally,
    trouble: Trouble,
}

fn main() -> ExitCode {
    // The clients of others do not run on this machine: how long ours wait for a core is no figure of the host's.
    bobbin_worker::slice::short();
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine()?);
    let host = TestHost::example().log_filter("info,bobbin::access=warn").start().await?;
    vector_units(&host.log())?;
    let before = Busy::now()?;
    let http = bobbin_tests::http().tcp_nodelay(true).pool_max_idle_per_host(0);
    let http = http.timeout(Duration::from_secs(150)).build()?;
    let mut soak = Soak { host, http, tally: Tally::default(), trouble: Trouble::default() };
    println!("    warm-up, {} s", WARM_UP.as_secs());
    soak.go_on(WARM_UP).await?;
    let first = Held::at_rest(&soak.host, None).await?;
    soak.tally = Tally::default();
    println!("    load, {} minutes", options.minutes);
    let memory = soak.go_on(Duration::from_secs_f64(options.minutes * 60.0)).await?;
    let last = Held::at_rest(&soak.host, Some(first)).await?;
    let mut report = Report::default();
    soak.tally.report(&mut report);
    soak.trouble.report(&soak.host.log(), &mut report);
    memory.report(&mut report);
    last.report(&first, &mut report);
    log(&soak.host, &mut report);
    stop(soak.host).await?;
    println!(
        "\nother processes, and the kernel for itself, had {:.0} % of the cores",
        Busy::now()?.others_since(&before)
    );
    report.finish()
}

impl Soak {
    /// Load and trouble for a while.
    async fn go_on(&self, length: Duration) -> Result<Memory> {
        let until = Instant::now() + length;
        let clients = clients::all(self, until);
        let changes = self.trouble.change(&self.host, &self.tally, until);
        let kills = self.trouble.kill(&self.host, until);
        let (_, changes, kills, memory) = join!(clients, changes, kills, Memory::watch(&self.host, until));
        changes.and(kills).and(memory)
    }
}

/// What the host itself says went wrong.
fn log(host: &TestHost, report: &mut Report) {
    let log = host.log();
    let lines = |level: &str| log.lines().filter(|line| line.contains(level)).count();
    report.none("panics in the log", lines("panicked at"), &format!("{} lines", log.lines().count()));
    report.note("- lines of its log with ERROR; with WARN", format!("{}; {}", lines("ERROR"), lines("WARN")));
    for line in log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked at")).take(5) {
        println!("      {line}");
    }
}
