//! What the host and its workers hold: memory over time, and everything else at rest.

use crate::trouble::bundle;
use anyhow::Result;
use bobbin_tests::{Files, Report, Sorted, TestHost, eventually, process_status, zombies};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const MIB: f64 = (1 << 20) as f64;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// The shortest part of a run that has a median worth comparing.
const SHORTEST: Duration = Duration::from_secs(10);
/// By how much memory may differ between two parts of a run whose load differs a little too.
const MOST: f64 = 1.1;
/// How long threads that have nothing to do may stay.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the host is called beside the bundles.
const HOST: &str = "host";

/// Resident memory over time, of the host and of each bundle's workers: moments, and bytes.
pub(crate) struct Memory {
    begun: Instant,
    length: Duration,
    looks: BTreeMap<String, Vec<(Duration, f64)>>,
}

impl Memory {
    pub(crate) async fn watch(host: &TestHost, until: Instant) -> Result<Self> {
        let begun = Instant::now();
        let mut memory = Self { begun, length: until - begun, looks: BTreeMap::new() };
        while Instant::now() < until {
            memory.look(HOST.to_owned(), host.pid()?);
            for worker in host.workers()? {
                memory.look(bundle(worker).unwrap_or_default(), worker);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(memory)
    }

    fn look(&mut self, what: String, pid: u32) {
        // A worker may have ended since it was listed.
        if let Ok(kib) = process_status(pid, "VmRSS:") {
            self.looks.entry(what).or_default().push((self.begun.elapsed(), kib as f64 * 1024.0));
        }
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let part = (self.length / 10).max(SHORTEST);
        for (what, looks) in &self.looks {
            let median = |from: Duration, to: Duration| {
                let inside = looks.iter().filter(|(at, _)| (from..to).contains(at));
                Sorted::of(inside.map(|(_, bytes)| *bytes)).at(0.5) / MIB
            };
            let (early, late) = (median(part, part * 2), median(self.length.saturating_sub(part), self.length));
            let ratio = late / early;
            let what = if what == HOST { "the host".to_owned() } else { format!("a worker of {what}") };
            let figure = format!("{late:.1} / {early:.1} MiB = {ratio:.3}");
            let name = format!("resident memory of {what}, last part / second part");
            report.must(&name, figure, &format!("<= {MOST}"), ratio <= MOST);
            report.note("- MiB a minute, from the second part on", format!("{:+.2}", slope(looks, part)));
        }
    }
}

/// By how many MiB a minute it grows, by least squares.
fn slope(looks: &[(Duration, f64)], from: Duration) -> f64 {
    let points =
        || looks.iter().filter(|(at, _)| *at >= from).map(|(at, bytes)| (at.as_secs_f64() / 60.0, bytes / MIB));
    let count = points().count() as f64;
    let mean = |of: fn((f64, f64)) -> f64| points().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|(x, _)| x), mean(|(_, y)| y));
    let products: f64 = points().map(|(at, mib)| (at - x) * (mib - y)).sum();
    products / points().map(|(at, _)| (at - x).powi(2)).sum::<f64>()
}

/// What a host holds while nobody asks it for anything, one storyteller and one embedder being loaded.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    memory: f64,
    files: Files,
    threads: u64,
    workers: usize,
    zombies: usize,
    /// Sequences and cells of workers, and requests, that are still there.
    left: f64,
}

impl Held {
    /// What is held when everything that was begun has ended. Threads that end in their own time are waited for, until
    /// there are no more than `before`.
    pub(crate) async fn at_rest(host: &TestHost, before: Option<Self>) -> Result<Self> {
        let edit = json!({"stable": "storyteller@1.0.0", "candidate": null, "keep_warm_seconds": 0});
        host.release("story").set(edit).await?;
        eventually(async || {
            let rests = host.metrics().await?.sum("bobbin_http_requests_in_flight", &[]) == 0.0;
            Ok((rests && host.workers()?.len() == 2).then_some(()))
        })
        .await?;
        // Both have what they have once they have answered.
        for (path, ask) in
            [("/story", json!({"prompt": "Once", "max_tokens": 8})), ("/similar", json!({"text": "a", "among": ["b"]}))]
        {
            host.post_json(path, &ask).await?;
        }
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let held = Self::now(host).await?;
            let settled = match &before {
                Some(before) => held.threads <= before.threads && held.files == before.files,
                // Longer than a thread that waits for more to do.
                None => begun.elapsed() > PATIENCE / 2,
            };
            if settled || begun.elapsed() > PATIENCE {
                return Ok(held);
            }
        }
    }

    async fn now(host: &TestHost) -> Result<Self> {
        let (pid, metrics) = (host.pid()?, host.metrics().await?);
        let left = ["bobbin_worker_sequences", "bobbin_worker_cells_reserved", "bobbin_http_requests_in_flight"];
        Ok(Self {
            memory: host.own_resident_bytes()? as f64 / MIB,
            files: Files::of(pid)?,
            threads: process_status(pid, "Threads:")?,
            workers: host.workers()?.len(),
            zombies: zombies(pid)?,
            left: left.iter().map(|name| metrics.sum(name, &[])).sum(),
        })
    }

    pub(crate) fn report(&self, before: &Self, report: &mut Report) {
        let ratio = self.memory / before.memory;
        let figure = format!("{:.1} / {:.1} MiB = {ratio:.3}", self.memory, before.memory);
        report.must("at rest, after / before: the host's memory", figure, &format!("<= {MOST}"), ratio <= MOST);
        let (own, was) = (self.files, before.files);
        let figure = format!("{} + {} / {} + {}", own.links, own.others, was.links, was.others);
        report.must("- links to workers + other open files", figure, "the same", own == was);
        let figure = format!("{} / {}", self.threads, before.threads);
        report.must("- threads", figure, "no more", self.threads <= before.threads);
        let figure = format!("{} / {}", self.workers, before.workers);
        report.must("- workers", figure, "the same", self.workers == before.workers);
        report.must("- processes that nobody waited for", self.zombies.to_string(), "0", self.zombies == 0);
        report.must("- sequences, cells and requests left", self.left.to_string(), "0", self.left == 0.0);
    }
}
