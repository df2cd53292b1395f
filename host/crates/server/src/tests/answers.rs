//! Answers: streamed as they come, never whole when broken, and always with the request's name.

use super::host::{Fake, Host, Log, Pieces, get, json, piece, raw, request, send, send_h2, text};
use bobbin_inference::Cause;
use bobbin_runtime::Failure;
use http::{Response, StatusCode};
use http_body_util::Full;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

/// A component that answers with bodies made beforehand.
fn bodies(bodies: impl IntoIterator<Item = Response<Pieces>>) -> Fake {
    let bodies: Mutex<Vec<_>> = Mutex::new(bodies.into_iter().collect());
    Fake::new(move |_| {
        let body = bodies.lock().remove(0);
        async move { Ok(body) }
    })
}

fn broken() -> Response<Pieces> {
    let (sender, body) = Pieces::new();
    sender.send(Ok("one ")).unwrap();
    sender.send(Ok("two ")).unwrap();
    sender.send(Err(Cause::GuestTrapped("unreachable at 0xbeef".into()))).unwrap();
    Response::new(body)
}

#[tokio::test]
async fn a_piece_reaches_the_client_before_the_next_one_is_made() {
    let (first, first_body) = Pieces::new();
    let (second, second_body) = Pieces::new();
    let host = Host::with(bodies([Response::new(first_body), Response::new(second_body)])).await;
    for (sender, version) in [(first, 1), (second, 2)] {
        let response =
            async { if version == 1 { get(host.app, "/story").await } else { send_h2(host.app, "/story").await } };
        sender.send(Ok("once ")).unwrap();
        let mut body = response.await.into_body();
        assert_eq!(piece(&mut body).await.unwrap().unwrap(), "once ");
        sender.send(Ok("upon ")).unwrap();
        assert_eq!(piece(&mut body).await.unwrap().unwrap(), "upon ");
        drop(sender);
        assert!(piece(&mut body).await.is_none());
    }
}

