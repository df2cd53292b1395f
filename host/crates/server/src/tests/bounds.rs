//! Bounds: requests in flight, bodies, heads, silence.

use super::host::{Fake, Host, Pieces, Sender, get, json, raw, request, send, text};
use bobbin_runtime::{Failure, RequestBodyError};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

#[tokio::test]
async fn over_the_bound_a_request_is_refused_at_once_and_never_reaches_a_component() {
    let (calls, mut called) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        let (sender, body) = Pieces::new();
        // The test holds the permit, as a store does.
        calls.send((sender, call.permit)).unwrap();
        async move { Ok(Response::new(body)) }
    });
    let host = Host::builder().route("/...", fake).limits(|limits| limits.max_in_flight = 1).start().await;
    let addr = host.app;
    let first = tokio::spawn(async move { text(get(addr, "/").await).await });
    let (sender, permit) = called.recv().await.unwrap();

    let refused = get(host.app, "/").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(json(refused).await["code"], "over_capacity");
    assert!(called.try_recv().is_err());
    let metrics = host.metrics().await;
    assert!(metrics.contains("bobbin_http_requests_in_flight 1\n"), "{metrics}");
    assert!(metrics.contains(r#"bobbin_http_refused_total{reason="over_capacity"} 1"#), "{metrics}");

    // The answer is over, the store is not: the place is still taken.
    drop(sender);
    first.await.unwrap();
    assert_eq!(get(host.app, "/").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(permit);
    let last = tokio::spawn(async move { get(addr, "/").await.status() });
    drop(called.recv().await.unwrap());
    assert_eq!(last.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_whose_length_is_over_the_limit_is_refused_with_both_numbers() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let fake = Fake::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(Response::new(Pieces::of("read"))) }
    });
    let host = Host::builder().route("/...", fake).limits(|limits| limits.body_bytes = 1000).start().await;
    let post = |bytes: usize| request("/").method(Method::POST).body(Full::from(vec![b'x'; bytes])).unwrap();
    let response = send(host.app, post(3_000_000)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let detail = json(response).await["detail"].to_string();
    assert!(detail.contains("3000000") && detail.contains("1000"), "{detail}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(send(host.app, post(1000)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_writes_before_it_reads_still_learns_why_it_was_refused() {
    let host = Host::builder().route("/...", Fake::text("x")).limits(|limits| limits.body_bytes = 10).start().await;
    let body = "x".repeat(6_000_000);
    let post =
        format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = raw(host.app, &post).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_413_whether_or_not_the_component_reads_it() {
    let fake = Fake::new(|call| async move {
        if call.request.uri().path() == "/unread" {
            std::future::pending::<()>().await;
        }
        let error = call.request.into_body().collect().await.err();
        assert!(matches!(error, Some(RequestBodyError::TooLarge { limit: 10 })), "{error:?}");
        Ok(Response::new(Pieces::of("not JSON")))
    });
    let host = Host::builder().route("/...", fake).limits(|limits| limits.body_bytes = 10).start().await;
    for path in ["/read", "/unread"] {
        let chunked = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
             8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n"
        );
        let answer = raw(host.app, &chunked).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{path}: {answer}");
        assert!(answer.contains("body_too_large") && answer.contains("10 bytes"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_body_at_its_limit_passes() {
    let fake = Fake::new(|call| async move {
        let body = call
            .request
            .into_body()
            .collect()
            .await
            .map_err(|error| Failure::NoInstance { component: String::new(), reason: error.to_string() })?;
        assert_eq!(body.to_bytes(), Bytes::from_static(b"0123456789"));
        Ok(Response::new(Pieces::of("ok")))
    });
    let host = Host::builder().route("/...", fake).limits(|limits| limits.body_bytes = 10).start().await;
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                   a\r\n0123456789\r\n0\r\n\r\n";
    assert!(raw(host.app, chunked).await.unwrap().starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_waits_for_continue_is_refused_before_it_sends() {
    let host = Host::builder().route("/...", Fake::text("x")).limits(|limits| limits.body_bytes = 10).start().await;
    let asks = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 99\r\n\r\n";
    let answer = raw(host.app, asks).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn long_targets_and_large_headers_are_refused_with_both_numbers() {
    let change = |limits: &mut crate::Limits| (limits.target_bytes, limits.header_bytes) = (50, 200);
    let host = Host::builder().route("/...", Fake::text("x")).limits(change).start().await;
    let long = get(host.app, &format!("/{}", "a".repeat(59))).await;
    assert_eq!(long.status(), StatusCode::URI_TOO_LONG);
    let detail = json(long).await["detail"].to_string();
    assert!(detail.contains("60 bytes") && detail.contains("50 bytes"), "{detail}");
    let large = request("/").header("x-large", "b".repeat(200)).body(Full::default()).unwrap();
    let large = send(host.app, large).await;
    assert_eq!(large.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(json(large).await["code"], "headers_too_large");
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "c".repeat(64 << 10));
    assert!(raw(host.app, &endless).await.unwrap().starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_silent_connection_does_not_stay() {
    let host = Host::builder()
        .route("/...", Fake::text("x"))
        .limits(|limits| limits.header_timeout = Duration::from_millis(20))
        .start()
        .await;
    // Nothing at all; a beginning that could become HTTP/2; half a head; nothing after a first answer.
    for bytes in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost:", "GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let ended = tokio::time::timeout(Duration::from_secs(60), raw(host.app, bytes)).await;
        assert!(ended.is_ok(), "still open after {bytes:?}");
    }
}

#[tokio::test]
async fn at_the_bound_of_connections_the_next_one_waits_for_a_place() {
    let host = Host::builder().route("/...", Fake::text("x")).limits(|limits| limits.max_connections = 1).start().await;
    let mut first = TcpStream::connect(host.app).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let addr = host.app;
    let second = tokio::spawn(async move { get(addr, "/").await.status() });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    drop(first);
    assert_eq!(second.await.unwrap(), StatusCode::OK);
}

/// A body without an end that counts its pieces, each of 16 KiB.
fn endless(count: &Arc<AtomicUsize>) -> (Sender, Fake) {
    static PIECE: [u8; 16 << 10] = [b'x'; 16 << 10];
    let (held, until) = Pieces::new();
    let (count, until) = (Arc::clone(count), Mutex::new(Some(until)));
    let fake = Fake::new(move |_| {
        let (count, until) = (Arc::clone(&count), until.lock().take().unwrap());
        async move {
            let pieces = std::iter::repeat_with(move || {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(std::str::from_utf8(&PIECE).unwrap())
            });
            Ok(Response::new(until.before(pieces)))
        }
    });
    (held, fake)
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_its_component_back() {
    let count = Arc::new(AtomicUsize::new(0));
    let (held, fake) = endless(&count);
    let host = Host::builder().route("/endless", fake).route("/other", Fake::text("x")).start().await;
    let mut stream = TcpStream::connect(host.app).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    stream.readable().await.unwrap();
    // Other requests give the server every chance to go on making pieces.
    loop {
        let made = count.load(Ordering::SeqCst);
        for _ in 0..50 {
            text(get(host.app, "/other").await).await;
        }
        if count.load(Ordering::SeqCst) == made {
            break;
        }
    }
    assert!(!held.is_closed());
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_dropped_after_the_deadline() {
    let count = Arc::new(AtomicUsize::new(0));
    let (held, fake) = endless(&count);
    let soon = |limits: &mut crate::Limits| {
        limits.header_timeout = Duration::from_millis(20);
        (limits.request_timeout, limits.timeout_grace) = (Duration::from_millis(20), Duration::ZERO);
    };
    let host = Host::builder().route("/...", fake).limits(soon).start().await;
    let mut stream = TcpStream::connect(host.app).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    held.closed().await;
    assert!(host.metrics().await.contains("bobbin_http_broken_answers_total{"));
}
