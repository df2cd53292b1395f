//! Whether memory comes back: a hundred swaps, each of which loads a worker and ends another.

use crate::host::Host;
use crate::stories::load;
use anyhow::{Result, ensure};
use bobbin_tests::{Report, tell};
use serde_json::json;
use std::time::Duration;

const ROUTE: &str = "story";
/// The bound is on the first hundred; the others tell a leak from caches that fill.
const HUNDREDS: usize = 3;

pub(crate) async fn measure(host: &Host, report: &mut Report) -> Result<()> {
    host.put(ROUTE, json!({"keep_warm_seconds": 0})).await?;
    // The first load fills what is filled once, such as the memory of threads that have not run before.
    after_load(host).await?;
    let before = after_load(host).await?;
    let mut hundreds = Vec::new();
    for _ in 0..HUNDREDS {
        swap(host).await?;
        hundreds.push(after_load(host).await?);
    }
    let Some(&after) = hundreds.first() else { return Ok(()) };
    let ratio = (after.0 + after.1) as f64 / (before.0 + before.1) as f64;
    let worker = format!("the worker {:.1} / {:.1} MiB", mib(after.1), mib(before.1));
    let figure = format!("{ratio:.3}; {worker}");
    report.must("resident memory after 100 cold swaps / before", figure, "<= 1.05", ratio <= 1.05);
    let ratio = after.0 as f64 / before.0 as f64;
    report.must("- of the host alone", format!("{ratio:.3}"), "<= 1.05", ratio <= 1.05);
    let all: Vec<_> = [before].iter().chain(&hundreds).map(|(host, _)| format!("{:.1}", mib(*host))).collect();
    report.note("- the host in MiB: before, and after each hundred swaps", all.join(", "));
    Ok(())
}

/// A hundred swaps, after each of which the new version answers.
async fn swap(host: &Host) -> Result<()> {
    for nth in 0..100 {
        let stable = if nth % 2 == 0 { "storyteller@1.1.0" } else { "storyteller@1.0.0" };
        host.put(ROUTE, json!({ "stable": stable })).await?;
        let ask = json!({"prompt": "Once", "max_tokens": 8, "stream": true, "seed": nth});
        match tell(host.http.post(host.url("/story")).body(ask.to_string())).await {
            Ok(story) => ensure!(story.header == stable, "{} answered for {stable}", story.header),
            Err(broken) => anyhow::bail!("after swap {nth}: {broken}"),
        }
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// At rest, after the same load: sixteen streams for a second. One worker runs, or this never returns.
async fn after_load(host: &Host) -> Result<(u64, u64)> {
    let stories = load(host, "/story", 16, 128);
    tokio::time::sleep(Duration::from_secs(1)).await;
    stories.stop().await?;
    host.at_rest(ROUTE, 1).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (own, workers) = host.resident()?;
    Ok((own, workers.iter().sum()))
}
