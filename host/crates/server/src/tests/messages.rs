//! Messages, by a server that is made of a few lines: what is decided for each, and what is left of it.

use super::host::{Host, get, json};
use crate::{Listen, Subscriber};
use bobbin_databases::redis::Address;
use bobbin_runtime::{Call, Calls, Message, Unhandled};
use futures::future::BoxFuture;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A component made of a closure, which panics where it is told to.
struct Fake(mpsc::UnboundedSender<Call<Message>>);

impl Listen for Fake {
    fn handle(&self, call: Call<Message>) -> BoxFuture<'_, Result<(), Unhandled>> {
        Box::pin(async move {
            assert_ne!(&call.request.0[..], b"panic");
            self.0.send(call).unwrap();
            Ok(())
        })
    }
}

/// A host with a trigger for the channel `news`, and the connection that it makes to its server.
async fn subscribed() -> (Host, TcpStream, mpsc::UnboundedReceiver<Call<Message>>) {
    let (host, _server, mut stream, called) = subscribing().await;
    stream.write_all(SUBSCRIBED).await.unwrap();
    (host, stream, called)
}

const SUBSCRIBED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";

/// The same, before the server has said that it is subscribed to; with the server.
async fn subscribing() -> (Host, TcpListener, TcpStream, mpsc::UnboundedReceiver<Call<Message>>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::parse(&format!("redis://{}", server.local_addr().unwrap())).unwrap();
    let (calls, called) = mpsc::unbounded_channel();
    let subscriber = Subscriber {
        trigger_id: "news".into(),
        server: Arc::new(address),
        channel: "news".into(),
        component: "reader".into(),
        listener: Arc::new(Fake(calls)),
        calls: Calls::default(),
    };
    let host =
        Host::builder().subscriber(subscriber).release("news", "story", "storyteller@1.0.0").alive().start().await;
    let stream = asked(&server).await;
    (host, server, stream, called)
}

/// The next connection, on which somebody has asked for the channel.
async fn asked(server: &TcpListener) -> TcpStream {
    let (mut stream, _) = server.accept().await.unwrap();
    let mut asked = [0; 100];
    let length = stream.read(&mut asked).await.unwrap();
    assert_eq!(&asked[..length], b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n");
    stream
}

/// Waits for what must come soon.
async fn soon<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap()
}

#[tokio::test]
async fn readiness_names_a_trigger_whose_server_sends_nothing_and_waits_for_the_first_time_alone() {
    let (host, server, mut stream, _called) = subscribing().await;
    let ready = async |wanted: StatusCode, state: Option<&str>| {
        soon(async {
            loop {
                let answer = get(host.admin, "/readyz").await;
                let (status, told) = (answer.status(), json(answer).await);
                if told["unsubscribed"][0]["state"].as_str() == state {
                    assert_eq!((status, &told["ready"]), (wanted, &(wanted == StatusCode::OK).into()), "{told}");
                    return told["unsubscribed"][0].clone();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };
    let told = ready(StatusCode::SERVICE_UNAVAILABLE, Some("connecting")).await;
    let address = format!("redis://{}", server.local_addr().unwrap());
    let wanted = serde_json::json!({
        "trigger": "news", "server": address, "channel": "news", "state": "connecting", "reason": null,
    });
    assert_eq!(told, wanted);
    stream.write_all(SUBSCRIBED).await.unwrap();
    ready(StatusCode::OK, None).await;
    drop(stream);
    let lost = ready(StatusCode::OK, Some("lost")).await;
    assert_eq!(lost["reason"], "the server closed the connection");
    asked(&server).await.write_all(b"-NOPERM no\r\n").await.unwrap();
    let refused =
        async { while ready(StatusCode::OK, Some("lost")).await["reason"] != "the server refuses: NOPERM no" {} };
    soon(refused).await;
    let mut again = asked(&server).await;
    again.write_all(SUBSCRIBED).await.unwrap();
    ready(StatusCode::OK, None).await;
}

async fn publish(stream: &mut TcpStream, message: &str) {
    let length = message.len();
    let sent = format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${length}\r\n{message}\r\n");
    stream.write_all(sent.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_message_begins_with_the_versions_of_its_trigger_and_an_id_of_its_own() {
    let (_host, mut stream, mut called) = subscribed().await;
    publish(&mut stream, "one").await;
    publish(&mut stream, "two").await;
    let (one, two) = (called.recv().await.unwrap(), called.recv().await.unwrap());
    for call in [&one, &two] {
        assert_eq!(call.pins.graph("story").unwrap().bundle().to_string(), "storyteller@1.0.0");
        assert_eq!(&*call.context.trigger, "news");
        assert!(!call.chained && call.application.is_none());
    }
    assert_ne!(one.context.id, two.context.id);
    assert_ne!(one.context.sticky_key, two.context.sticky_key);
}

#[tokio::test]
async fn a_panic_of_the_hosts_own_ends_one_message_and_is_counted() {
    let (host, mut stream, mut called) = subscribed().await;
    publish(&mut stream, "panic").await;
    publish(&mut stream, "fine").await;
    assert_eq!(called.recv().await.unwrap().request, Message("fine".into()));
    let lost = r#"bobbin_messages_total{route="news",bundle="none",outcome="lost"} 1"#;
    while !host.metrics().await.contains(lost) {
        tokio::task::yield_now().await;
    }
    host.stop.cancel();
    assert_eq!(host.served.await.unwrap().cut, 0);
}
