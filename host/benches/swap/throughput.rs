//! What a second version costs: all tokens of all streams, with one version and with two.

use crate::host::Host;
use crate::stories::load;
use anyhow::Result;
use bobbin_tests::{Report, rate, refuse_broken};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const STREAMS: u64 = 16;
const ROUNDS: usize = 4;
/// From a change until what it began has settled: stories of the old split end, a worker's caches are warm.
const SETTLE: Duration = Duration::from_millis(1200);
const WINDOW: Duration = Duration::from_secs(4);

/// A pair of versions to compare.
struct Pair<'a> {
    route: &'a str,
    candidate: &'a str,
    max_tokens: u32,
}

/// Tokens per second by round, of one version and of two.
struct Rates {
    one: Vec<f64>,
    two: Vec<f64>,
}

impl Rates {
    fn ratio(&self) -> f64 {
        self.two.iter().sum::<f64>() / self.one.iter().sum::<f64>()
    }

    fn shown(&self) -> String {
        let list = |rates: &[f64]| rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ");
        format!("one: {} / two: {}", list(&self.one), list(&self.two))
    }
}

/// Measures the storytellers, which have a bound.
pub(crate) async fn storytellers(host: &Host, report: &mut Report) -> Result<()> {
    let pair = Pair { route: "story", candidate: "storyteller@1.1.0", max_tokens: 128 };
    let rates = measure(host, &pair).await?;
    let ratio = rates.ratio();
    report.must("two versions under load, tokens/s of one", format!("{ratio:.2}"), ">= 0.8", ratio >= 0.8);
    report.note("- tokens/s by round, 16 streams", rates.shown());
    Ok(())
}

/// Measures a model of noise whose matrices are most of its work, as they are in larger models and are not in the
/// storytellers.
pub(crate) async fn matrices(host: &Host, report: &mut Report) -> Result<()> {
    host.put("tale", json!({"stable": "noise@1.0.0", "keep_warm_seconds": 0})).await?;
    let pair = Pair { route: "tale", candidate: "noise@1.1.0", max_tokens: 64 };
    let rates = measure(host, &pair).await?;
    let ratio = rates.ratio();
    let what = "- the same with a model of 38 million weights";
    report.must(what, format!("{ratio:.2}"), ">= 0.8", ratio >= 0.8);
    report.note("- tokens/s by round, 16 streams", rates.shown());
    Ok(())
}

async fn measure(host: &Host, pair: &Pair<'_>) -> Result<Rates> {
    let stories = load(host, &format!("/{}", pair.route), STREAMS, pair.max_tokens);
    let mut windows = Vec::new();
    for round in 0..ROUNDS {
        // The order alternates, so that a machine that grows slower or faster favours neither.
        let order = if round % 2 == 0 { [false, true] } else { [true, false] };
        for two in order {
            let candidate = json!({"bundle": pair.candidate, "weight": 50});
            let candidate = if two { candidate } else { Value::Null };
            host.put(pair.route, json!({ "candidate": candidate })).await?;
            tokio::time::sleep(SETTLE).await;
            let from = Instant::now();
            tokio::time::sleep(WINDOW).await;
            windows.push((two, from, Instant::now()));
        }
    }
    let told = stories.stop().await?;
    host.put(pair.route, json!({ "candidate": null })).await?;
    refuse_broken(&told)?;
    let rates = |wanted: bool| {
        let windows = windows.iter().filter(|(two, ..)| *two == wanted);
        windows.map(|(_, from, to)| rate(&told, *from, *to)).collect()
    };
    Ok(Rates { one: rates(false), two: rates(true) })
}
