//! Components that ask a model for as much as they can, in the ways of `cargo xtask bench hostile`: each costs its own
//! request, whose memory and time are bounded, and everybody else is answered meanwhile.

#![allow(clippy::indexing_slicing, reason = "a key that is not there is null, which no comparison expects")]

use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestApp, TestHost};
use futures::future::join_all;
use serde_json::json;
use std::cell::Cell;

const MIB: u64 = 1 << 20;
const ACCOUNT: u64 = 16 * MIB;
const GUEST_MEMORY: u64 = 64 * MIB;
/// What the host needs besides, for itself and for the neighbours.
const SLACK: u64 = 32 * MIB;
/// Hostile guests at once.
const GUESTS: u64 = 2;
/// Much longer than any deadline, in milliseconds.
const WITHOUT_END: u64 = 600_000;
/// Sessions whose history a worker keeps.
const SESSIONS: u64 = 4096;

/// Limits that an attack meets soon, and a deadline that neighbours keep on a busy machine.
fn bounded() -> Result<TestApp> {
    TestApp::fixtures(&format!(
        "request_seconds = 5\ngrace_seconds = 1\nguest_cpu_seconds = 1\naccount_bytes = {ACCOUNT}\nguest_memory_bytes = {GUEST_MEMORY}"
    ))
}

#[tokio::test]
async fn giant_tensors_in_a_loop_cost_their_own_request_only() -> Result {
    costs_itself_only("giant-tensors", 4 * MIB).await
}

#[tokio::test]
async fn thousands_of_contexts_cost_their_own_request_only() -> Result {
    costs_itself_only("contexts", 5000).await
}

#[tokio::test]
async fn streams_that_are_never_read_cost_their_own_request_only() -> Result {
    costs_itself_only("never-read", 4).await
}

#[tokio::test]
async fn huge_prompts_in_a_loop_cost_their_own_request_only() -> Result {
    costs_itself_only("huge-prompts", MIB).await
}

#[tokio::test]
async fn json_bombs_in_options_cost_their_own_request_only() -> Result {
    costs_itself_only("json-bombs", 0).await
}

/// `size` is what the benchmark gives to the kind.
async fn costs_itself_only(kind: &str, size: u64) -> Result {
    let app = bounded()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    neighbours_are_answered(&host).await?;
    let memory = host.watch_memory()?;
    let attack = format!("/f3/attack/{kind}?size={size}&ms={WITHOUT_END}");
    let (over, outlasted) = (Cell::new(false), Cell::new(false));
    let attacks = async {
        let answers = join_all((0..GUESTS).map(|_| host.get(&attack))).await;
        over.set(true);
        answers
    };
    let clock = async {
        let ended = is_over_with_a_request_that_came_later(&host, &over).await;
        outlasted.set(true);
        ended
    };
    let neighbours = async {
        let mut rounds = 0;
        while !(over.get() || outlasted.get()) {
            neighbours_are_answered(&host).await.with_context(|| format!("after {rounds} rounds"))?;
            rounds += 1;
        }
        anyhow::Ok(rounds)
    };
    let (answers, clock, neighbours) = futures::join!(attacks, clock, neighbours);
    clock?;
    assert!(neighbours? > 0, "nobody asked for anything during the attack");
    for answer in answers {
        let answer = answer?;
        assert!([500, 504].contains(&answer.status()), "{}: {}", answer.status(), answer.text());
        assert!(answer.json()?["code"].is_string(), "{}", answer.text());
    }
    let grown = memory.peak_growth()?;
    assert!(grown < GUESTS * (ACCOUNT + GUEST_MEMORY) + SLACK, "the host grew by {} MiB", grown / MIB);
    nothing_is_left(&host).await?;
    // One that stops in time hears what came of it: no model takes what is too much for it.
    let told = host.get(&format!("/f3/attack/{kind}?size={size}&ms=100")).await?;
    assert_eq!(told.status(), 200, "{}", told.text());
    let outcomes = told.json()?["outcomes"].clone();
    assert!(outcomes.as_object().is_some_and(|outcomes| !outcomes.is_empty()), "{}", told.text());
    if ["giant-tensors", "huge-prompts", "json-bombs"].contains(&kind) {
        assert!(outcomes["ok"].is_null(), "a model took it: {outcomes}");
    }
    nothing_is_left(&host).await?;
    neighbours_are_answered(&host).await
}

/// Every request has the same time, and this machine's is not a clock to go by: by the time that a later request, which only
/// sleeps, has come to its deadline, and neighbours were answered after that, the attacks must be over.
async fn is_over_with_a_request_that_came_later(host: &TestHost, over: &Cell<bool>) -> Result {
    neighbours_are_answered(host).await?;
    let slept = host.get(&format!("/f3/sleep?ms={WITHOUT_END}")).await?;
    ensure!(slept.status() == 504 && slept.json()?["code"] == "deadline_exceeded", "{}", slept.text());
    neighbours_are_answered(host).await?;
    ensure!(over.get(), "an attack goes on after its deadline");
    Ok(())
}

/// A neighbour without a model, and one with the same model.
async fn neighbours_are_answered(host: &TestHost) -> Result {
    let hello = host.get("/hello").await?;
    ensure!(hello.status() == 200 && hello.text() == "Hello from a component!\n", "{}", hello.text());
    // Without its end-of-text token the model tells as many tokens as it may.
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 8, "logit_bias": {"2": -100}});
    let story = host.post_json("/story", &ask).await?;
    ensure!(story.status() == 200, "{}: {}", story.status(), story.text());
    ensure!(story.header("bobbin-bundle") == Some("storyteller@1.0.0"), "{:?}", story.headers());
    let told = story.json()?;
    ensure!(told["finish_reason"] == "length" && told["usage"]["output_tokens"] == 8, "{told}");
    ensure!(told["text"].as_str().is_some_and(|text| !text.is_empty()), "{told}");
    Ok(())
}

async fn nothing_is_left(host: &TestHost) -> Result {
    let left = [
        "bobbin_http_requests_in_flight",
        "bobbin_worker_sequences",
        "bobbin_worker_running",
        "bobbin_worker_waiting",
        "bobbin_worker_paused",
        "bobbin_worker_cells_reserved",
    ];
    let metrics = host.metrics_when("nothing is left of the attacks", |m| m.are_zero(&left)).await?;
    ensure!(metrics.sum("bobbin_worker_restarts_total", &[]) == 0.0, "a worker died of the attacks: {metrics}");
    Ok(())
}

#[tokio::test]
async fn sessions_that_computed_are_bounded_in_their_worker_and_end_with_their_request() -> Result {
    let host = TestHost::fixtures().start().await?;
    let answer = host.get(&format!("/f3/sessions?count={}&tokens=1", SESSIONS + 100)).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let opened = answer.json()?;
    assert_eq!((&opened["opened"], &opened["refused"]["reason"]), (&json!(SESSIONS), &json!("queue_full")), "{opened}");
    nothing_is_left(&host).await?;
    // The worker has forgotten them: else it would refuse the first of these.
    let answer = host.get("/f3/sessions?count=100&tokens=1").await?;
    let opened = answer.json()?;
    assert_eq!((&opened["opened"], opened["refused"].is_null()), (&json!(100), true), "{opened}");
    neighbours_are_answered(&host).await
}
