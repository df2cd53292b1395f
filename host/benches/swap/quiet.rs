//! What other routes notice while a large bundle is verified, loaded and warmed up.

use crate::events::Events;
use crate::host::{Host, release};
use anyhow::{Result, ensure};
use bobbin_tests::{Bound, Report, Sorted, WrittenBundle};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

const ROUNDS: usize = 5;
const QUIET: Duration = Duration::from_secs(10);
/// Arrivals per second: together some 15 % of two cores.
const HELLO_RATE: u32 = 100;
const STORY_RATE: u32 = 20;
const STORY_TOKENS: u32 = 16;
const GIB: f64 = (1 << 30) as f64;
/// The route that gets the large bundle, and the one that others ask.
const LOADING: &str = "tale";

/// When a request was sent, and how long its whole answer took.
type Sample = (Instant, Duration);

/// Requests at a fixed rate, however long their answers take.
struct Arrivals {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Vec<Sample>>>,
}

impl Arrivals {
    fn start(host: &Host, path: &str, body: Option<serde_json::Value>, rate: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (http, url, ended) = (host.http.clone(), host.url(path), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (mut answers, mut samples) = (JoinSet::new(), Vec::new());
            while !ended.load(Ordering::Relaxed) {
                ticks.tick().await;
                let request = match &body {
                    Some(body) => http.post(&url).body(body.to_string()),
                    None => http.get(&url),
                };
                answers.spawn(async move {
                    let sent = Instant::now();
                    let answer = request.send().await?;
                    let (status, body) = (answer.status(), answer.text().await?);
                    ensure!(status == 200, "{status}: {body}");
                    Ok((sent, sent.elapsed()))
                });
                while let Some(sample) = answers.try_join_next() {
                    samples.push(sample??);
                }
            }
            while let Some(sample) = answers.join_next().await {
                samples.push(sample??);
            }
            Ok(samples)
        });
        Self { stop, task }
    }

    async fn stop(self) -> Result<Vec<Sample>> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}

/// A span of time in which a bundle loaded, or in which nothing did.
struct Phase {
    loading: bool,
    from: Instant,
    to: Instant,
    /// When its files were verified, and the worker began to load.
    verified: Instant,
}

pub(crate) async fn measure(host: &Host, large: &WrittenBundle, report: &mut Report) -> Result<()> {
    let story = json!({"prompt": "Once upon a time", "max_tokens": STORY_TOKENS, "seed": 7});
    let hello = Arrivals::start(host, "/hello", None, HELLO_RATE);
    let story = Arrivals::start(host, "/story", Some(story), STORY_RATE);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut phases = vec![quiet().await];
    for _ in 0..ROUNDS {
        phases.push(load(host, large).await?);
        unload(host, large).await?;
        phases.push(quiet().await);
    }
    let (hello, story) = (hello.stop().await?, story.stop().await?);
    report.note("a core's speed while the others compute / alone", format!("{:.2}", neighbours()));
    let loads = || phases.iter().filter(|phase| phase.loading);
    let seconds = |span: fn(&Phase) -> Duration| {
        loads().map(|phase| format!("{:.1}", span(phase).as_secs_f64())).collect::<Vec<_>>().join(" ")
    };
    let what = format!("a bundle of {:.2} GiB: seconds to verify it / to load and warm it up", large.size as f64 / GIB);
    let figure =
        format!("{} / {}", seconds(|phase| phase.verified - phase.from), seconds(|phase| phase.to - phase.verified));
    report.note(&what, figure);
    row(&format!("/hello, {HELLO_RATE}/s: p99 while it loads / without"), &hello, &phases, report);
    row(&format!("/story (another model), {STORY_RATE}/s: the same"), &story, &phases, report);
    Ok(())
}

/// How fast a core computes while all others compute too, by how fast it is alone: what none of a host's priorities
/// can give back to its neighbours.
fn neighbours() -> f64 {
    const SPAN: Duration = Duration::from_millis(500);
    let rounds = || {
        let (begun, mut rounds, mut numbers) = (Instant::now(), 0_u64, [1.0_f64; 4096]);
        while begun.elapsed() < SPAN {
            numbers.iter_mut().for_each(|number| *number = number.mul_add(1.000_000_1, 0.5));
            std::hint::black_box(&mut numbers);
            rounds += 1;
        }
        rounds as f64
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let all = |threads: usize| -> f64 {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(rounds)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
        })
    };
    all(cores) / cores as f64 / all(1)
}

async fn quiet() -> Phase {
    let from = Instant::now();
    tokio::time::sleep(QUIET).await;
    Phase { loading: false, from, to: Instant::now(), verified: from }
}

/// From the request until the new version serves: verification, copy, load, warm-up.
async fn load(host: &Host, large: &WrittenBundle) -> Result<Phase> {
    let mut events = Events::follow(host).await?;
    let verified = tokio::spawn(async move {
        loop {
            if events.next().await?.step(&release(LOADING)) == Some("loading") {
                return anyhow::Ok(Instant::now());
            }
        }
    });
    let from = Instant::now();
    host.put(LOADING, json!({"stable": large.id, "keep_warm_seconds": 0})).await?;
    Ok(Phase { loading: true, from, to: Instant::now(), verified: verified.await?? })
}

/// Back to how it was before, blob included, so that each round begins as the first did.
async fn unload(host: &Host, large: &WrittenBundle) -> Result<()> {
    host.put(LOADING, json!({"stable": "storyteller@1.0.0"})).await?;
    host.at_rest(LOADING, 1).await?;
    std::fs::remove_file(host.state.join("blobs/sha256").join(&large.sha256))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// Each load beside the quiet before and after it: the machine's own speed changes by more within minutes.
fn row(what: &str, samples: &[Sample], phases: &[Phase], report: &mut Report) {
    let within = |from: Instant, to: Instant| {
        let inside = samples.iter().filter(move |(sent, _)| (from..to).contains(sent));
        inside.map(|(_, took)| *took)
    };
    let of = |phase: &Phase| within(phase.from, phase.to);
    let (mut busy, mut quiet) = (Vec::new(), Vec::new());
    for round in phases.windows(3) {
        let [before, load, after] = round else { continue };
        if load.loading {
            busy.push(Sorted::millis(of(load)));
            quiet.push(Sorted::millis(of(before).chain(of(after))));
        }
    }
    let at = |rounds: &[Sorted], share: f64| rounds.iter().map(|round| round.at(share)).collect::<Vec<f64>>();
    report.beside(what, "ms", Bound::AtMost(1.2), &at(&busy, 0.99), &at(&quiet, 0.99));
    report.beside("- p50", "ms", Bound::None, &at(&busy, 0.5), &at(&quiet, 0.5));
    let list = |values: Vec<f64>| values.iter().map(|value| format!("{value:.2}")).collect::<Vec<_>>().join(" ");
    let count = |rounds: &[Sorted]| rounds.iter().map(Sorted::len).min().unwrap_or(0);
    let figure = format!(
        "{} / {} ms (n {} / {} or more)",
        list(at(&busy, 0.99)),
        list(at(&quiet, 0.99)),
        count(&busy),
        count(&quiet)
    );
    report.note("- p99 by round", figure);
    let loads = || phases.iter().filter(|phase| phase.loading);
    let verify = Sorted::millis(loads().flat_map(|phase| within(phase.from, phase.verified)));
    let load = Sorted::millis(loads().flat_map(|phase| within(phase.verified, phase.to)));
    let figure = format!("{:.2} / {:.2} ms (n {} / {})", verify.at(0.99), load.at(0.99), verify.len(), load.len());
    report.note("- p99 while it is verified / while it loads and warms up", figure);
}
