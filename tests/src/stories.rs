//! Clients that have stories streamed to them, and what is wrong with what they were told.

use anyhow::bail;
use futures::StreamExt;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// An answer that came whole.
#[derive(Debug)]
pub struct Story {
    /// The version that answered, by the response's header.
    pub header: String,
    /// The same, by the last event.
    pub usage: String,
    /// All of it.
    pub text: String,
    /// How many it has.
    pub tokens: u64,
    /// When each part of the body came.
    parts: Vec<Instant>,
}

impl Story {
    /// The times between its parts that come within a span.
    pub fn gaps(&self, from: Instant, to: Instant) -> impl Iterator<Item = Duration> + '_ {
        let pairs = self.parts.iter().zip(self.parts.iter().skip(1));
        pairs.filter(move |(before, after)| **before >= from && **after <= to).map(|(before, after)| *after - *before)
    }
}

/// An answer that did not.
#[derive(Debug)]
pub enum Broken {
    /// No answer.
    Failed(String),
    /// Another status than 200, and the body with it.
    Refused(u16, String),
    /// An error event, which is this.
    Error(String),
    /// It ended, or its connection did, before the story was over.
    Truncated(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) | Self::Error(why) => write!(f, "failed: {why}"),
            Self::Refused(status, body) => write!(f, "failed: {status}: {body}"),
            Self::Truncated(why) => write!(f, "truncated: {why}"),
        }
    }
}

/// What came of asking for a story.
pub type Told = Result<Story, Broken>;

/// Asks for one story and reads it to its end.
///
/// # Errors
/// When it does not come whole.
pub async fn tell(request: RequestBuilder) -> Told {
    let (header, answer) = head(request).await?;
    let (mut body, mut bytes, mut parts) = (answer.bytes_stream(), Vec::new(), Vec::new());
    while let Some(part) = body.next().await {
        bytes.extend_from_slice(&part.map_err(|error| Broken::Truncated(causes(&error)))?);
        parts.push(Instant::now());
    }
    read(&String::from_utf8_lossy(&bytes), header, parts)
}

/// Sends a request, and returns the head of its answer with the version that made it, by its header.
///
/// # Errors
/// When no head comes, or another status than 200.
pub async fn head(request: RequestBuilder) -> Result<(String, Response), Broken> {
    let answer = request.send().await.map_err(|error| Broken::Failed(causes(&error)))?;
    let status = answer.status();
    if status != 200 {
        return Err(Broken::Refused(status.as_u16(), answer.text().await.unwrap_or_default()));
    }
    let header = answer.headers().get("bobbin-bundle").and_then(|value| value.to_str().ok());
    Ok((header.unwrap_or_default().to_owned(), answer))
}

/// As [`head`], with the whole body.
///
/// # Errors
/// As [`head`], and when the body does not come whole.
pub async fn whole(request: RequestBuilder) -> Result<(String, String), Broken> {
    let (header, answer) = head(request).await?;
    Ok((header, answer.text().await.map_err(|error| Broken::Truncated(causes(&error)))?))
}

/// An error and what is behind it, which reqwest's own text leaves out.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn read(body: &str, header: String, parts: Vec<Instant>) -> Told {
    let (mut text, mut end, mut done) = (String::new(), None, false);
    for line in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if line == "[DONE]" {
            done = true;
            continue;
        }
        let event: Value = serde_json::from_str(line).map_err(|error| Broken::Truncated(format!("{error}: {line}")))?;
        if event.get("error").is_some() {
            return Err(Broken::Error(line.to_owned()));
        }
        text.push_str(event.get("text").and_then(Value::as_str).unwrap_or_default());
        if event.get("finish_reason").is_some_and(Value::is_string) {
            end = Some(event);
        }
    }
    let Some(end) = end.filter(|_| done) else { return Err(Broken::Truncated(format!("it ends with {text:?}"))) };
    let usage = end.get("bundle").and_then(Value::as_str).unwrap_or_default().to_owned();
    let tokens = end.pointer("/usage/output_tokens").and_then(Value::as_u64).unwrap_or(0);
    Ok(Story { header, usage, text, tokens, parts })
}

/// Streams that have one story after another told to them.
#[derive(Debug)]
pub struct Stories {
    stop: Arc<AtomicBool>,
    streams: Vec<JoinHandle<Vec<Told>>>,
}

impl Stories {
    /// So many streams, each of which sends what `ask` makes of a seed.
    pub fn start(streams: u64, ask: impl Fn(u64) -> RequestBuilder + Send + Sync + 'static) -> Self {
        /// No story is told twice in a run.
        static SEED: AtomicU64 = AtomicU64::new(1);
        let (stop, ask) = (Arc::new(AtomicBool::new(false)), Arc::new(ask));
        let stream = |_| {
            let (ask, stop) = (Arc::clone(&ask), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut told = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    told.push(tell(ask(SEED.fetch_add(1, Ordering::Relaxed))).await);
                }
                told
            })
        };
        let streams = (0..streams).map(stream).collect();
        Self { stop, streams }
    }

    /// Lets the last stories end, and returns all.
    ///
    /// # Errors
    /// When a stream panicked.
    pub async fn stop(self) -> crate::Result<Vec<Told>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for stream in self.streams {
            all.append(&mut stream.await?);
        }
        Ok(all)
    }
}

/// Tokens per second of all streams between two moments. A story that began or ended outside counts by its share.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "a count of tokens")]
pub fn rate(told: &[Told], from: Instant, to: Instant) -> f64 {
    let tokens = |story: &Story| {
        let (Some(&first), Some(&last)) = (story.parts.first(), story.parts.last()) else { return 0.0 };
        let length = (last - first).as_secs_f64().max(1e-6);
        let inside = last.min(to).saturating_duration_since(first.max(from)).as_secs_f64();
        story.tokens as f64 * inside / length
    };
    told.iter().flatten().map(tokens).sum::<f64>() / (to - from).as_secs_f64()
}

/// That all are whole: a rate of which some stories are missing says nothing.
///
/// # Errors
/// With the first that is not.
pub fn refuse_broken(told: &[Told]) -> crate::Result {
    match told.iter().find_map(|told| told.as_ref().err()) {
        Some(broken) => bail!("a story under load {broken}"),
        None => Ok(()),
    }
}
