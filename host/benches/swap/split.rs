//! How evenly a canary's share is kept, and whether keys stay where they are.

use crate::host::Host;
use anyhow::{Context, Result, ensure};
use bobbin_tests::Report;
use futures::stream::{StreamExt, TryStreamExt};
use serde_json::json;

const ROUTE: &str = "tale";
const REQUESTS: usize = 10_000;
const WEIGHT: f64 = 12.5;
const KEYS: usize = 1000;
const AT_ONCE: usize = 16;

pub(crate) async fn measure(host: &Host, report: &mut Report) -> Result<()> {
    let canary = |weight: f64| json!({"bundle": "storyteller@1.1.0", "weight": weight});
    host.put(ROUTE, json!({"candidate": canary(WEIGHT), "sticky": "request"})).await?;
    let share = share(&sides(host, REQUESTS).await?);
    // The stricter reading: of the weight itself, not of all requests.
    let off = (share - WEIGHT).abs() / WEIGHT;
    let figure = format!("{share:.2} % of {REQUESTS}: {:.2} % of the weight off", off * 100.0);
    report.must(&format!("split at weight {WEIGHT}"), figure, "1 % of the weight", off <= 0.01);

    host.put(ROUTE, json!({"candidate": canary(10.0), "sticky": "header:x-user"})).await?;
    let first = sides(host, KEYS).await?;
    let again = sides(host, KEYS).await?;
    host.put(ROUTE, json!({ "candidate": canary(30.0) })).await?;
    let grown = sides(host, KEYS).await?;
    host.put(ROUTE, json!({"candidate": null, "sticky": "request"})).await?;
    let differ = |one: &[bool], other: &[bool], from: bool| {
        one.iter().zip(other).filter(|(one, other)| **one == from && one != other).count()
    };
    let of = format!("{KEYS} keys");
    let changed = differ(&first, &again, true) + differ(&first, &again, false);
    report.none("sticky keys that change side while the weight stands", changed, &of);
    report.none("- that leave the candidate when it grows", differ(&first, &grown, true), &of);
    let figure =
        format!("{:.1} % of keys, weight 10 to 30", differ(&first, &grown, false) as f64 / KEYS as f64 * 100.0);
    report.note("- that move to it", figure);
    Ok(())
}

/// Which of so many requests the candidate answered; each has a key of its own.
async fn sides(host: &Host, count: usize) -> Result<Vec<bool>> {
    let url = host.url("/tale");
    let ask = json!({"prompt": "Once", "max_tokens": 1}).to_string();
    let one = async |key: usize| {
        let request = host.http.post(&url).header("x-user", format!("user-{key}")).body(ask.clone());
        let answer = request.send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let bundle = answer.headers().get("bobbin-bundle").context("an answer without its version")?;
        let candidate = bundle == "storyteller@1.1.0";
        answer.bytes().await?;
        Ok(candidate)
    };
    futures::stream::iter(0..count).map(one).buffered(AT_ONCE).try_collect().await
}

fn share(sides: &[bool]) -> f64 {
    sides.iter().filter(|candidate| **candidate).count() as f64 / sides.len() as f64 * 100.0
}
