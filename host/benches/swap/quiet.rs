//! What other routes notice while a large bundle is verified, loaded and warmed up.

use crate::events::Events;
use crate::host::{Host, release};
use anyhow::Result;
use bobbin_tests::{Arrivals, Bound, Report, Sample, Sorted, Span, WrittenBundle, beside_quiet, sent_within};
use serde_json::json;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const QUIET: Duration = Duration::from_secs(10);
/// Arrivals per second: together some 15 % of two cores.
const HELLO_RATE: u32 = 100;
const STORY_RATE: u32 = 20;
const STORY_TOKENS: u32 = 16;
const GIB: f64 = (1 << 30) as f64;
/// The route that gets the large bundle, and the one that others ask.
const LOADING: &str = "tale";

/// What the spans in which a bundle loads are called.
const LOADS: &str = "a bundle loads";

/// A bundle that loaded.
struct Load {
    span: Span,
    /// When its files were verified, and the worker began to load.
    verified: Instant,
}

pub(crate) async fn measure(host: &Host, large: &WrittenBundle, report: &mut Report) -> Result<()> {
    let story = json!({"prompt": "Once upon a time", "max_tokens": STORY_TOKENS, "seed": 7});
    let (http, url) = (host.http.clone(), host.url("/hello"));
    let hello = Arrivals::start(HELLO_RATE, move || http.get(&url));
    let (http, url) = (host.http.clone(), host.url("/story"));
    let story = Arrivals::start(STORY_RATE, move || http.post(&url).body(story.to_string()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut spans, mut loads) = (vec![Span::quiet(QUIET).await], Vec::new());
    for _ in 0..ROUNDS {
        let loaded = load(host, large).await?;
        spans.push(loaded.span);
        loads.push(loaded);
        unload(host, large).await?;
        spans.push(Span::quiet(QUIET).await);
    }
    let (hello, story) = (hello.stop().await?.whole()?, story.stop().await?.whole()?);
    report.note("a core's speed while the others compute / alone", format!("{:.2}", neighbours()));
    let seconds = |span: fn(&Load) -> Duration| {
        loads.iter().map(|load| format!("{:.1}", span(load).as_secs_f64())).collect::<Vec<_>>().join(" ")
    };
    let what = format!("a bundle of {:.2} GiB: seconds to verify it / to load and warm it up", large.size as f64 / GIB);
    let figure = format!(
        "{} / {}",
        seconds(|load| load.verified - load.span.from),
        seconds(|load| load.span.to - load.verified)
    );
    report.note(&what, figure);
    for (what, samples) in [
        (format!("/hello, {HELLO_RATE}/s: p99 while it loads / without"), hello),
        (format!("/story (another model), {STORY_RATE}/s: the same"), story),
    ] {
        beside_quiet(report, &what, LOADS, &samples, &spans, Bound::AtMost(1.2));
        halves(&samples, &loads, report);
    }
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

/// From the request until the new version serves: verification, copy, load, warm-up.
async fn load(host: &Host, large: &WrittenBundle) -> Result<Load> {
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
    let span = Span { what: Some(LOADS), from, to: Instant::now() };
    Ok(Load { span, verified: verified.await?? })
}

/// Back to how it was before, blob included, so that each round begins as the first did.
async fn unload(host: &Host, large: &WrittenBundle) -> Result<()> {
    host.put(LOADING, json!({"stable": "storyteller@1.0.0"})).await?;
    host.at_rest(LOADING, 1).await?;
    std::fs::remove_file(host.state.join("blobs/sha256").join(&large.sha256))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

/// The p99 of each half of the loads.
fn halves(samples: &[Sample], loads: &[Load], report: &mut Report) {
    let within = |from: fn(&Load) -> Instant, to: fn(&Load) -> Instant| {
        Sorted::millis(loads.iter().flat_map(|load| sent_within(samples, from(load), to(load))))
    };
    let (verify, load) =
        (within(|load| load.span.from, |load| load.verified), within(|load| load.verified, |load| load.span.to));
    let figure = format!("{:.2} / {:.2} ms (n {} / {})", verify.at(0.99), load.at(0.99), verify.len(), load.len());
    report.note("- p99 while it is verified / while it loads and warms up", figure);
}
