//! Power cuts in the middle of changes: the last committed generation serves, every time.

use crate::events::Events;
use crate::host::{Host, generation, release};
use anyhow::{Context, Result, ensure};
use bobbin_tests::{Report, tell};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUTE: &str = "story";
const CRASHES: usize = 100;
const VERSIONS: [&str; 2] = ["storyteller@1.0.0", "storyteller@1.1.0"];

/// When the power goes: a moment after a step was told.
struct Cut {
    /// `None` counts from the request itself.
    step: Option<&'static str>,
    after: Duration,
}

/// What the world was told before it went dark.
struct Told {
    /// The generation before the change, and what it asked for.
    before: u64,
    asked: Value,
    /// The generation that an answer or an event has confirmed.
    confirmed: Option<u64>,
    last_step: String,
}

pub(crate) async fn measure(manifest: &Path, state: &Path, report: &mut Report) -> Result<()> {
    let (mut right, mut steps, mut kept) = (0, BTreeMap::<String, usize>::new(), 0);
    let mut host = Host::start(manifest, state).await?;
    let (cold, warm) = (usual(&host, 0).await?, usual(&host, 600).await?);
    let mut restarts = Duration::ZERO;
    for nth in 0..CRASHES {
        let told = change_and_cut(host, nth, cold, warm).await.with_context(|| format!("crash {nth}"))?;
        *steps.entry(told.last_step.clone()).or_default() += 1;
        let begun = Instant::now();
        let started = Host::start(manifest, state).await;
        restarts += begun.elapsed();
        let verdict = match started {
            Ok(started) => {
                host = started;
                check(&host, &told).await?
            }
            Err(refused) => {
                // It counts as wrong; the rest is measured all the same.
                tokio::time::sleep(Duration::from_secs(1)).await;
                host = Host::start(manifest, state).await.with_context(|| format!("second restart {nth}"))?;
                Err(refused.to_string())
            }
        };
        match verdict {
            Ok(committed) => {
                right += 1;
                kept += usize::from(committed);
            }
            Err(wrong) => println!("      crash {nth}, after {:?}: {wrong}", told.last_step),
        }
    }
    host.stop().await?;
    let figure = format!("{right} of {CRASHES}");
    report.must("kill -9 within a change: the last committed generation serves", figure, "100", right == CRASHES);
    let steps: Vec<_> = steps.iter().map(|(step, count)| format!("{step} {count}")).collect();
    report.note("- last step that was told before the cut", steps.join(", "));
    let mean = restarts.as_secs_f64() * 1000.0 / CRASHES as f64;
    report.note("- changes that had committed; mean restart", format!("{kept}; {mean:.0} ms"));
    Ok(())
}

/// How long a change takes whose version is not loaded, or is: the median of five.
async fn usual(host: &Host, keep_warm_seconds: u32) -> Result<Duration> {
    host.put(ROUTE, json!({ "keep_warm_seconds": keep_warm_seconds })).await?;
    let mut times = Vec::new();
    for nth in 0..7 {
        let edit = json!({ "stable": VERSIONS.get((nth + 1) % 2) });
        let begun = Instant::now();
        host.put(ROUTE, edit).await?;
        // With warm versions, the first two fill the places.
        if nth >= 2 {
            times.push(begun.elapsed());
        }
    }
    times.sort();
    times.get(times.len() / 2).copied().context("no change was made")
}

