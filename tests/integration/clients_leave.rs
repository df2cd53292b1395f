//! Clients that vanish: their sequences are freed at the next step.

use anyhow::ensure;
use bobbin_tests::{Metrics, RawConnection, Result, TestHost};
use futures::future::try_join_all;
use serde_json::{Value, json};

const IN_FLIGHT: &str = "bobbin_http_requests_in_flight";

/// Clients that leave, and how many are there at once.
const CLIENTS: usize = 1_000;
const AT_ONCE: usize = 20;

#[tokio::test]
async fn a_client_that_leaves_mid_stream_frees_its_sequence() -> Result {
    let host = TestHost::stories().start().await?;
    for round in 1..=5 {
        let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "stream": true, "temperature": 1.5});
        let mut events = host.stream("/story", &ask).await?;
        events.next_json().await?;
        drop(events);
        host.metrics_when("no sequence is left", |m| {
            m.sum("bobbin_worker_sequences", &[]) == 0.0 && m.sum(IN_FLIGHT, &[]) == 0.0
        })
        .await?;
        let metrics = host.metrics().await?;
        assert_eq!(metrics.sum("bobbin_inferences_total", &[]), f64::from(round), "{metrics}");
    }
    let metrics = host.metrics().await?;
    let given_up = metrics.sum("bobbin_inferences_total", &[("outcome", "cancelled")]);
    assert!(given_up >= 1.0, "no story was given up: {metrics}");
    Ok(())
}

#[tokio::test]
async fn of_a_thousand_clients_that_leave_none_leaves_anything_behind() -> Result {
    let host = TestHost::fixtures().start().await?;
    // Without its end-of-text token the model tells as many tokens as it may: more than it may be ahead of a client that has
    // read no more than the head, and whose events are too heavy for all buffers together. However slow this machine is,
    // each of them leaves in the middle of its answer.
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "logit_bias": {"2": -100}}).to_string();
    let in_flight = |m: &Metrics| m.sum(IN_FLIGHT, &[]);
    for _ in 0..CLIENTS / AT_ONCE {
        let clients = try_join_all((0..AT_ONCE).map(|_| that_is_being_told(&host, &ask))).await?;
        drop(clients);
        // The next ones come while the last ones go, but are not refused for them.
        host.metrics_when("most of them are gone", |m| in_flight(m) <= AT_ONCE as f64).await?;
    }
    let cancelled = |m: &Metrics| m.sum("bobbin_worker_cancelled_total", &[]);
    let metrics = host
        .metrics_when("each was given up, and nothing is left of them", |m| {
            let left = ["bobbin_worker_sequences", "bobbin_worker_cells_reserved", "bobbin_worker_waiting", IN_FLIGHT];
            m.are_zero(&left) && cancelled(m) >= CLIENTS as f64
        })
        .await?;
    assert_eq!(cancelled(&metrics), CLIENTS as f64, "{metrics}");
    for labels in [&[][..], &[("outcome", "cancelled")]] {
        assert_eq!(metrics.sum("bobbin_inferences_total", labels), CLIENTS as f64, "{labels:?}: {metrics}");
    }
    assert_eq!(metrics.sum("bobbin_worker_restarts_total", &[]), 0.0);
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}

/// A client whose answer has begun.
async fn that_is_being_told(host: &TestHost, ask: &str) -> Result<RawConnection> {
    let mut client = host.connect().await?;
    client.post("/f3/pad-stream", ask).await?;
    ensure!(client.read_until("200 OK").await?, "no answer began: {}", client.text());
    Ok(client)
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_frees_its_sequence() -> Result {
    let host = TestHost::stories().start().await?;
    // Without "stream" the head comes with the whole answer, so this client leaves before it.
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "temperature": 1.5}).to_string();
    for _ in 0..20 {
        let mut connection = host.connect().await?;
        connection.post("/story", &ask).await?;
        host.metrics_when("the request is in flight, or was", |m| {
            m.sum(IN_FLIGHT, &[]) + m.sum("bobbin_inferences_total", &[]) > 0.0
        })
        .await?;
        drop(connection);
        let metrics =
            host.metrics_when("nothing is left of it", |m| m.are_zero(&["bobbin_worker_sequences", IN_FLIGHT])).await?;
        if metrics.sum("bobbin_worker_cancelled_total", &[]) > 0.0 {
            return Ok(());
        }
    }
    panic!("no compute was ever given up");
}

#[tokio::test]
async fn a_client_that_leaves_a_guest_at_work_ends_the_guest() -> Result {
    let host = TestHost::fixtures().start().await?;
    for path in ["/f3/loop", "/f2/loop", "/f3/sleep?ms=600000", "/f3/loop-after-pieces", "/f2/loop-after-pieces"] {
        let mut connection = host.connect().await?;
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await?;
        host.metrics_when("the request is in flight", |m| m.sum(IN_FLIGHT, &[]) == 1.0).await?;
        drop(connection);
        host.metrics_when("the guest has ended", |m| m.sum(IN_FLIGHT, &[]) == 0.0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_pauses_its_own_sequence_only() -> Result {
    let host = TestHost::fixtures().start().await?;
    // Without its end-of-text token the model tells as many tokens as it may.
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 200, "logit_bias": {"2": -100}});
    let mut slow = host.stream("/f3/pad-stream", &ask).await?;
    let paused = |m: &Metrics| m.sum("bobbin_worker_paused", &[]);
    host.metrics_when("the slow reader's sequence is paused", |m| paused(m) == 1.0).await?;
    let other = host.post_json("/story", &ask).await?;
    assert_eq!(other.json()?["usage"]["output_tokens"], 200, "{}", other.text());
    assert_eq!(paused(&host.metrics().await?), 1.0, "the slow reader's sequence went on");
    // Once it reads, it gets all.
    let events = slow.rest().await?;
    let Some(([.., last], "[DONE]")) = events.split_last().map(|(done, rest)| (rest, done.as_str())) else {
        panic!("no [DONE] at the end of {events:?}");
    };
    let last: Value = serde_json::from_str(last)?;
    assert_eq!(last["usage"]["output_tokens"], 200, "{last}");
    assert_eq!(last["finish_reason"], "length", "{last}");
    host.metrics_when("nothing is paused", |m| paused(m) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_guest_that_writes_without_end_is_held_back_by_its_reader() -> Result {
    let host = TestHost::fixtures().start().await?;
    assert_eq!(host.get("/hello").await?.status(), 200);
    let memory = host.watch_memory()?;
    let mut slow = host.connect().await?;
    slow.send("GET /f3/flood HTTP/1.1\r\nhost: test\r\n\r\n").await?;
    assert!(slow.read_until("200 OK").await?);
    // The flood has as much time to grow as these take.
    for _ in 0..200 {
        assert_eq!(host.get("/hello").await?.status(), 200);
    }
    let grown = memory.peak_growth()?;
    assert!(grown < 32 << 20, "the host grew by {grown} bytes while a reader did not read");
    Ok(())
}
