//! A guest's time: a budget of CPU, and deadlines. Waiting costs no CPU.

use crate::hostile_guests::{impatient, neighbours_are_well};
use anyhow::Context;
use bobbin_tests::{Events, Result, TestApp, TestHost, threads_named};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::time::Duration;

#[tokio::test]
async fn a_guest_that_loops_forever_runs_into_its_cpu_budget() -> Result {
    // The deadline is far: on a busy machine a second of processor time takes many by the clock.
    let app = TestApp::fixtures("guest_cpu_seconds = 1")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/f3/loop", "/f2/loop"] {
        let (looped, neighbour) = futures::join!(host.get(path), host.get("/hello"));
        assert_eq!(neighbour?.status(), 200);
        let looped = looped?;
        assert_eq!(looped.status(), 504, "{path}: {}", looped.text());
        assert_eq!(looped.header("content-type"), Some("application/problem+json"));
        assert_eq!(looped.json()?["code"], "cpu_budget_exceeded", "{path}");
    }
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_waits_forever_runs_into_the_hard_deadline() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let answer = host.get("/f3/sleep?ms=600000").await?;
    assert_eq!(answer.status(), 504, "{}", answer.text());
    assert_eq!(answer.json()?["code"], "deadline_exceeded");
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_sleeps_for_longer_than_its_cpu_budget_answers() -> Result {
    let app = TestApp::fixtures("guest_cpu_seconds = 1")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let answer = host.get("/f3/sleep?ms=2000").await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}

/// What the kernel says of each thread of this name: its niceness, and its slice of processor time in nanoseconds, where the
/// kernel has such.
fn scheduled(pid: u32, name: &str) -> Result<Vec<(i64, Option<u64>)>> {
    let mut threads = Vec::new();
    for folder in threads_named(pid, name)? {
        let read = |file: &str| fs::read_to_string(folder.join(file));
        // One that ends meanwhile has no files any more.
        let (Ok(stat), sched) = (read("stat"), read("sched")) else { continue };
        let (_, fields) = stat.rsplit_once(')').context("a thread without a name")?;
        let nice = fields.split_whitespace().nth(16).context("a thread without a niceness")?.parse()?;
        let slice = sched.ok().and_then(|sched| {
            let line = sched.lines().find_map(|line| line.strip_prefix("se.slice")).map(str::to_owned)?;
            line.trim_start_matches([' ', ':']).parse().ok()
        });
        threads.push((nice, slice));
    }
    Ok(threads)
}

#[tokio::test]
async fn threads_for_guests_that_compute_for_long_give_way_to_those_that_answer() -> Result {
    let app = TestApp::fixtures("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let (give_way, answer) = (scheduled(host.pid()?, "background")?, scheduled(host.pid()?, "tokio-rt-worker")?);
    assert!(!give_way.is_empty() && !answer.is_empty(), "{give_way:?} {answer:?}");
    for (nice, slice) in give_way {
        // As important as whoever started it, and the others less; with slices as short, whoever wakes waits for their end.
        let gives_way = |(own, short): &(i64, Option<u64>)| nice == 10.max(*own) && (*short < slice || slice.is_none());
        assert!(answer.iter().all(gives_way), "{nice} {slice:?}; {answer:?}");
    }
    Ok(())
}

/// How long a worker stands still between two of its steps.
const PAUSE: Duration = Duration::from_millis(100);
/// Well over the budget of one second.
const WAITED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_guest_that_waits_for_its_model_again_and_again_keeps_its_cpu_budget() -> Result {
    let app = TestApp::fixtures("guest_cpu_seconds = 1")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    // Without its end-of-text token the model tells as many tokens as it may.
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 160, "stream": true, "logit_bias": {"2": -100}});
    let mut streams = Vec::new();
    for path in ["/f3/story", "/f2/story", "/story"].into_iter().cycle().take(6) {
        streams.push(host.stream(path, &ask).await?);
    }
    // A slow model: it stands still most of the time, and every guest waits for each of its pieces.
    let mut stood = Duration::ZERO;
    let slow = async {
        loop {
            host.signal(worker, Signal::STOP)?;
            let pause = if stood.is_zero() { Duration::from_millis(1500) } else { PAUSE };
            tokio::time::sleep(pause).await;
            host.signal(worker, Signal::CONT)?;
            stood += pause;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ends = tokio::select! {
        ends = join_all(streams.iter_mut().map(Events::rest)) => ends,
        stopped = slow => return stopped,
    };
    host.signal(worker, Signal::CONT)?;
    assert!(stood > WAITED, "it stood still for {stood:?}, and not for {WAITED:?}");
    for end in ends {
        let end = end?;
        assert_eq!(end.last().map(String::as_str), Some("[DONE]"), "{end:?}");
        // However many tokens come at once: it waited for each of its events.
        assert!(
            PAUSE * u32::try_from(end.len())? > WAITED,
            "{} waits do not show that each of them is free",
            end.len()
        );
    }
    Ok(())
}