#[tokio::test]
async fn a_broken_answer_never_looks_whole_over_http_1_1() {
    let host = Host::with(bodies([broken(), broken()])).await;
    let bytes = raw(host.app, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(bytes.contains("one ") && bytes.contains("two "), "what was whole still arrives: {bytes}");
    assert!(!bytes.contains("\r\n0\r\n"), "no last chunk: {bytes}");
    let mut body = get(host.app, "/").await.into_body();
    while piece(&mut body).await.expect("a broken body does not end").is_ok() {}
    let line = r#"bobbin_http_broken_answers_total{route="trigger /...",cause="guest_trapped"} 2"#;
    assert!(host.metrics().await.contains(line));
}

#[tokio::test]
async fn a_broken_answer_with_a_length_is_short() {
    let mut answer = broken();
    answer.headers_mut().insert("content-length", 100.into());
    let host = Host::with(bodies([answer])).await;
    let bytes = raw(host.app, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(bytes.contains("content-length: 100") && bytes.ends_with("one two "), "{bytes}");
}

#[tokio::test]
async fn a_broken_answer_is_reset_where_the_end_of_the_connection_is_the_end_of_the_answer() {
    let host = Host::with(bodies([broken(), Response::new(Pieces::of("whole"))])).await;
    let error = raw(host.app, "GET / HTTP/1.0\r\n\r\n").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let bytes = raw(host.app, "GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(bytes.ends_with("whole"), "{bytes}");
}

#[tokio::test]
async fn a_broken_answer_resets_its_stream_over_http_2() {
    let host = Host::with(bodies([broken()])).await;
    let mut body = send_h2(host.app, "/").await.into_body();
    let error = loop {
        match piece(&mut body).await.expect("a broken body does not end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("stream error received"), "{source}");
}

#[tokio::test]
async fn what_a_component_does_after_its_promised_bytes_is_not_cut() {
    let (sender, body) = Pieces::new();
    let mut answer = Response::new(body);
    answer.headers_mut().insert("content-length", 2.into());
    let host = Host::with(bodies([answer, Response::new(Pieces::of("next"))])).await;
    let io = hyper_util::rt::TokioIo::new(TcpStream::connect(host.app).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let ask = || request("/").body(Full::<bytes::Bytes>::default()).unwrap();
    sender.send(Ok("hi")).unwrap();
    assert_eq!(text(client.send_request(ask()).await.unwrap()).await, "hi");
    client.ready().await.unwrap();
    // The second answer on this connection proves that the server is done with the first.
    assert_eq!(text(client.send_request(ask()).await.unwrap()).await, "next");
    assert!(!sender.is_closed());
}

#[tokio::test]
async fn a_break_after_the_promised_bytes_is_told_once_in_the_log() {
    let (log, _on) = Log::start();
    let (sender, body) = Pieces::new();
    let mut answer = Response::new(body);
    answer.headers_mut().insert("content-length", 2.into());
    let host = Host::with(bodies([answer])).await;
    sender.send(Ok("hi")).unwrap();
    assert_eq!(text(get(host.app, "/").await).await, "hi");
    sender.send(Err(Cause::GuestTrapped("unreachable at 0xbeef".into()))).unwrap();
    sender.closed().await;
    let lines = log.lines("broke off");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert!(line.contains("unreachable at 0xbeef") && line.contains("route=trigger /..."), "{line}");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let mut named = Response::new(Pieces::of("x"));
    named.headers_mut().insert("bobbin-request-id", "mine".parse().unwrap());
    let host = Host::builder().route("/named", bodies([named])).start().await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/named", "/missing", "/.well-known/spin/health"] {
        let response = get(host.app, path).await;
        let id = response.headers()["bobbin-request-id"].to_str().unwrap();
        assert_eq!(id.len(), 32, "{path}: {id}");
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), 3);
}

const SECRET: &str = "secret at 0xbeef";

fn no_answer(cause: Cause) -> Failure {
    Failure::NoAnswer { component: "c".into(), cause }
}

#[tokio::test]
async fn a_failure_says_to_the_client_what_it_can_act_on_and_no_more() {
    type Case = (fn() -> Failure, u16, &'static str, bool);
    let cases: [Case; 6] = [
        (|| Failure::NoInstance { component: "c".into(), reason: SECRET.into() }, 503, "no_instance", true),
        (|| no_answer(Cause::DeadlineExceeded), 504, "deadline_exceeded", false),
        (|| no_answer(Cause::CpuBudgetExceeded), 504, "cpu_budget_exceeded", false),
        (|| no_answer(Cause::GuestTrapped(SECRET.into())), 500, "guest_trapped", false),
        (|| no_answer(Cause::GuestFailed(SECRET.into())), 502, "guest_failed", false),
        (|| no_answer(Cause::HostStopping), 503, "host_stopping", true),
    ];
    for (failure, status, code, retry) in cases {
        let host = Host::with(Fake::new(move |_| std::future::ready(Err(failure())))).await;
        let response = get(host.app, "/").await;
        assert_eq!(response.status().as_u16(), status, "{code}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers().contains_key("retry-after"), retry, "{code}");
        let id = response.headers()["bobbin-request-id"].to_str().unwrap().to_owned();
        let problem = json(response).await;
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
        assert_eq!(problem["request_id"], id);
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
}

/// Tells when it is dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_ends_its_request() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let (dropped, gone) = oneshot::channel();
    let dropped = Mutex::new(Some(dropped));
    let fake = Fake::new(move |_| {
        let guard = Guard(dropped.lock().take());
        started.send(()).unwrap();
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    let host = Host::with(fake).await;
    let mut stream = TcpStream::connect(host.app).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    starts.recv().await.unwrap();
    drop(stream);
    gone.await.unwrap();
    let line = r#"bobbin_http_requests_total{route="trigger /...",bundle="none",status="499"} 1"#;
    assert!(host.metrics().await.contains(line));
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_ends_its_request() {
    let (first, first_body) = Pieces::new();
    let (second, second_body) = Pieces::new();
    let host = Host::with(bodies([Response::new(first_body), Response::new(second_body)])).await;
    for (sender, version) in [(first, 1), (second, 2)] {
        sender.send(Ok("once ")).unwrap();
        let response = if version == 1 { get(host.app, "/").await } else { send_h2(host.app, "/").await };
        let mut body = response.into_body();
        piece(&mut body).await.unwrap().unwrap();
        drop(body);
        sender.closed().await;
    }
    let line = r#"bobbin_http_broken_answers_total{route="trigger /...",cause="client_gone"} 2"#;
    assert!(host.metrics().await.contains(line));
}

#[tokio::test]
async fn a_head_request_is_whole_without_a_body() {
    let host = Host::with(bodies([Response::new(Pieces::of("text"))])).await;
    let head = http::Request::head("/").header("host", "a").body(Full::default()).unwrap();
    let response = send(host.app, head).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await, "");
    assert!(!host.metrics().await.contains("broken_answers_total{"));
}

#[tokio::test]
async fn a_component_gets_the_context_of_its_request() {
    let (contexts, mut seen) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        contexts.send(call.context).unwrap();
        async { Ok(Response::new(Pieces::of("x"))) }
    });
    let host = Host::builder().route("/story", fake).limits(|limits| limits.account_bytes = 77).start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ask = |trace| request("/story").header("traceparent", trace).body(Full::default()).unwrap();
    let response = send(host.app, ask(trace)).await;
    let context = seen.recv().await.unwrap();
    assert_eq!(response.headers()["bobbin-request-id"], context.id.as_str());
    assert_eq!(context.trace.as_str(), trace);
    assert_eq!(&*context.trigger, "trigger /story");
    assert_eq!(context.sticky_key.as_deref(), Some("127.0.0.1"));
    assert_eq!(context.account.limit(), 77);
    assert!(context.deadlines.hard > context.deadlines.soft);
    send(host.app, ask("nonsense")).await;
    assert_ne!(seen.recv().await.unwrap().trace.as_str(), "nonsense");
}
