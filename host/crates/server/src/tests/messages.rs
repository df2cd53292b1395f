//! Messages, by a server that is made of a few lines: what is decided for each, and what is left of it.

use super::host::Host;
use crate::{Listen, Subscriber};
use bobbin_databases::redis::Address;
use bobbin_runtime::{Call, Calls, Message, Unhandled};
use futures::future::BoxFuture;
use std::sync::Arc;
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
    let (mut stream, _) = server.accept().await.unwrap();
    let mut asked = [0; 100];
    let length = stream.read(&mut asked).await.unwrap();
    assert_eq!(&asked[..length], b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n");
    stream.write_all(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n").await.unwrap();
    (host, stream, called)
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
