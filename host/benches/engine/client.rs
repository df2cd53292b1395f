//! One request to either server, and when each piece of its answer came.

use anyhow::{Context, Result, ensure};
use bobbin_tests::{Events, process_status};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longer than the slowest answer of a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Bobbin,
    LlamaServer,
}

/// A server that runs.
pub(crate) struct Server {
    protocol: Protocol,
    url: String,
    /// Its processes.
    pids: Vec<u32>,
    http: reqwest::Client,
}

/// What came of one request.
pub(crate) struct Answer {
    pub(crate) asked: Instant,
    /// When each piece came; there is one at least.
    pub(crate) pieces: Vec<Instant>,
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached: u64,
}

impl Answer {
    pub(crate) fn first(&self) -> Duration {
        self.pieces.first().map_or(Duration::MAX, |first| *first - self.asked)
    }

    pub(crate) fn gaps(&self) -> impl Iterator<Item = Duration> + '_ {
        self.pieces.iter().zip(self.pieces.iter().skip(1)).map(|(before, after)| *after - *before)
    }

    pub(crate) fn last(&self) -> Instant {
        self.pieces.last().copied().unwrap_or(self.asked)
    }
}

impl Server {
    pub(crate) fn new(protocol: Protocol, address: SocketAddr, pids: Vec<u32>) -> Result<Self> {
        let path = match protocol {
            Protocol::Bobbin => "/story",
            Protocol::LlamaServer => "/completion",
        };
        // A connection each: llama-server closes those that were idle for seconds just when they are used again.
        let http = bobbin_tests::http().timeout(PATIENCE).tcp_nodelay(true).pool_max_idle_per_host(0).build()?;
        Ok(Self { protocol, url: format!("http://{address}{path}"), pids, http })
    }

    /// Has a text continued by exactly so many tokens, as both servers sample.
    pub(crate) async fn ask(&self, prompt: &str, tokens: u32, seed: u32) -> Result<Answer> {
        let body = match self.protocol {
            Protocol::Bobbin => json!({
                "prompt": prompt, "max_tokens": tokens, "seed": seed, "stream": true,
                "temperature": 0.8, "top_k": 40, "top_p": 0.95, "repeat_penalty": 1.0,
            }),
            Protocol::LlamaServer => json!({
                "prompt": prompt, "n_predict": tokens, "seed": seed, "stream": true, "ignore_eos": true,
                "temperature": 0.8, "top_k": 40, "top_p": 0.95, "samplers": ["top_k", "top_p", "temperature"],
            }),
        };
        let asked = Instant::now();
        let request = self.http.post(&self.url).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status == 200, "{status}: {}", answer.text().await?);
        let (mut events, mut pieces, mut end) = (Events::new(answer), Vec::new(), None);
        while let Some(event) = events.next().await?.filter(|event| event != "[DONE]") {
            pieces.push(Instant::now());
            let event: Value = serde_json::from_str(&event)?;
            ensure!(event.get("error").is_none(), "{event}");
            let last = match self.protocol {
                Protocol::Bobbin => event.get("finish_reason").is_some_and(Value::is_string),
                Protocol::LlamaServer => event.get("stop") == Some(&Value::Bool(true)),
            };
            if last {
                end = Some(event);
            }
        }
        let end = end.context("the answer has no end")?;
        let number = |pointer: &str| end.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let (input, output, cached) = match self.protocol {
            Protocol::Bobbin => ("/usage/input_tokens", "/usage/output_tokens", "/usage/cached_tokens"),
            Protocol::LlamaServer => ("/tokens_evaluated", "/tokens_predicted", "/timings/cache_n"),
        };
        let (input, output, cached) = (number(input), number(output), number(cached));
        ensure!(output == u64::from(tokens), "{output} tokens came, not {tokens}: {end}");
        Ok(Answer { asked, pieces, input, output, cached })
    }

    /// The most resident memory that its processes ever had, in MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        let peaks = self.pids.iter().map(|pid| process_status(*pid, "VmHWM:"));
        Ok(peaks.sum::<Result<u64>>()? as f64 / 1024.0)
    }
}
