//! Connections that ask again as soon as they are answered. They read no more of HTTP than they must: what the clients
//! compute, the servers cannot.

use crate::{Result, Sorted};
use anyhow::{Context, ensure};
use futures::future::try_join_all;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What the components of benchmarks answer, where their work is no answer of its own.
const ANSWER: &[u8] = b"Hello from a component!\n";

/// What came of one window.
#[derive(Debug)]
pub struct Window {
    /// Answers per second.
    pub rate: f64,
    /// From asking to the answer's end, in milliseconds.
    pub latency: Sorted,
}

/// How long a window lasts.
#[derive(Debug, Clone, Copy)]
pub struct Lasts {
    /// Before it: whoever had no turn for a while is slow at first.
    pub warm: Duration,
    /// While it counts.
    pub counted: Duration,
}

impl Window {
    /// Asks for a while over so many connections. The answer must be that of the example's `hello`.
    ///
    /// # Errors
    /// When a connection breaks, or anything else is answered.
    pub async fn of(server: (SocketAddr, &str), connections: usize, lasts: Lasts) -> Result<Self> {
        Self::with(&[], server, connections, lasts).await
    }

    /// The same with these headers.
    ///
    /// # Errors
    /// As [`Window::of`].
    pub async fn with(
        headers: &[(&str, &str)],
        (address, path): (SocketAddr, &str),
        connections: usize,
        lasts: Lasts,
    ) -> Result<Self> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
        let begun = Instant::now() + lasts.warm;
        let ask = |_| tokio::spawn(connection(address, request.clone(), begun, begun + lasts.counted));
        let mut latencies = Vec::new();
        for one in try_join_all((0..connections).map(ask)).await? {
            latencies.extend(one?);
        }
        #[allow(clippy::cast_precision_loss, reason = "a count of seconds' answers")]
        let rate = latencies.len() as f64 / lasts.counted.as_secs_f64();
        Ok(Self { rate, latency: Sorted::millis(latencies) })
    }
}

/// The latencies of what was answered within the window.
async fn connection(address: SocketAddr, request: String, begun: Instant, end: Instant) -> Result<Vec<Duration>> {
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
        if answered >= end {
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