/// Begins a change of one of the kinds that there are, and kills the host somewhere in it.
async fn change_and_cut(host: Host, nth: usize, cold: Duration, warm: Duration) -> Result<Told> {
    if nth % 3 == 2 {
        // The version that was stable just now is warm: most of going back to it is the commit.
        let now = host.release(ROUTE).await?;
        host.put(ROUTE, json!({ "stable": other(&now), "candidate": null })).await?;
    }
    let now = host.release(ROUTE).await?;
    let before = generation(&now)?;
    let asked = asked(&now, before, nth);
    let spread = (nth / 3) as u32;
    let cut = match nth % 3 {
        // Any moment, from before it is heard of to after it is answered.
        0 => Cut { step: None, after: cold * spread / 30 },
        1 => after_step(spread),
        _ => Cut { step: None, after: warm * spread / 25 },
    };
    let mut events = Events::follow(&host).await?;
    let mut told = Told { before, asked: asked.clone(), confirmed: None, last_step: "none".into() };
    let mut answer = Box::pin(async { crate::host::whole(host.send_put(ROUTE, &asked).await?).await });
    let id = release(ROUTE);
    let mut answered = false;
    let mut deadline = cut.step.is_none().then(|| Instant::now() + cut.after);
    loop {
        let until = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        tokio::select! {
            biased;
            event = events.next() => {
                let event = event?;
                let Some(step) = event.step(&id).map(str::to_owned) else { continue };
                if step == "committed" {
                    told.confirmed = event.data.get("generation").and_then(Value::as_u64);
                }
                if Some(&*step) == cut.step {
                    deadline = Some(Instant::now() + cut.after);
                }
                told.last_step = step;
            }
            answer = &mut answer, if !answered => {
                told.confirmed = Some(generation(&answer?)?);
                answered = true;
                // There is nothing left to cut into.
                deadline = Some(Instant::now());
            }
            () = tokio::time::sleep_until(until.into()) => {
                ensure!(deadline.is_some(), "nothing was told for a minute");
                break;
            }
        }
    }
    drop(answer);
    if answered {
        told.last_step = "answered".into();
    }
    host.kill().await?;
    Ok(told)
}

/// The other version as stable, or now and then as a canary, which leaves with the next change that is none.
fn asked(now: &Value, generation: u64, nth: usize) -> Value {
    if nth.is_multiple_of(12) && now.get("candidate").is_some_and(Value::is_null) {
        json!({"expected_generation": generation, "candidate": {"bundle": other(now), "weight": 50}})
    } else {
        json!({"expected_generation": generation, "stable": other(now), "candidate": null})
    }
}

/// Every step in turn, and from there a spread of moments.
fn after_step(spread: u32) -> Cut {
    let steps = ["accepted", "verifying", "loading", "warming", "committed"];
    let step = steps.get(spread as usize % steps.len()).copied();
    Cut { step, after: Duration::from_micros(200) * (spread / steps.len() as u32) }
}

/// The version that is not stable.
fn other(release: &Value) -> &'static str {
    let stable = release.pointer("/stable/bundle").and_then(Value::as_str).unwrap_or_default();
    VERSIONS.into_iter().find(|version| *version != stable).unwrap_or_default()
}

/// Whether what serves now is what was committed: `Ok(true)` where the change had been, `Err` with what is wrong.
async fn check(host: &Host, told: &Told) -> Result<Result<bool, String>> {
    let now = host.release(ROUTE).await?;
    let at = generation(&now)?;
    let newest = host.newest(ROUTE).await?;
    let wrong = |what: &str| Ok(Err(format!("{what}: {now}; newest change: {newest}")));
    if generation(&newest)? != at {
        return wrong("the history ends with another generation");
    }
    let committed = at == told.before + 1;
    if at != told.before && !committed || told.confirmed.is_some_and(|confirmed| confirmed != at) {
        return wrong("another generation serves than was confirmed");
    }
    let stable = now.pointer("/stable/bundle").and_then(Value::as_str).unwrap_or_default();
    let candidate = now.pointer("/candidate/bundle").and_then(Value::as_str);
    if newest.get("stable").and_then(Value::as_str) != Some(stable) {
        return wrong("another version is stable than the history says");
    }
    let asked = told.asked.get("stable").and_then(Value::as_str);
    if committed && asked.is_some_and(|asked| asked != stable) {
        return wrong("the change was committed with another version");
    }
    let ask = json!({"prompt": "Once", "max_tokens": 2, "stream": true, "seed": 1});
    match tell(host.http.post(host.url("/story")).body(ask.to_string())).await {
        Ok(story) if story.header == stable || Some(&*story.header) == candidate => Ok(Ok(committed)),
        Ok(story) => wrong(&format!("{} answered", story.header)),
        Err(broken) => wrong(&format!("no story, it {broken}")),
    }
}
