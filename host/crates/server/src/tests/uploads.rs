//! Bodies of requests: who leaves while sending one is missed at once, and a broken one is the client's fault.

use super::host::{Fake, Host, Pieces, raw, request, send, text};
use crate::{Access, ErrorStyle};
use bobbin_inference::{Cause, RequestContext};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// A request that a component does not read, and what fires when its instance is gone.
type Deaf = (Arc<RequestContext>, oneshot::Receiver<()>);

/// A component that never reads its body and never answers. The receiver gets each request's context, and what
/// ends when the component is dropped.
fn deaf() -> (mpsc::UnboundedReceiver<Deaf>, Fake) {
    let (calls, called) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        let (held, dropped) = oneshot::channel();
        calls.send((Arc::clone(&call.context), dropped)).unwrap();
        async move {
            std::future::pending::<()>().await;
            drop((call, held));
            unreachable!()
        }
    });
    (called, fake)
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it never happens")
}

async fn post(host: &Host, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.app).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

const HALF: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 90\r\n\r\n{\"a";

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_frees_its_place_though_nobody_reads_its_body() {
    let (mut called, fake) = deaf();
    let host = Host::builder().route("/...", fake).limits(|limits| limits.max_in_flight = 1).start().await;
    let chunk = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{";
    let no_byte = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 90\r\n\r\n";
    for reset in [false, true] {
        for upload in [HALF, chunk, no_byte] {
            let stream = post(&host, upload).await;
            let (context, dropped) = soon(called.recv()).await.unwrap();
            if reset {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(stream);
            assert!(soon(dropped).await.is_err());
            soon(context.cancel.cancelled()).await;
            assert_eq!(context.cause.get(), Some(&Cause::ClientGone));
            assert!(host.metrics().await.contains("bobbin_http_requests_in_flight 0\n"));
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_sends_ends_a_component_that_has_begun_to_answer() {
    let (calls, mut called) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        let (sender, body) = Pieces::new();
        sender.send(Ok("first")).unwrap();
        calls.send((sender, Arc::clone(&call.context), call.request)).unwrap();
        async move { Ok(Response::new(body)) }
    });
    let host = Host::with(fake).await;
    let mut stream = post(&host, HALF).await;
    stream.read_exact(&mut [0; 12]).await.unwrap();
    let (_sender, context, _unread) = called.recv().await.unwrap();
    drop(stream);
    soon(context.cancel.cancelled()).await;
}

#[tokio::test]
async fn a_malformed_or_truncated_body_is_the_clients_fault() {
    let (_called, deaf) = deaf();
    let reads = Fake::new(|call| async move {
        let cause = match call.request.into_body().collect().await {
            Ok(_) => panic!("a broken body must not look whole"),
            Err(error) => Cause::GuestFailed(error.to_string()),
        };
        Err(bobbin_runtime::Failure::NoAnswer { component: "component".into(), cause })
    });
    let host = Host::builder().route("/deaf", deaf).route("/reads", reads).start().await;
    let broken = [
        ("transfer-encoding: chunked\r\n\r\nZZ\r\nfoo", "chunk"),
        ("transfer-encoding: chunked\r\n\r\n40\r\n{\"pro", "before it was complete"),
        ("content-length: 500\r\n\r\nnine byte", "before it was complete"),
    ];
    for path in ["/deaf", "/reads"] {
        for (body, why) in broken {
            let mut stream = post(&host, &format!("POST {path} HTTP/1.1\r\nhost: a\r\n{body}")).await;
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            soon(stream.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 400"), "{path} {body}: {answer}");
            assert!(answer.contains("application/problem+json") && answer.contains("broken_body"), "{answer}");
            assert!(answer.to_lowercase().contains(why), "{answer}");
        }
    }
    let metrics = host.metrics().await;
    assert!(!metrics.contains("status=\"502\"") && metrics.contains("status=\"400\""), "{metrics}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_the_clients_fault_and_frees_its_place() {
    let (mut called, deaf) = deaf();
    let reads = Fake::new(|call| async move {
        let error = call.request.into_body().collect().await.expect_err("nothing came");
        // A component that answers all the same does not hide what was wrong.
        drop(error);
        Ok(Response::new(Pieces::of("read")))
    });
    let openai = Access { errors: ErrorStyle::OpenAi, ..Access::default() };
    let host = Host::builder().route("/deaf", deaf).guarded("/reads", openai, reads);
    let host = host.limits(|limits| limits.header_timeout = Duration::from_millis(300)).start().await;
    for path in ["/deaf", "/reads"] {
        for body in [
            "content-length: 90\r\n\r\n",
            "content-length: 90\r\n\r\n{\"a",
            "transfer-encoding: chunked\r\n\r\n40\r\n{",
        ] {
            let mut stream = post(&host, &format!("POST {path} HTTP/1.1\r\nhost: a\r\n{body}")).await;
            let mut answer = String::new();
            soon(stream.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 408"), "{path} {body}: {answer}");
            let style = if path == "/reads" { "invalid_request_error" } else { "application/problem+json" };
            assert!(answer.contains("body_timeout") && answer.contains(style) && answer.contains("0.3 s"), "{answer}");
        }
    }
    for _ in 0..3 {
        let (context, dropped) = called.recv().await.unwrap();
        assert!(soon(dropped).await.is_err());
        soon(context.cancel.cancelled()).await;
        assert_eq!(context.cause.get(), Some(&Cause::ClientGone));
    }
    let metrics = host.metrics().await;
    assert!(metrics.contains("bobbin_http_requests_in_flight 0\n"), "{metrics}");
    assert!(metrics.contains("status=\"408\"") && !metrics.contains("status=\"50"), "{metrics}");
}

#[tokio::test]
async fn a_body_that_comes_slowly_but_steadily_is_not_cut() {
    let fake = Fake::new(|call| async move {
        let read = call.request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(read, vec![b'x'; 30]);
        Ok(Response::new(Pieces::of("read")))
    });
    let patience = Duration::from_secs(2);
    let host = Host::builder().route("/...", fake).limits(|limits| limits.header_timeout = patience).start().await;
    let mut stream = post(&host, "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 30\r\n\r\n").await;
    // Half as long again as may be nothing: no pause is long, all of them together are.
    let mut pace = tokio::time::interval(patience / 20);
    for _ in 0..30 {
        pace.tick().await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("read"), "{answer}");
}

#[tokio::test]
async fn a_client_that_listens_may_be_silent() {
    let (senders, mut sent) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        let (sender, body) = Pieces::new();
        sender.send(Ok("go on")).unwrap();
        senders.send((sender, call.request)).unwrap();
        async move { Ok(Response::new(body)) }
    });
    let patience = Duration::from_millis(300);
    let host = Host::builder().route("/...", fake).limits(|limits| limits.header_timeout = patience).start().await;
    let mut stream = post(&host, HALF).await;
    let (sender, request) = sent.recv().await.unwrap();
    let mut body = request.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{\"a");
    let mut read = Vec::new();
    while !read.ends_with(b"go on\r\n") {
        assert_ne!(soon(stream.read_buf(&mut read)).await.unwrap(), 0, "it was cut");
    }
    // Longer than a client may be silent that has no answer yet.
    assert!(tokio::time::timeout(patience * 2, body.frame()).await.is_err(), "the body ended");
    stream.write_all(b"b").await.unwrap();
    assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "b");
    drop(sender);
}

#[tokio::test]
async fn what_waits_for_the_component_is_charged_until_it_is_read() {
    let (calls, mut called) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        let (go, gone) = oneshot::channel::<()>();
        calls.send((go, Arc::clone(&call.context))).unwrap();
        async move {
            gone.await.unwrap();
            let read = call.request.into_body().collect().await.unwrap().to_bytes();
            assert!(read.iter().all(|byte| *byte == b'x'));
            assert_eq!((read.len(), call.context.account.held()), (300_000, 0));
            Ok(Response::new(Pieces::of("read")))
        }
    });
    let addr = Host::with(fake).await.app;
    let body = Full::new(Bytes::from(vec![b'x'; 300_000]));
    let answer = tokio::spawn(send(addr, request("/").method(Method::POST).body(body).unwrap()));
    let (go, context) = called.recv().await.unwrap();
    let all_held = async {
        while context.account.held() < 300_000 {
            tokio::task::yield_now().await;
        }
    };
    soon(all_held).await;
    go.send(()).unwrap();
    assert_eq!(text(answer.await.unwrap()).await, "read");
}

#[tokio::test]
async fn a_body_larger_than_the_account_waits_for_its_reader_and_arrives_whole() {
    let fake = Fake::new(|call| async move {
        let read = call.request.into_body().collect().await.unwrap().to_bytes();
        assert!(call.context.account.peak() <= 1000);
        assert_eq!(read, vec![b'x'; 300_000]);
        Ok(Response::new(Pieces::of("read")))
    });
    let host = Host::builder().route("/...", fake).limits(|limits| limits.account_bytes = 1000).start().await;
    let body = Full::new(Bytes::from(vec![b'x'; 300_000]));
    let response = soon(send(host.app, request("/").method(Method::POST).body(body).unwrap())).await;
    assert_eq!(text(response).await, "read");
}

#[tokio::test]
async fn where_the_head_is_the_whole_answer_the_component_goes_when_it_is_sent() {
    let senders: Arc<Mutex<Vec<_>>> = Arc::default();
    let kept = Arc::clone(&senders);
    let fake = Fake::new(move |call| {
        let (sender, body) = Pieces::new();
        sender.send(Ok("first")).unwrap();
        kept.lock().push(sender);
        let mut response = Response::new(body);
        *response.status_mut() = call.request.uri().path()[1..].parse().unwrap();
        async move { Ok(response) }
    });
    let host = Host::with(fake).await;
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let mut stream = post(&host, &format!("{method} /{status} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        stream.read_exact(&mut [0; 12]).await.unwrap();
        let sender = senders.lock().remove(0);
        soon(sender.closed()).await;
    }
}

#[tokio::test]
async fn a_request_with_two_hosts_is_refused() {
    let host = Host::with(Fake::text("x")).await;
    let answer = raw(host.app, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("many_hosts"), "{answer}");
    let once = send(host.app, request("/").body(Full::default()).unwrap()).await;
    assert_eq!(once.status(), StatusCode::OK);
}
