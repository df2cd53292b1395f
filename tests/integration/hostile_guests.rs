//! Components that misbehave cost their own request, and nothing else.

use bobbin_tests::{Result, TestApp, TestHost};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The fixtures, with limits that a guest meets soon.
pub(crate) fn impatient() -> Result<TestApp> {
    TestApp::fixtures(
        "request_seconds = 2\ngrace_seconds = 1\nguest_cpu_seconds = 1\naccount_bytes = 16777216\nguest_memory_bytes = 67108864",
    )
}

pub(crate) async fn neighbours_are_well(host: &TestHost) -> Result {
    assert_eq!(host.get("/hello").await?.status(), 200);
    let story = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(story.status(), 200, "{}", story.text());
    host.metrics_when("nothing is in flight", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_guest_that_allocates_without_end_is_ended() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let answer = host.get("/f3/allocate").await?;
    assert_eq!(answer.status(), 500, "{}", answer.text());
    assert!(host.log().contains("guest_memory_bytes"), "the log does not say why:\n{}", host.log());
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_panics_before_the_head_is_an_error_without_its_details() -> Result {
    let host = TestHost::fixtures().start().await?;
    for path in ["/f3/panic", "/f2/panic", "/f3/fail", "/f2/fail", "/f2/no-answer", "/f2/panic-after-head"] {
        let answer = host.get(path).await?;
        assert!([500, 502].contains(&answer.status()), "{path}: {} {}", answer.status(), answer.text());
        assert!(!answer.text().contains("asked to"), "{path} shows its details: {}", answer.text());
        assert!(answer.json()?["request_id"].is_string(), "{path}: {}", answer.text());
    }
    assert!(host.log().contains("asked to panic before the head"), "{}", host.log());
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_broken_answer_never_looks_whole() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in [
        "/f3/panic-after-pieces",
        "/f3/fail-after-pieces",
        "/f3/loop-after-pieces",
        "/f2/panic-after-pieces",
        "/f2/loop-after-pieces",
        "/f2/unfinished-after-pieces",
    ] {
        let mut connection = host.connect().await?;
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await?;
        let received = connection.read_to_end().await;
        assert!(received.starts_with("HTTP/1.1 200"), "{path}: {received}");
        assert_eq!(received.matches("data: {").count(), 3, "{path}: {received}");
        assert!(!received.ends_with("0\r\n\r\n"), "{path} ended cleanly: {received}");
        assert!(!received.contains("[DONE]"), "{path}: {received}");
    }
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_client_library_notices_a_broken_answer() -> Result {
    let host = TestHost::fixtures().start().await?;
    for path in ["/f3/panic-after-pieces", "/f2/panic-after-pieces"] {
        assert!(host.get(path).await.is_err(), "{path} looked whole");
    }
    Ok(())
}

#[tokio::test]
async fn a_guest_reaches_no_file_no_host_and_only_its_environment() -> Result {
    let host = TestHost::fixtures().start().await?;
    let file = host.get("/f3/file?path=/etc/passwd").await?;
    assert!(file.json()?["error"].is_string(), "{}", file.text());
    // Somebody listens there and would answer, so it is the host that refuses.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let served = Arc::new(AtomicUsize::new(0));
    let serving = tokio::spawn(answer_everybody(listener, Arc::clone(&served)));
    let fetched = host.get(&format!("/f3/fetch?url={url}")).await?;
    assert!(fetched.json()?["error"].is_string(), "{}", fetched.text());
    assert_eq!(served.load(Ordering::SeqCst), 0, "the component connected to {url}");
    assert_eq!(
        bobbin_tests::http().build()?.get(&url).send().await?.status(),
        200,
        "nobody would have answered anyway"
    );
    assert_eq!(served.load(Ordering::SeqCst), 1);
    serving.abort();
    let environment = host.get("/f3/env").await?;
    assert!(environment.text().contains("hello from the manifest"), "{}", environment.text());
    assert!(!environment.text().contains("PATH"), "{}", environment.text());
    Ok(())
}

async fn answer_everybody(listener: TcpListener, served: Arc<AtomicUsize>) -> Result {
    loop {
        let (mut connection, _) = listener.accept().await?;
        served.fetch_add(1, Ordering::SeqCst);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && connection.read_buf(&mut head).await? > 0 {}
        connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await?;
    }
}
