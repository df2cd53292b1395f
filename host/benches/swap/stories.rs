//! Clients that have stories streamed to them, and what is wrong with what they were told.

use crate::host::Host;
use anyhow::{Context, Result};
use bobbin_tests::repository_root;
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::task::JoinHandle;

/// An answer that came whole.
pub(crate) struct Story {
    /// By the response's header, and by the last event.
    pub(crate) header: String,
    pub(crate) usage: String,
    pub(crate) text: String,
    pub(crate) tokens: u64,
    first: Instant,
    last: Instant,
}

/// An answer that did not.
pub(crate) enum Broken {
    /// No answer, another status than 200, or an error event.
    Failed(String),
    /// It ended, or its connection did, before the story was over.
    Truncated(String),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Truncated(why) => write!(f, "truncated: {why}"),
        }
    }
}

pub(crate) type Told = Result<Story, Broken>;

/// Asks for one story and reads it to its end.
pub(crate) async fn tell(http: &reqwest::Client, url: &str, ask: &Value) -> Told {
    let failed = |error: reqwest::Error| Broken::Failed(error.to_string());
    let answer = http.post(url).body(ask.to_string()).send().await.map_err(failed)?;
    let status = answer.status();
    if status != 200 {
        return Err(Broken::Failed(format!("{status}: {}", answer.text().await.unwrap_or_default())));
    }
    let header = answer.headers().get("bobbin-bundle").and_then(|value| value.to_str().ok());
    let header = header.unwrap_or_default().to_owned();
    let (mut body, mut bytes, mut first) = (answer.bytes_stream(), Vec::new(), None);
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| Broken::Truncated(error.to_string()))?);
        first.get_or_insert_with(Instant::now);
    }
    let last = Instant::now();
    read(&String::from_utf8_lossy(&bytes), header, first.unwrap_or(last), last)
}

fn read(body: &str, header: String, first: Instant, last: Instant) -> Told {
    let (mut text, mut end, mut done) = (String::new(), None, false);
    for line in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if line == "[DONE]" {
            done = true;
            continue;
        }
        let event: Value = serde_json::from_str(line).map_err(|error| Broken::Truncated(format!("{error}: {line}")))?;
        if event.get("error").is_some() {
            return Err(Broken::Failed(line.to_owned()));
        }
        text.push_str(event.get("text").and_then(Value::as_str).unwrap_or_default());
        if event.get("finish_reason").is_some_and(Value::is_string) {
            end = Some(event);
        }
    }
    let Some(end) = end.filter(|_| done) else { return Err(Broken::Truncated(format!("it ends with {text:?}"))) };
    let usage = end.get("bundle").and_then(Value::as_str).unwrap_or_default().to_owned();
    let tokens = end.pointer("/usage/output_tokens").and_then(Value::as_u64).unwrap_or(0);
    Ok(Story { header, usage, text, tokens, first, last })
}

/// Streams that have one story after another told to them.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    streams: Vec<JoinHandle<Vec<Told>>>,
}

impl Load {
    pub(crate) fn start(host: &Host, path: &str, streams: u64, max_tokens: u32) -> Self {
        /// No story is told twice in a run.
        static SEED: AtomicU64 = AtomicU64::new(1);
        let stop = Arc::new(AtomicBool::new(false));
        let stream = |_| {
            let (http, url, stop) = (host.http.clone(), host.url(path), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut told = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let seed = SEED.fetch_add(1, Ordering::Relaxed);
                    let ask =
                        json!({"prompt": "Once upon a time", "max_tokens": max_tokens, "stream": true, "seed": seed});
                    told.push(tell(&http, &url, &ask).await);
                }
                told
            })
        };
        let streams = (0..streams).map(stream).collect();
        Self { stop, streams }
    }

    /// Lets the last stories end, and returns all.
    pub(crate) async fn stop(self) -> Result<Vec<Told>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for stream in self.streams {
            all.append(&mut stream.await?);
        }
        Ok(all)
    }
}

/// Tokens per second of all streams between two moments. A story that began or ended outside counts by its share.
pub(crate) fn rate(told: &[Told], from: Instant, to: Instant) -> f64 {
    let tokens = |story: &Story| {
        let length = (story.last - story.first).as_secs_f64().max(1e-6);
        let inside = story.last.min(to).saturating_duration_since(story.first.max(from)).as_secs_f64();
        story.tokens as f64 * inside / length
    };
    told.iter().flatten().map(tokens).sum::<f64>() / (to - from).as_secs_f64()
}

/// Words that only one version's stories have.
pub(crate) struct Themes {
    meadow: BTreeSet<String>,
    sea: BTreeSet<String>,
}

impl Themes {
    pub(crate) fn read() -> Result<Self> {
        let recipe = repository_root().join("models/recipes/storyteller");
        let file = |name: &str| {
            let path = recipe.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        // A theme is lists of phrases: what stands in quotes.
        let theme = |name: &str| Result::<_>::Ok(words(&quoted(&file(name)?)));
        let (meadow, sea, plots) =
            (theme("themes/meadow.toml")?, theme("themes/sea.toml")?, words(&file("plots.txt")?));
        let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            one.iter().filter(|word| !other.contains(*word) && !plots.contains(*word)).cloned().collect()
        };
        Ok(Self { meadow: only(&meadow, &sea), sea: only(&sea, &meadow) })
    }

    /// How many words of its own theme a story has, and which of the other.
    pub(crate) fn of(&self, story: &Story) -> (usize, Vec<String>) {
        let sea = story.header.ends_with("@1.1.0");
        let (own, other) = if sea { (&self.sea, &self.meadow) } else { (&self.meadow, &self.sea) };
        let words = words(&story.text);
        (words.intersection(own).count(), words.intersection(other).cloned().collect())
    }
}

fn quoted(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 2);
    words.map(str::to_lowercase).collect()
}
