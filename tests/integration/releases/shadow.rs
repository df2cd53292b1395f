//! A shadow sees the real answers, and nobody sees the shadow.

use super::{MEADOW, SEA, stream, tell};
use anyhow::Context;
use bobbin_tests::{Result, TestHost, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_shadow_records_its_agreement_and_changes_no_answer() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 60, "temperature": 0});
    let alone = tell(&host, &ask).await?;
    let shown = release.set(json!({"shadow": SEA})).await?;
    assert_eq!((&shown["shadow"]["bundle"], &shown["shadow"]["state"]), (&json!(SEA), &json!("ready")), "{shown}");
    assert_eq!(shown["agreement"]["samples"], 0, "{shown}");
    let whole = tell(&host, &ask).await?;
    let streamed = stream(&host, &ask).await?;
    for story in [&whole, &streamed] {
        assert_eq!((&story.text, story.bundle.as_str(), story.header.as_str()), (&alone.text, MEADOW, MEADOW));
        assert_eq!(story.tokens, alone.tokens);
    }
    let agreement = eventually(async || {
        let agreement = release.show().await?["agreement"].clone();
        Ok((agreement["samples"] == 2).then_some(agreement))
    });
    let agreement = agreement.await?;
    assert_eq!(
        (&agreement["shadow"], &agreement["dropped"], &agreement["failed"]),
        (&json!(SEA), &json!(0), &json!(0))
    );
    assert_eq!(agreement["same_vocabulary"], true, "{agreement}");
    // The meadow's story is less likely at sea.
    assert!(agreement["mean_logprob_difference"].as_f64().is_some_and(|d| d > 0.05), "{agreement}");
    for share in ["same_finish", "mean_length_ratio"] {
        assert!(agreement[share].as_f64().is_some_and(|share| share > 0.0), "{agreement}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_shadow_asks_for_reaches_no_client() -> Result {
    let host = TestHost::stories().start().await?;
    let mut ask = json!({"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0});
    let body = async |ask: &Value| Result::Ok(host.post_json("/story", ask).await?.text().to_owned());
    let (whole, told) = (body(&ask).await?, stream(&host, &ask).await?);
    host.release("story").set(json!({"shadow": SEA})).await?;
    assert_eq!(body(&ask).await?, whole);
    assert_eq!(stream(&host, &ask).await?.text, told.text);
    assert!(!whole.contains("logprob"), "{whole}");
    // How many tokens come in one event is a matter of time; what an event has in it is not.
    ask["stream"] = true.into();
    let events = host.stream("/story", &ask).await?.rest().await?;
    let (_done, events) = events.split_last().context("no event")?;
    for event in events {
        let event: BTreeMap<String, Value> = serde_json::from_str(event)?;
        let known = ["text", "finish_reason", "usage", "bundle"];
        assert!(event.keys().all(|key| known.contains(&key.as_str())), "{event:?}");
    }
    ask["stream"] = false.into();
    // Who asks for log-probabilities still gets them, as many as asked for.
    ask["logprobs"] = 2.into();
    let asked = body(&ask).await?;
    host.release("story").set(json!({"shadow": null})).await?;
    assert!(asked.contains("logprob"), "{asked}");
    assert_eq!(body(&ask).await?, asked);
    Ok(())
}

#[tokio::test]
async fn a_shadow_that_dies_costs_no_request() -> Result {
    let host = TestHost::stories().start().await?;
    host.release("story").set(json!({"shadow": SEA})).await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 40});
    for _ in 0..3 {
        for worker in host.workers_of(SEA)? {
            host.signal(worker, rustix::process::Signal::KILL)?;
        }
        let story = stream(&host, &ask).await?;
        assert_eq!(story.header, MEADOW);
    }
    Ok(())
}
