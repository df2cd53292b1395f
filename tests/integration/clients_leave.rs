//! Clients that vanish: their sequences are freed at the next step.

use bobbin_tests::{Result, TestHost};
use serde_json::json;

#[tokio::test]
async fn a_client_that_leaves_mid_stream_frees_its_sequence() -> Result {
    let host = TestHost::example().start().await?;
    for round in 1..=5 {
        let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "stream": true, "temperature": 1.5});
        let mut events = host.stream("/story", &ask).await?;
        events.next_json().await?;
        drop(events);
        host.metrics_when("no sequence is left", |m| {
            m.sum("bobbin_worker_sequences", &[]) == 0.0 && m.sum("bobbin_http_requests_in_flight", &[]) == 0.0
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
async fn a_client_that_leaves_before_the_head_frees_its_sequence() -> Result {
    let host = TestHost::example().start().await?;
    // Without "stream" the head comes with the whole answer, so this client leaves before it.
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "temperature": 1.5}).to_string();
    for _ in 0..20 {
        let mut connection = host.connect().await?;
        connection.post("/story", &ask).await?;
        host.metrics_when("the request is in flight, or was", |m| {
            m.sum("bobbin_http_requests_in_flight", &[]) + m.sum("bobbin_inferences_total", &[]) > 0.0
        })
        .await?;
        drop(connection);
        let metrics = host
            .metrics_when("nothing is left of it", |m| {
                m.sum("bobbin_worker_sequences", &[]) == 0.0 && m.sum("bobbin_http_requests_in_flight", &[]) == 0.0
            })
            .await?;
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
        host.metrics_when("the request is in flight", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 1.0).await?;
        drop(connection);
        host.metrics_when("the guest has ended", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_pauses_its_own_sequence_only() -> Result {
    let host = TestHost::fixtures().start().await?;
    let mut slow = host.connect().await?;
    slow.send("GET /f3/flood HTTP/1.1\r\nhost: test\r\n\r\n").await?;
    assert!(slow.read_until("200 OK").await?);
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 8})).await?;
    assert_eq!(answer.status(), 200);
    // A guest that writes without end is held back by its reader, not kept in the host's memory.
    let before = host.resident_bytes()?;
    for _ in 0..20 {
        host.get("/hello").await?;
    }
    let grown = host.resident_bytes()?.saturating_sub(before);
    assert!(grown < 32 << 20, "the host grew by {grown} bytes while a reader did not read");
    Ok(())
}
