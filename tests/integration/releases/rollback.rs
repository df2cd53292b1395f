//! One step back: at once while the previous version is warm.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::Context;
use bobbin_tests::{AdminEvent, Result, TestApp, TestHost, eventually};
use futures::future::join;
use serde_json::{Value, json};

fn loads(events: &[AdminEvent]) -> bool {
    events.iter().any(|event| event.is("version", &[("state", "loading")]))
}

#[tokio::test]
async fn a_warm_rollback_loads_nothing_and_is_seen_within_a_millisecond() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    let shown = release.swap_to(SEA).await?;
    assert_eq!(
        (&shown["previous"]["bundle"], &shown["previous"]["state"]),
        (&json!(MEADOW), &json!("ready")),
        "{shown}"
    );
    assert!(shown["previous"]["warm_until"].is_string(), "{shown}");
    let mut events = host.events(None).await?;
    let shown = release.make("rollback").await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["previous"]["bundle"]), (&json!(MEADOW), &json!(SEA)), "{shown}");
    assert_eq!(shown["changed"]["action"], "rollback", "{shown}");
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    let told = events.until_is("change", &[("step", "committed")]).await?;
    assert!(!loads(&told), "{told:#?}");
    let committed = told.last().context("an event")?;
    let flip = committed.data["flip_us"].as_f64().context("no flip_us")?;
    assert!(flip < 1000.0, "requests saw it after {flip} us");
    assert_eq!((&committed.data["generation"], &committed.data["bundle"]), (&json!(3), &json!(MEADOW)));
    Ok(())
}

#[tokio::test]
async fn a_previous_version_cools_in_time_and_a_rollback_loads_it_again() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(json!({"stable": SEA, "keep_warm_seconds": 1})).await?;
    assert_eq!(host.workers_of(MEADOW)?.len(), 1, "it is kept warm");
    eventually(async || Ok(host.workers_of(MEADOW)?.is_empty().then_some(()))).await?;
    let shown = release.show().await?;
    assert_eq!((&shown["generation"], &shown["previous"]["bundle"]), (&json!(2), &json!(MEADOW)), "{shown}");
    assert_eq!((&shown["previous"]["state"], &shown["previous"]["warm_until"]), (&json!("available"), &Value::Null));
    let mut events = host.events(None).await?;
    let shown = release.make("rollback").await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["stable"]["state"]), (&json!(MEADOW), &json!("ready")), "{shown}");
    assert!(loads(&events.until_is("change", &[("step", "committed")]).await?));
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    Ok(())
}

#[tokio::test]
async fn a_rollback_ends_a_canary_and_a_promotion_is_undone_by_it() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(json!({"candidate": {"bundle": SEA, "weight": 50}})).await?;
    let shown = release.make("promote").await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["candidate"]), (&json!(SEA), &Value::Null), "{shown}");
    let shown = release.make("rollback").await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["candidate"]), (&json!(MEADOW), &Value::Null), "{shown}");
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    let actions: Vec<_> = release.history().await?.iter().map(|change| change["action"].clone()).collect();
    assert_eq!(actions, ["rollback", "promote", "put", "declared"]);
    Ok(())
}

#[tokio::test]
async fn a_rollback_overtakes_a_change_that_is_under_way() -> Result {
    // So large that it is being verified for as long as the test needs.
    let app = TestApp::stories("")?;
    app.add_hollow_bundle("hollow", "1.0.0", 3 << 30)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let release = host.release("story");
    release.swap_to(SEA).await?;
    let mut events = host.events(None).await?;
    let rollback = async {
        events.until_is("progress", &[("bundle", "hollow@1.0.0")]).await?;
        release.make("rollback").await
    };
    let (overtaken, shown) = join(release.try_set(json!({"stable": "hollow@1.0.0"})), rollback).await;
    let (overtaken, shown) = (overtaken?, shown?);
    assert_eq!((&shown["stable"]["bundle"], &shown["generation"]), (&json!(MEADOW), &json!(3)), "{shown}");
    let code = overtaken.json()?["code"].clone();
    assert_eq!((overtaken.status(), code), (409, json!("superseded")), "{}", overtaken.text());
    let shown = release.show().await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["pending"]), (&json!(MEADOW), &Value::Null), "{shown}");
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    Ok(())
}
