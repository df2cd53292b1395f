//! Releases of a running host: swaps, canaries, rollbacks, and everything that can go wrong with them.

#![allow(clippy::indexing_slicing, reason = "a key that is not there is null, which no comparison expects")]

mod bad_input;
mod command_line;
mod damaged;
mod drain;
mod failures;
mod kills;
mod memory;
mod mutants;
mod policies;
mod rollback;
mod shadow;
mod split;
mod state;
mod swaps;
mod watch;

use anyhow::{Context, bail, ensure};
use bobbin_tests::{Result, TestHost, Theme, Voices};
use serde_json::{Value, json};

/// Tells of a meadow.
const MEADOW: &str = "storyteller@1.0.0";
/// Its refresh: tells of the sea.
const SEA: &str = "storyteller@1.1.0";

/// A question whose answer is long enough to be heard of whom it is.
fn ask(seed: u64) -> Value {
    json!({"prompt": "Once upon a time", "max_tokens": 80, "temperature": 0.4, "seed": seed})
}

/// A question for the least of an answer.
fn ask_least() -> Value {
    json!({"prompt": "Once", "max_tokens": 1})
}

/// A whole answer, and what it says of where it comes from.
#[derive(Debug)]
struct Story {
    header: String,
    bundle: String,
    text: String,
    tokens: u64,
}

impl Story {
    /// Whose words its text has.
    fn voices(&self) -> Voices {
        Voices::of(&self.text)
    }

    /// What does not fit together, if anything does.
    fn contradiction(&self) -> Option<String> {
        let theme = Theme::of(&self.bundle);
        let other = self.voices().theme().is_some_and(|heard| Some(heard) != theme);
        let wrong = self.header != self.bundle || other || self.voices().is_mixed();
        wrong.then(|| format!("{:?}: {self:?}", self.voices()))
    }
}

/// Asks for a story in one piece.
async fn tell(host: &TestHost, ask: &Value) -> Result<Story> {
    let answer = host.post_json("/story", ask).await?;
    ensure!(answer.status() == 200, "{}: {}", answer.status(), answer.text());
    let header = answer.header("bobbin-bundle").context("no header")?.to_owned();
    story(header, &answer.json()?, None)
}

/// Asks for a story piece by piece; one that breaks off is an error.
async fn stream(host: &TestHost, ask: &Value) -> Result<Story> {
    let mut ask = ask.clone();
    ask["stream"] = true.into();
    let mut events = host.stream("/story", &ask).await?;
    let header = events.header("bobbin-bundle").context("no header")?.to_owned();
    let events = events.rest().await.with_context(|| format!("a stream of {header} broke off"))?;
    streamed(header, &events)
}

/// The story in the events of a streamed answer; one that was cut is an error.
fn streamed(header: String, events: &[String]) -> Result<Story> {
    let [pieces @ .., last, done] = events else { bail!("no whole story: {events:?}") };
    ensure!(done == "[DONE]", "a stream was truncated: {events:?}");
    let mut text = String::new();
    for piece in pieces {
        text.push_str(serde_json::from_str::<Value>(piece)?["text"].as_str().with_context(|| piece.clone())?);
    }
    story(header, &serde_json::from_str(last)?, Some(text))
}

fn story(header: String, data: &Value, text: Option<String>) -> Result<Story> {
    let text = text.or_else(|| data["text"].as_str().map(str::to_owned));
    Ok(Story {
        header,
        bundle: data["bundle"].as_str().with_context(|| format!("no bundle: {data}"))?.to_owned(),
        tokens: data["usage"]["output_tokens"].as_u64().with_context(|| format!("no usage: {data}"))?,
        text: text.with_context(|| format!("no text: {data}"))?,
    })
}
