//! Bundles that appear in the repository of a running host.

use super::{SEA, ask_least, tell};
use anyhow::Context;
use bobbin_tests::{Result, TestApp, TestHost};
use serde_json::{Value, json};
use std::fs;

async fn listed(host: &TestHost, bundle: &str) -> Result<Option<Value>> {
    Ok(host.bundles().await?.into_iter().find(|listed| listed["bundle"] == bundle))
}

#[tokio::test]
async fn a_bundle_that_appears_is_verified_listed_and_can_be_released() -> Result {
    let app = TestApp::stories("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let mut events = host.events(None).await?;
    app.publish("1.2.0", "1.1.0", |_, manifest| manifest)?;
    events.until_is("bundle", &[("bundle", "storyteller@1.2.0"), ("event", "appeared")]).await?;
    events.until_is("bundle", &[("bundle", "storyteller@1.2.0"), ("event", "verified")]).await?;
    let bundle = listed(&host, "storyteller@1.2.0").await?.context("it is not listed")?;
    assert_eq!((&bundle["state"], &bundle["kind"]), (&json!("available"), &json!("generate")), "{bundle}");
    assert!(bundle["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{bundle}");
    assert!(bundle["size"].as_u64().is_some_and(|size| size > 1_000_000), "{bundle}");
    assert_eq!((&bundle["licence"], &bundle["releases"]), (&json!("Apache-2.0"), &json!([])), "{bundle}");
    host.release("story").swap_to("storyteller@1.2.0").await?;
    assert_eq!(tell(&host, &ask_least()).await?.header, "storyteller@1.2.0");
    let bundle = listed(&host, "storyteller@1.2.0").await?.context("it is not listed")?;
    assert_eq!((&bundle["state"], &bundle["releases"]), (&json!("ready"), &json!(["http:/story:storyteller:story"])));
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_is_being_written_is_not_there_yet() -> Result {
    let app = TestApp::stories("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let mut events = host.events(None).await?;
    let whole = app.bundle("storyteller", "1.1.0");
    let hidden = whole.with_file_name(".incoming");
    fs::create_dir(&hidden)?;
    fs::copy(whole.join("bundle.toml"), hidden.join("bundle.toml"))?;
    fs::write(hidden.join("storyteller-q8_0.gguf"), b"half of it")?;
    let before = host.bundles().await?;
    assert_eq!(before.len(), 2, "{before:#?}");
    // A later one is seen, and the hidden one was not.
    app.publish("1.3.0", "1.1.0", |_, manifest| manifest)?;
    let told = events.until_is("bundle", &[("bundle", "storyteller@1.3.0"), ("event", "verified")]).await?;
    let others: Vec<_> =
        told.iter().filter(|event| event.kind == "bundle" && event.data["bundle"] != "storyteller@1.3.0").collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(host.bundles().await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_is_broken_is_listed_with_why_and_one_that_goes_is_listed_no_more() -> Result {
    let app = TestApp::stories("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let mut events = host.events(None).await?;
    let folder = app.publish("1.2.0", "1.1.0", |_, manifest| manifest.replace("sha256 = \"c", "sha256 = \"d"))?;
    let told = events.until_is("bundle", &[("bundle", "storyteller@1.2.0"), ("event", "refused")]).await?;
    let reason = told.last().context("an event")?.data["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("storyteller-q8_0.gguf")), "{reason}");
    let bundle = listed(&host, "storyteller@1.2.0").await?.context("it is not listed")?;
    assert_eq!((&bundle["state"], &bundle["reason"]), (&json!("failed"), &reason), "{bundle}");
    fs::remove_dir_all(folder)?;
    events.until_is("bundle", &[("bundle", "storyteller@1.2.0"), ("event", "removed")]).await?;
    assert!(listed(&host, "storyteller@1.2.0").await?.is_none());
    assert!(listed(&host, SEA).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_listener_that_was_away_continues_where_it_left_off() -> Result {
    let host = TestHost::stories().start().await?;
    let mut events = host.events(None).await?;
    let release = host.release("story");
    release.set(json!({"drain_seconds": 1})).await?;
    let last = events.until_is("release", &[]).await?.pop().context("an event")?;
    assert_eq!((&last.data["generation"], &last.data["drain_seconds"]), (&json!(2), &json!(1)), "{last:?}");
    drop(events);
    release.set(json!({"drain_seconds": 2})).await?;
    release.set(json!({"drain_seconds": 3})).await?;
    let mut events = host.events(Some(last.id)).await?;
    let missed = events.until(|event| event.kind == "release" && event.data["generation"] == 4).await?;
    let numbers: Vec<u64> = missed.iter().map(|event| event.id).collect();
    let expected: Vec<u64> = (last.id + 1..=last.id + missed.len() as u64).collect();
    assert_eq!(numbers, expected);
    let drains: Vec<_> =
        missed.iter().filter(|event| event.kind == "release").map(|event| &event.data["drain_seconds"]).collect();
    assert_eq!(drains, [2, 3]);
    Ok(())
}
