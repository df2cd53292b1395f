//! Connections that ask again as soon as they are answered. They read no more of HTTP than they must: what the clients
//! compute, the servers cannot.

use anyhow::{Context, Result, ensure};
use bobbin_tests::Sorted;
use futures::future::try_join_all;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WINDOW: Duration = Duration::from_secs(2);
/// Before each window: whoever had no turn for a while is slow at first.
const WARM: Duration = Duration::from_millis(300);
const ANSWER: &[u8] = b"Hello from a component!\n";

/// What came of one window.
pub(crate) struct Window {
    /// Answers per second.
    pub(crate) rate: f64,
    pub(crate) latency: Sorted,
}

/// Asks for a while over so many connections.
pub(crate) async fn window(address: SocketAddr, path: &str, connections: usize) -> Result<Window> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let begun = Instant::now() + WARM;
    let ask = |_| tokio::spawn(connection(address, request.clone(), begun));
    let mut latencies = Vec::new();
    for one in try_join_all((0..connections).map(ask)).await? {
        latencies.extend(one?);
    }
    Ok(Window { rate: latencies.len() as f64 / WINDOW.as_secs_f64(), latency: Sorted::millis(latencies) })
}

/// The latencies of what was answered within the window.
async fn connection(address: SocketAddr, request: String, begun: Instant) -> Result<Vec<Duration>> {
    let (mut stream, mut buffer, mut latencies) = (TcpStream::connect(address).await?, Vec::new(), Vec::new());
    stream.set_nodelay(true)?;
    loop {
        let asked = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        buffer.clear();
        while !is_whole(&buffer)? {
            ensure!(stream.read_buf(&mut buffer).await? > 0, "the connection was closed within an answer");
        }
        let answered = Instant::now();
        if answered >= begun + WINDOW {
            return Ok(latencies);
        }
        if answered >= begun {
            latencies.push(answered - asked);
        }
    }
}

/// Whether the one answer is there. Anything but the component's answer is an error.
fn is_whole(bytes: &[u8]) -> Result<bool> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let (head, body) = bytes.split_at(end + 4);
    ensure!(head.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(bytes));
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked\r\n") {
        let whole = body.ends_with(b"\r\n0\r\n\r\n");
        ensure!(!whole || body.windows(ANSWER.len()).any(|part| part == ANSWER), "another answer");
        return Ok(whole);
    }
    let (_, length) = head.split_once("\r\ncontent-length: ").context("an answer without a length")?;
    let length: usize = length.split("\r\n").next().unwrap_or_default().parse()?;
    ensure!(body.len() < length || body == ANSWER, "another answer");
    Ok(body.len() == length)
}
