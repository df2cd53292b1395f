//! What those notice who have nothing to do with it: latencies of requests that come at a fixed rate while something
//! else happens on the host, beside the quiet before and after.

use crate::Result;
use crate::report::{Bound, Report, Sorted};
use anyhow::{bail, ensure};
use reqwest::RequestBuilder;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

/// When a request was sent, and how long its whole answer took.
pub type Sample = (Instant, Duration);

/// What came of requests at a fixed rate.
#[derive(Debug, Default)]
pub struct Arrived {
    /// Of the answers that came whole, with status 200.
    pub samples: Vec<Sample>,
    /// Whatever else came: when the request was sent, and why there is no answer.
    pub failed: Vec<(Instant, String)>,
}

impl Arrived {
    /// The samples, where every answer came whole.
    ///
    /// # Errors
    /// With the first that did not.
    pub fn whole(self) -> Result<Vec<Sample>> {
        match self.failed.into_iter().next() {
            Some((_, why)) => bail!("a neighbour had no answer: {why}"),
            None => Ok(self.samples),
        }
    }

    fn add(&mut self, (sent, outcome): (Instant, Result<Duration>)) {
        match outcome {
            Ok(took) => self.samples.push((sent, took)),
            Err(why) => self.failed.push((sent, format!("{why:#}"))),
        }
    }
}

/// Requests at a fixed rate, however long their answers take.
#[derive(Debug)]
pub struct Arrivals {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Arrived>>,
}

impl Arrivals {
    /// Sends what `ask` makes so often in a second, from now on.
    pub fn start(rate: u32, ask: impl Fn() -> RequestBuilder + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (mut answers, mut arrived) = (JoinSet::new(), Arrived::default());
            while !ended.load(Ordering::Relaxed) {
                ticks.tick().await;
                let request = ask();
                answers.spawn(async move {
                    let sent = Instant::now();
                    (sent, took(request, sent).await)
                });
                while let Some(answer) = answers.try_join_next() {
                    arrived.add(answer?);
                }
            }
            while let Some(answer) = answers.join_next().await {
                arrived.add(answer?);
            }
            Ok(arrived)
        });
        Self { stop, task }
    }

    /// Waits for the last answers, and returns all.
    ///
    /// # Errors
    /// When a task panicked.
    pub async fn stop(self) -> Result<Arrived> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

async fn took(request: RequestBuilder, sent: Instant) -> Result<Duration> {
    let answer = request.send().await?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status == 200, "{status}: {body}");
    Ok(sent.elapsed())
}

/// A span of time in which something happened, or nothing did.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// What happened; `None` where it was quiet.
    pub what: Option<&'static str>,
    /// Its begin.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
}

impl Span {
    /// Waits so long while nothing happens.
    pub async fn quiet(length: Duration) -> Self {
        let from = Instant::now();
        tokio::time::sleep(length).await;
        Self { what: None, from, to: Instant::now() }
    }
}

/// The latencies of what was sent between two moments.
pub fn sent_within(samples: &[Sample], from: Instant, to: Instant) -> impl Iterator<Item = Duration> + '_ {
    samples.iter().filter(move |(sent, _)| (from..to).contains(sent)).map(|(_, took)| *took)
}

/// Reports the p99 of a neighbour while `what` happened by that of the quiet before and after each time, since the
/// machine's own speed changes by more within minutes. `samples` are the neighbour's, `name` begins the row.
///
/// The samples of all rounds are put together first, on both sides: a round has only some ten beyond its p99, so that two
/// equal rounds differ by a third now and then.
pub fn beside_quiet(report: &mut Report, name: &str, what: &str, samples: &[Sample], spans: &[Span], bound: Bound) {
    let of = |span: &Span| sent_within(samples, span.from, span.to);
    let (mut busy, mut quiet) = (Vec::new(), Vec::new());
    for round in spans.windows(3) {
        let [before, during, after] = round else { continue };
        if during.what == Some(what) {
            busy.push(Sorted::millis(of(during)));
            quiet.push(Sorted::millis(of(before).chain(of(after))));
        }
    }
    let together = |rounds: &[Sorted]| Sorted::of(rounds.iter().flat_map(Sorted::values));
    let (all_busy, all_quiet) = (together(&busy), together(&quiet));
    report.beside(name, "ms", bound, &[all_busy.at(0.99)], &[all_quiet.at(0.99)]);
    report.beside("- p50", "ms", Bound::None, &[all_busy.at(0.5)], &[all_quiet.at(0.5)]);
    let at = |rounds: &[Sorted], share: f64| rounds.iter().map(|round| round.at(share)).collect::<Vec<f64>>();
    let list = |values: Vec<f64>| values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(" ");
    let count = |rounds: &[Sorted]| rounds.iter().map(Sorted::len).min().unwrap_or(0);
    let (during, without) = (list(at(&busy, 0.99)), list(at(&quiet, 0.99)));
    report.note("- p99 by round", format!("{during} / {without} ms (n {} / {} or more)", count(&busy), count(&quiet)));
}
