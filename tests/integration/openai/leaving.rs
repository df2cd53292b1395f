//! Clients that leave, clients that stop reading, and answers that break off.

use super::{CHAT, chat, example};
use anyhow::Context;
use bobbin_tests::{Metrics, PublicApi, Result, TestApp, TestHost};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::cell::Cell;

#[tokio::test]
async fn a_client_that_leaves_mid_stream_ends_every_choice_of_its_answer() -> Result {
    let host = example().await?;
    // Without its end-of-text token the model tells as many tokens as it may.
    let body = chat(&json!({ "n": 128, "max_tokens": 200, "logit_bias": { "2": -100 }, "stream": true }));
    let mut events = host.stream(CHAT, &body).await?;
    events.next_json().await?;
    drop(events);
    let metrics = host
        .metrics_when("nothing is left of it", |m| {
            m.sum("bobbin_worker_sequences", &[]) == 0.0 && m.sum("bobbin_http_requests_in_flight", &[]) == 0.0
        })
        .await?;
    // Of 128 stories hardly any was begun.
    assert!(metrics.sum("bobbin_inferences_total", &[]) < 20.0, "{metrics}");
    assert_eq!(host.post_json(CHAT, &chat(&json!({ "max_tokens": 2 }))).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_client_that_stops_reading_pauses_its_own_answer_and_no_other() -> Result {
    let host = example().await?;
    // Log-probabilities make much to read of few tokens.
    let body = chat(&json!({
        "n": 128, "max_tokens": 200, "logit_bias": { "2": -100 }, "stream": true, "logprobs": true, "top_logprobs": 20,
    }));
    let slow = host.read_slowly(CHAT, &body).await?;
    // Its sequence is paused, or has told a whole choice that nobody takes: which of the two is a matter of how much the
    // connection holds. Either way nothing is computed any more.
    let (steps, still) = (Cell::new(-1.0), Cell::new(0));
    let halted = |m: &Metrics| {
        let now = m.sum("bobbin_worker_steps_total", &[]);
        still.set(if steps.replace(now) == now && now > 0.0 { still.get() + 1 } else { 0 });
        still.get() >= 20
    };
    host.metrics_when("nothing of it is computed any more", halted).await?;
    let before = host.metrics().await?.sum("bobbin_inferences_total", &[]);
    for _ in 0..10 {
        let other = host.post_json(CHAT, &chat(&json!({ "max_tokens": 20 }))).await?;
        assert_eq!(other.status(), 200, "{}", other.text());
    }
    let metrics =
        host.metrics_when("the others are counted", |m| m.sum("bobbin_inferences_total", &[]) >= before + 10.0).await?;
    let in_flight = metrics.sum("bobbin_http_requests_in_flight", &[]);
    assert_eq!((in_flight, metrics.sum("bobbin_inferences_total", &[])), (1.0, before + 10.0), "it went on");
    drop(slow);
    host.metrics_when("nothing is left of it", |m| m.sum("bobbin_worker_sequences", &[]) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_an_error_and_never_with_done() -> Result {
    let (api, app) = (PublicApi::read()?, TestApp::openai("")?);
    let host = TestHost::of(&app.manifest()).start().await?;
    let body = chat(&json!({ "n": 128, "max_tokens": 200, "logit_bias": { "2": -100 }, "stream": true }));
    let mut events = host.stream(CHAT, &body).await?;
    events.next_json().await?;
    for worker in host.workers()? {
        host.signal(worker, Signal::KILL)?;
    }
    let rest = events.rest().await?;
    let (last, before) = rest.split_last().context("an event")?;
    let error: Value = serde_json::from_str(last)?;
    api.check("error", &error)?;
    assert_eq!((&error["error"]["type"], &error["error"]["code"]), (&json!("server_error"), &json!("worker_lost")));
    for chunk in before {
        api.check("chat.completion.chunk", &serde_json::from_str(chunk)?)?;
    }
    // The next one is answered by the worker that takes its place.
    bobbin_tests::eventually(async || {
        let again = host.post_json(CHAT, &chat(&json!({ "max_tokens": 2 }))).await?;
        Ok((again.status() == 200).then_some(()))
    })
    .await?;
    Ok(())
}
