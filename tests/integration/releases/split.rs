//! Shares of requests: as large as they were set, and always the same ones.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestHost};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Asks many times at once, over connections that stay open; returns how many each header was answered by SEA.
async fn taken_by_the_candidate(host: &TestHost, asks: &[(&'static str, String)]) -> Result<BTreeSet<usize>> {
    const LANES: usize = 16;
    let client = bobbin_tests::http().build()?;
    let url = format!("http://{}/story", host.app_addr());
    let one = async |(name, value): &(&'static str, String)| {
        let response = client.post(&url).header(*name, value).body(ask_least().to_string()).send().await?;
        let (status, header) = (response.status(), response.headers().get("bobbin-bundle").cloned());
        let body = response.text().await?;
        ensure!(status == 200, "{status}: {body}");
        let header = header.context("no header")?;
        ensure!(header == MEADOW || header == SEA, "{header:?}");
        Result::Ok(header == SEA)
    };
    let lane = async |lane: usize| {
        let mut taken = BTreeSet::new();
        for (number, ask) in asks.iter().enumerate().skip(lane).step_by(LANES) {
            if one(ask).await? {
                taken.insert(number);
            }
        }
        Result::Ok(taken)
    };
    Ok(try_join_all((0..LANES).map(lane)).await?.into_iter().flatten().collect())
}

fn canary(weight: f64) -> Value {
    json!({"candidate": {"bundle": SEA, "weight": weight}})
}

#[tokio::test]
async fn ten_thousand_requests_split_within_one_percent_of_the_weight() -> Result {
    let host = TestHost::stories().start().await?;
    host.release("story").set(canary(12.5)).await?;
    let asks: Vec<_> = (0..10_000).map(|number| ("x-number", number.to_string())).collect();
    let taken = taken_by_the_candidate(&host, &asks).await?.len();
    assert!(taken.abs_diff(1250) <= 100, "{taken} of 10000 at 12.5 %");
    Ok(())
}

#[tokio::test]
async fn a_sticky_key_never_changes_side_and_growth_moves_keys_one_way() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    let mut edit = canary(20.0);
    edit["sticky"] = "header:x-user".into();
    release.set(edit).await?;
    let asks: Vec<_> = (0..500).map(|user| ("x-user", format!("user {user}"))).collect();
    let first = taken_by_the_candidate(&host, &asks).await?;
    assert!(first.len().abs_diff(100) <= 40, "{} of 500 users at 20 %", first.len());
    // Whatever else changes: not the side.
    release.set(json!({"drain_seconds": 7})).await?;
    assert_eq!(taken_by_the_candidate(&host, &asks).await?, first, "a key has changed side");
    release.set(canary(60.0)).await?;
    let more = taken_by_the_candidate(&host, &asks).await?;
    assert!(first.is_subset(&more), "{:?} went back to stable", first.difference(&more));
    assert!(more.len().abs_diff(300) <= 50, "{} of 500 users at 60 %", more.len());
    release.set(canary(20.0)).await?;
    assert_eq!(taken_by_the_candidate(&host, &asks).await?, first, "with the weight, the sides came back");
    Ok(())
}

#[tokio::test]
async fn a_tester_chooses_a_version_where_the_release_allows_it() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(canary(0.0)).await?;
    let chosen = async |word: &str| {
        let asks = vec![("bobbin-version", word.to_owned()); 8];
        Result::Ok(taken_by_the_candidate(&host, &asks).await?.len())
    };
    assert_eq!(chosen("candidate").await?, 0, "the release does not allow it");
    release.set(json!({"version_header": true})).await?;
    for (word, taken) in [("candidate", 8), (SEA, 8), ("1.1.0", 8), ("stable", 0), (MEADOW, 0), ("2.0.0", 0)] {
        assert_eq!(chosen(word).await?, taken, "{word}");
    }
    release.set(canary(100.0)).await?;
    assert_eq!(chosen("stable").await?, 0);
    assert_eq!(tell(&host, &ask_least()).await?.header, SEA);
    Ok(())
}
