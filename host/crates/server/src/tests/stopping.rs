//! A bounded stop: what is in flight may finish, what takes too long is cut, visibly.

use super::host::{Fake, Host, Pieces, get, json, piece, raw, text};
use crate::Drained;
use bobbin_inference::Cause;
use http::{Response, StatusCode};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_stop_lets_answers_finish_and_takes_nothing_new() {
    let (sender, body) = Pieces::new();
    let body = parking_lot::Mutex::new(Some(body));
    let fake = Fake::new(move |_| {
        let body = body.lock().take().unwrap();
        async move { Ok(Response::new(body)) }
    });
    let host = Host::with(fake).await;
    sender.send(Ok("once ")).unwrap();
    let mut body = get(host.app, "/").await.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "once ");
    assert_eq!(get(host.admin, "/readyz").await.status(), StatusCode::OK);

    host.stop.cancel();
    // The listener closes on the server's own task.
    while TcpStream::connect(host.app).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let ready = get(host.admin, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json(ready).await["draining"], true);
    assert_eq!(get(host.admin, "/healthz").await.status(), StatusCode::OK);

    sender.send(Ok("upon")).unwrap();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "upon");
    drop(sender);
    assert!(piece(&mut body).await.is_none(), "the answer is whole");
    assert_eq!(host.served.await.unwrap(), Drained { cut: 0 });
    assert!(TcpStream::connect(host.admin).await.is_err());
}

#[tokio::test]
async fn idle_connections_do_not_delay_a_stop() {
    let host = Host::with(Fake::text("x")).await;
    let _silent = TcpStream::connect(host.app).await.unwrap();
    text(get(host.app, "/").await).await;
    host.stop.cancel();
    assert_eq!(host.served.await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_answers_so_that_they_do_not_look_whole() {
    let (contexts, mut seen) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        let (sender, body) = Pieces::new();
        sender.send(Ok("once ")).unwrap();
        let context = call.context;
        contexts.send(context.clone()).unwrap();
        // As a runtime does: a cancelled request breaks its answer.
        tokio::spawn(async move {
            context.cancel.cancelled().await;
            sender.send(Err(context.cause.get().unwrap().clone())).unwrap();
        });
        async move { Ok(Response::new(body)) }
    });
    let host =
        Host::builder().route("/...", fake).limits(|limits| limits.drain = Duration::from_millis(10)).start().await;
    let addr = host.app;
    let client = tokio::spawn(async move { raw(addr, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await });
    let context = seen.recv().await.unwrap();
    host.stop.cancel();
    assert_eq!(host.served.await.unwrap(), Drained { cut: 1 });
    assert_eq!(context.cause.get(), Some(&Cause::HostStopping));
    let bytes = client.await.unwrap().unwrap();
    assert!(bytes.contains("once ") && !bytes.contains("\r\n0\r\n"), "{bytes}");
}

#[tokio::test]
async fn a_component_that_ignores_the_end_is_left_behind() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let fake = Fake::new(move |_| {
        started.send(()).unwrap();
        std::future::pending()
    });
    let host =
        Host::builder().route("/...", fake).limits(|limits| limits.drain = Duration::from_millis(10)).start().await;
    let addr = host.app;
    let client = tokio::spawn(async move { raw(addr, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await });
    starts.recv().await.unwrap();
    host.stop.cancel();
    assert_eq!(host.served.await.unwrap(), Drained { cut: 1 });
    assert_eq!(client.await.unwrap().unwrap(), "");
}

#[tokio::test]
async fn dropping_the_server_cuts_everything() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        started.send(call.context.cancel.clone()).unwrap();
        std::future::pending()
    });
    let host = Host::with(fake).await;
    let addr = host.app;
    let client = tokio::spawn(async move { raw(addr, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await });
    let cancel = starts.recv().await.unwrap();
    host.served.abort();
    cancel.cancelled().await;
    assert_eq!(client.await.unwrap().unwrap(), "");
}
