//! Answers of the host's own, from the manifest.

use super::host::{Fake, Host, Pieces, get, raw, request, send, text};
use crate::FixedAnswer;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::mpsc;

fn teapot() -> FixedAnswer {
    FixedAnswer::new(418, [("X-Leaf", "oolong")], "short and stout").unwrap()
}

#[tokio::test]
async fn a_fixed_answer_is_given_as_it_is_written() {
    let host = Host::builder().fixed("/tea/...", teapot()).start().await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let body = Full::from(Bytes::from_static(b"milk?"));
        let response = send(host.app, request("/tea/green").method(method).body(body).unwrap()).await;
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(response.headers()["x-leaf"], "oolong");
        assert_eq!(response.headers()["content-length"], "15");
        assert!(response.headers().contains_key("bobbin-request-id"));
        assert_eq!(text(response).await, "short and stout");
    }
    let metrics = host.metrics().await;
    assert!(metrics.contains(r#"trigger="trigger /tea/..."#) || metrics.contains("trigger /tea/..."), "{metrics}");
}

#[tokio::test]
async fn head_gets_the_head_alone() {
    let host = Host::builder().fixed("/tea", teapot()).start().await;
    let answer = raw(host.app, "HEAD /tea HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 418") && answer.contains("content-length: 15"), "{answer}");
    assert!(!answer.contains("stout"), "{answer}");
}

#[tokio::test]
async fn a_fixed_answer_takes_no_permit() {
    let (calls, mut called) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        calls.send(call.permit).unwrap();
        async { Ok(Response::new(Pieces::of("done"))) }
    });
    let host = Host::builder().route("/work", fake).fixed("/tea", teapot());
    let host = host.limits(|limits| limits.max_in_flight = 1).start().await;
    assert_eq!(get(host.app, "/work").await.status(), StatusCode::OK);
    let _held = called.recv().await.unwrap();
    assert_eq!(get(host.app, "/work").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(host.app, "/tea").await.status(), StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn a_connection_goes_on_after_a_body_that_nobody_read() {
    let host = Host::builder().fixed("/tea", teapot()).start().await;
    let post = "POST /tea HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nmilk?";
    let last = "GET /tea HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = raw(host.app, &format!("{post}{last}")).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 418").count(), 2, "{answers}");
}
