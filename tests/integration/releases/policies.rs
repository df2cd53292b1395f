//! Memory for one version only: what happens first, and what is refused.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::Context;
use bobbin_tests::{AdminEvent, Result, TestApp, TestHost, eventually};
use serde_json::{Value, json};

/// A host with room for nothing, which has found that out.
async fn without_room() -> Result<TestHost> {
    let host = TestHost::stories().arg("--model-memory").arg("1").start_unready().await?;
    let failed = async || Ok((host.release("story").show().await?["stable"]["state"] == "failed").then_some(()));
    eventually(failed).await?;
    Ok(host)
}

/// What one version of the storyteller needs, in bytes, as a host says that has less.
pub(super) async fn need() -> Result<u64> {
    let shown = without_room().await?.release("story").show().await?;
    let reason = shown["stable"]["reason"].as_str().context("no reason")?.to_owned();
    let need = reason.split_once("needs ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    need.with_context(|| reason)
}

#[tokio::test]
async fn a_host_without_room_starts_without_its_model_and_says_why() -> Result {
    let host = without_room().await?;
    assert!(host.workers()?.is_empty());
    let ready = host.admin("/readyz").await?;
    assert!(ready.status() == 503 && ready.text().contains("at most 1 can be had"), "{}", ready.text());
    // What needs no model is served.
    assert_eq!(host.get("/hello").await?.status(), 200);
    // A version that fits no better is refused, and one that is asked for again too.
    for stable in [SEA, MEADOW] {
        let answer = host.release("story").try_set(json!({"stable": stable})).await?;
        assert_eq!(answer.status(), 422, "{}", answer.text());
        assert!(answer.text().contains("at most 1 can be had"), "{}", answer.text());
    }
    assert!(host.workers()?.is_empty());
    Ok(())
}

/// A host with room for one version and a half.
async fn with_room_for_one(app: &TestApp) -> Result<TestHost> {
    // A worker may have more resident than was calculated; what it has counts then.
    let room = need().await? * 3 / 2;
    TestHost::of(&app.manifest()).arg("--model-memory").arg(&room.to_string()).start().await
}

/// The order of what happened to workers and to the change: `bundle state`, and `step`.
fn plot(events: &[AdminEvent]) -> Vec<String> {
    let line = |event: &AdminEvent| {
        let text = |key: &str| event.data[key].as_str().unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "version" => Some(format!("{} {}", text("bundle"), text("state"))),
            "change" => Some(text("step")),
            _ => None,
        }
    };
    events.iter().filter_map(line).collect()
}

/// The most workers there were at any time, by the events of their lives.
fn most_workers_at_once(events: &[AdminEvent]) -> usize {
    let mut alive = std::collections::BTreeSet::from([MEADOW.to_owned()]);
    let mut most = 1;
    for event in events.iter().filter(|event| event.kind == "version") {
        let bundle = event.data["bundle"].as_str().unwrap_or_default().to_owned();
        match event.data["state"].as_str() {
            Some("loading" | "warming" | "ready") => drop(alive.insert(bundle)),
            // A worker whose process has ended.
            Some("available") => drop(alive.remove(&bundle)),
            _ => {}
        }
        most = most.max(alive.len());
    }
    most
}

#[tokio::test]
async fn auto_retires_first_where_there_is_room_for_one() -> Result {
    let app = TestApp::stories("")?;
    let host = with_room_for_one(&app).await?;
    let mut events = host.events(None).await?;
    let shown = host.release("story").swap_to(SEA).await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["stable"]["state"]), (&json!(SEA), &json!("ready")), "{shown}");
    let told = events.until_is("change", &[("step", "committed")]).await?;
    assert_eq!(most_workers_at_once(&told), 1, "{:#?}", plot(&told));
    assert_eq!(host.workers()?.len(), 1);
    assert_eq!(tell(&host, &ask_least()).await?.header, SEA);
    Ok(())
}

#[tokio::test]
async fn availability_is_refused_where_there_is_room_for_one_and_says_what_helps() -> Result {
    let app = TestApp::stories("")?;
    let host = with_room_for_one(&app).await?;
    let answer = host.release("story").try_set(json!({"stable": SEA, "policy": "availability"})).await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (422, Some("does_not_fit")), "{}", answer.text());
    assert!(answer.text().contains("resource"), "{}", answer.text());
    assert_eq!((host.workers_of(MEADOW)?.len(), host.workers_of(SEA)?.len()), (1, 0));
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    Ok(())
}

#[tokio::test]
async fn resource_never_has_two_workers_at_once() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    let mut events = host.events(None).await?;
    release.set(json!({"policy": "resource"})).await?;
    for bundle in [SEA, MEADOW, SEA] {
        release.swap_to(bundle).await?;
    }
    let told = events.until_is("release", &[("stable", SEA)]).await?;
    let told: Vec<_> = told.into_iter().chain(events.until_is("release", &[("stable", MEADOW)]).await?).collect();
    assert_eq!(most_workers_at_once(&told), 1, "{:#?}", plot(&told));
    assert_eq!(host.workers()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_old_version_that_retired_for_one_that_fails_comes_back() -> Result {
    let app = TestApp::stories("")?;
    app.publish("1.2.0", "1.1.0", |_, manifest| manifest.replace("logprobs = [-1.", "logprobs = [-91."))?;
    let host = with_room_for_one(&app).await?;
    let release = host.release("story");
    let mut events = host.events(None).await?;
    let answer = release.try_set(json!({"stable": "storyteller@1.2.0"})).await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (422, Some("version_failed")), "{}", answer.text());
    let told = events.until_is("version", &[("bundle", MEADOW), ("state", "ready")]).await?;
    assert_eq!(most_workers_at_once(&told), 1, "{:#?}", plot(&told));
    let shown = release.show().await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["generation"]), (&json!(MEADOW), &json!(1)), "{shown}");
    assert_eq!((&shown["stable"]["state"], &shown["pending"]), (&json!("ready"), &Value::Null), "{shown}");
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    Ok(())
}
