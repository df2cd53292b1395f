//! What serving costs: the whole way through HTTP, the sandbox, wasi-nn and the worker.
//!
//! Measures, on the example application and this machine: `/hello` in requests/s with p50 and p99 over 1, 8 and
//! 32 connections; `/story` in tokens/s, time to first token and inter-token time (p50, p99) at 1, 8 and 32
//! streams; and the time from `bobbin up` to the first token, with warm caches.
//!
//! How to read it: figures of one run compare with each other and with nothing else. The load generator shares
//! the machine's cores with the host, so absolute figures are lower bounds. A build without vector units is refused.
//! Run it with
//! `cargo xtask bench serving`; `BOBBIN_BENCH_SECONDS` sets how long each row measures (default 5).

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

use anyhow::{Context, Result};
use bobbin_tests::{Sorted, TestHost, machine, vector_units};
use futures::future::try_join_all;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STREAMS: [usize; 3] = [1, 8, 32];

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = std::env::var("BOBBIN_BENCH_SECONDS").ok().map(|s| s.parse()).transpose()?.unwrap_or(5);
    let period = Duration::from_secs(seconds);
    println!("machine: {}", machine()?);
    start_up().await?;
    let host = TestHost::stories().log_filter("info,bobbin::access=warn").start().await?;
    vector_units(&host.log())?;
    println!("\n/hello       | requests/s | p50 ms | p99 ms");
    for connections in STREAMS {
        hello(&host, connections, period).await?;
    }
    println!("\n/story       | tokens/s | first token p50 ms | p99 ms | inter-token p50 ms | p99 ms");
    for streams in STREAMS {
        story(&host, streams, period).await?;
    }
    Ok(())
}

/// From the start of the process to the first piece of a story. The first round fills the caches.
async fn start_up() -> Result<()> {
    let mut rounds = Vec::new();
    for round in 0..6 {
        let started = Instant::now();
        let host = TestHost::stories().start().await?;
        let up = started.elapsed();
        let mut events = host.stream("/story", &json!({"prompt": "Once", "max_tokens": 4, "stream": true})).await?;
        events.next_json().await?;
        if round > 0 {
            rounds.push((up, started.elapsed()));
        }
    }
    let up = Sorted::millis(rounds.iter().map(|(up, _)| *up)).at(0.5);
    let first = Sorted::millis(rounds.iter().map(|(_, first)| *first)).at(0.5);
    println!("\nstart-up (median of {}): banner after {up:.0} ms, first token after {first:.0} ms", rounds.len());
    Ok(())
}

async fn hello(host: &TestHost, connections: usize, period: Duration) -> Result<()> {
    let started = Instant::now();
    let load = (0..connections).map(async |_| {
        let mut stream = TcpStream::connect(host.app_addr()).await?;
        stream.set_nodelay(true)?;
        let mut latencies = Vec::new();
        let mut buffer = vec![0; 4096];
        while started.elapsed() < period {
            let sent = Instant::now();
            stream.write_all(b"GET /hello HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
            read_response(&mut stream, &mut buffer).await?;
            latencies.push(sent.elapsed());
        }
        Result::<_>::Ok(latencies)
    });
    let latencies = try_join_all(load).await?.concat();
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    let (p50, p99) =
        (Sorted::millis(latencies.iter().copied()).at(0.5), Sorted::millis(latencies.iter().copied()).at(0.99));
    println!("{connections:>2} connections | {rate:>8.0} | {p50:.2} | {p99:.2}");
    Ok(())
}

/// Reads one response with a length or chunks; enough for an answer that fits the buffer.
async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    loop {
        let read = stream.read(buffer.get_mut(filled..).context("the answer is longer than expected")?).await?;
        anyhow::ensure!(read > 0, "the connection ended");
        filled += read;
        let text = std::str::from_utf8(buffer.get(..filled).unwrap_or_default())?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = match length {
            Some(length) => body.len() >= length.parse::<usize>()?,
            None => body.ends_with("0\r\n\r\n"),
        };
        if whole {
            return Ok(());
        }
    }
}

#[derive(Default)]
struct Told {
    tokens: u64,
    first: Vec<Duration>,
    between: Vec<Duration>,
}

async fn story(host: &TestHost, streams: usize, period: Duration) -> Result<()> {
    let started = Instant::now();
    let load = (0..streams).map(async |stream| {
        let mut told = Told::default();
        let mut round = 0;
        while started.elapsed() < period {
            let seed = stream * 1000 + round;
            round += 1;
            tell(host, seed, &mut told).await?;
        }
        Result::<_>::Ok(told)
    });
    let told = try_join_all(load).await?;
    let tokens: u64 = told.iter().map(|told| told.tokens).sum();
    let rate = tokens as f64 / started.elapsed().as_secs_f64();
    let first: Vec<_> = told.iter().flat_map(|told| told.first.iter().copied()).collect();
    let between: Vec<_> = told.iter().flat_map(|told| told.between.iter().copied()).collect();
    println!(
        "{streams:>2} streams   | {rate:>8.0} | {:.2} | {:.2} | {:.2} | {:.2}",
        Sorted::millis(first.iter().copied()).at(0.5),
        Sorted::millis(first.iter().copied()).at(0.99),
        Sorted::millis(between.iter().copied()).at(0.5),
        Sorted::millis(between.iter().copied()).at(0.99),
    );
    Ok(())
}

async fn tell(host: &TestHost, seed: usize, told: &mut Told) -> Result<()> {
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 128, "stream": true, "seed": seed});
    let asked = Instant::now();
    let mut events = host.stream("/story", &ask).await?;
    let mut last = None;
    while let Some(event) = events.next().await? {
        if event == "[DONE]" {
            break;
        }
        let now = Instant::now();
        match last {
            None => told.first.push(now - asked),
            Some(last) => told.between.push(now - last),
        }
        last = Some(now);
        let event: serde_json::Value = serde_json::from_str(&event)?;
        let at = |pointer| event.pointer(pointer);
        if at("/finish_reason").is_some_and(serde_json::Value::is_string) {
            told.tokens += at("/usage/output_tokens").and_then(serde_json::Value::as_u64).unwrap_or(0);
        }
    }
    Ok(())
}
