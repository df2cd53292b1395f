//! What a replaced version still has to finish: it may, until its deadline, and is gone then.

use super::{MEADOW, SEA, ask, tell};
use anyhow::Context;
use bobbin_tests::{AdminEvent, AdminEvents, Result, SlowReader, TestApp, TestHost, Theme, eventually};
use futures::future::{join, try_join_all};
use serde_json::{Value, json};

const RELEASE: &str = "http:/f3/...:hostile:story";

/// A host whose component sends events so heavy that an answer waits for its reader, who has read one event of it.
/// Its release drains for a second, and keeps nothing warm.
async fn with_a_slow_reader() -> Result<(TestApp, TestHost, SlowReader)> {
    // One release, so that the version is gone when this release has let go of it.
    let app = TestApp::of_component("hostile", "/f3/...")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    host.release(RELEASE).set(json!({"drain_seconds": 1, "keep_warm_seconds": 0})).await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 200, "temperature": 0});
    let reader = host.read_slowly("/f3/pad-stream", &ask).await?;
    Ok((app, host, reader))
}

async fn until_drain(events: &mut AdminEvents, event: &str) -> Result<AdminEvent> {
    events.until_is("drain", &[("bundle", MEADOW), ("event", event)]).await?.pop().context("an event")
}

/// The old version's process is gone, and the release says so.
async fn is_gone(host: &TestHost) -> Result {
    eventually(async || Ok(host.workers_of(MEADOW)?.is_empty().then_some(()))).await?;
    let shown = eventually(async || {
        Ok(Some(host.release(RELEASE).show().await?).filter(|shown| shown["draining"] == json!([])))
    });
    let shown = shown.await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["stable"]["state"]), (&json!(SEA), &json!("ready")), "{shown}");
    assert_eq!(host.workers()?, host.workers_of(SEA)?);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_ends_in_time_ends_well_and_its_worker_is_gone_then() -> Result {
    let (_app, host, reader) = with_a_slow_reader().await?;
    host.release(RELEASE).set(json!({"stable": SEA, "drain_seconds": 60})).await?;
    let shown = host.release(RELEASE).show().await?;
    assert_eq!(
        (&shown["draining"][0]["bundle"], &shown["draining"][0]["leases"]),
        (&json!(MEADOW), &json!(1)),
        "{shown}"
    );
    assert_eq!(host.workers_of(MEADOW)?.len(), 1, "it still answers");
    let answer = reader.finish().await;
    assert!(answer.is_whole, "{:?}", answer.events);
    assert_eq!(answer.events.last().map(String::as_str), Some("[DONE]"));
    let told = until_drain(&mut host.events(Some(0)).await?, "ended").await?;
    assert_eq!(told.data["leases"], 0, "{told:?}");
    is_gone(&host).await
}

#[tokio::test]
async fn at_the_deadline_a_client_reads_an_error_that_may_be_retried() -> Result {
    let (_app, host, reader) = with_a_slow_reader().await?;
    let mut events = host.events(None).await?;
    host.release(RELEASE).swap_to(SEA).await?;
    until_drain(&mut events, "started").await?;
    until_drain(&mut events, "deadline").await?;
    let answer = reader.finish().await;
    let last: Value = serde_json::from_str(answer.events.last().context("no event")?)?;
    assert_eq!(
        (&last["error"]["code"], &last["error"]["retryable"]),
        (&json!("version_retired"), &json!(true)),
        "{last}"
    );
    assert!(last["error"]["message"].as_str().is_some_and(|message| message.contains(MEADOW)), "{last}");
    assert!(!answer.events.iter().any(|event| event == "[DONE]"), "{answer:?}");
    until_drain(&mut events, "ended").await?;
    is_gone(&host).await
}

#[tokio::test]
async fn a_guest_that_does_not_ask_again_is_cut() -> Result {
    let (_app, host, reader) = with_a_slow_reader().await?;
    let mut events = host.events(None).await?;
    host.release(RELEASE).swap_to(SEA).await?;
    // Nobody reads until it is over, so the guest waits in its own write.
    for event in ["started", "deadline", "cut", "ended"] {
        until_drain(&mut events, event).await.with_context(|| event.to_owned())?;
    }
    let answer = reader.finish().await;
    assert!(!answer.is_whole && !answer.events.iter().any(|event| event == "[DONE]"), "the answer looks whole");
    is_gone(&host).await
}

#[tokio::test]
async fn a_session_of_which_nothing_was_returned_moves_to_the_new_version() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(json!({"drain_seconds": 0, "keep_warm_seconds": 600})).await?;
    // Loaded already, so that the swap meets answers that have just begun.
    release.set(json!({"candidate": {"bundle": SEA, "weight": 0}})).await?;
    let mut long = ask(1);
    long["max_tokens"] = 200.into();
    long["temperature"] = 1.0.into();
    let asks = try_join_all((0..16).map(async |_| tell(&host, &long).await));
    let swap = async {
        host.metrics_when("all compute", |m| m.sum("bobbin_worker_running", &[("bundle", MEADOW)]) >= 4.0).await?;
        release.swap_to(SEA).await
    };
    let (stories, swapped) = join(asks, swap).await;
    swapped?;
    let stories = stories?;
    let contradictions: Vec<_> = stories.iter().filter_map(super::Story::contradiction).collect();
    assert!(contradictions.is_empty(), "{contradictions:#?}");
    let moved =
        stories.iter().filter(|story| story.header == SEA && story.voices().theme() == Some(Theme::Sea)).count();
    assert!(moved >= 4, "{moved} answers have moved: {stories:#?}");
    Ok(())
}
