//! A web server that does as little as a web server can, and counts.

use anyhow::Result;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\noutside\n";

/// It ends when this is dropped.
pub(crate) struct Loopback {
    port: u16,
    seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Loopback {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (port, seen) = (listener.local_addr()?.port(), Arc::new(Seen::default()));
        let accepting = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                // A client that leaves has had its answers.
                let seen = Arc::clone(&accepting);
                tokio::spawn(async move { serve(connection, &seen).await });
            }
        });
        Ok(Self { port, seen, serving })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Requests and connections so far.
    pub(crate) fn seen(&self) -> (u64, u64) {
        (self.seen.requests.load(Ordering::Relaxed), self.seen.connections.load(Ordering::Relaxed))
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Answers requests without a body, one after the other: each ends with its head, or with the last chunk of nothing.
async fn serve(mut connection: TcpStream, seen: &Seen) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut asked = Vec::new();
    while connection.read_buf(&mut asked).await? > 0 {
        if is_whole(&asked) {
            asked.clear();
            seen.requests.fetch_add(1, Ordering::Relaxed);
            connection.write_all(ANSWER).await?;
        }
    }
    Ok(())
}

fn is_whole(asked: &[u8]) -> bool {
    let Some(end) = asked.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (head, body) = asked.split_at(end + 4);
    let chunked = head.to_ascii_lowercase().windows(8).any(|part| part == b" chunked");
    !chunked || body.ends_with(b"0\r\n\r\n")
}
