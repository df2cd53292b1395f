//! The admin API's events, as they come.

use crate::host::Host;
use anyhow::{Context, Result};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One event.
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Event {
    /// The step of a change of this release, or that the version it waits for warms up; `None` for every other event.
    pub(crate) fn step(&self, release: &str) -> Option<&str> {
        if self.kind == "version" && self.data.get("state").and_then(Value::as_str) == Some("warming") {
            return Some("warming");
        }
        let ours = self.kind == "change" && self.data.get("release").and_then(Value::as_str) == Some(release);
        self.data.get("step").and_then(Value::as_str).filter(|_| ours)
    }
}

/// Follows the events from now on.
pub(crate) struct Events {
    coming: mpsc::UnboundedReceiver<Event>,
    reader: JoinHandle<()>,
}

impl Events {
    pub(crate) async fn follow(host: &Host) -> Result<Self> {
        // Without the other requests' time limit: this answer never ends.
        let client = bobbin_tests::http().build()?;
        let answer = client.get(host.events_url()).send().await?.error_for_status()?;
        let (sender, coming) = mpsc::unbounded_channel();
        let reader = tokio::spawn(async move {
            let (mut body, mut pending) = (answer.bytes_stream(), Vec::new());
            // The host's death ends it too.
            while let Some(Ok(bytes)) = body.next().await {
                pending.extend_from_slice(&bytes);
                while let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") {
                    let event: Vec<u8> = pending.drain(..end + 2).collect();
                    if let Some(event) = parse(&String::from_utf8_lossy(&event)) {
                        // Nobody listens any more.
                        let _gone = sender.send(event);
                    }
                }
            }
        });
        Ok(Self { coming, reader })
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        let event = self.coming.recv().await.context("the events ended")?;
        anyhow::ensure!(event.kind != "lagged", "events were missed: {}", event.data);
        Ok(event)
    }

    /// Commits of this release, until so many have come: how long each flip took, in microseconds.
    pub(crate) async fn flips(&mut self, release: &str, count: usize) -> Result<Vec<f64>> {
        let mut flips = Vec::new();
        while flips.len() < count {
            let event = self.next().await?;
            if event.step(release) == Some("committed") {
                flips.push(event.data.get("flip_us").and_then(Value::as_f64).context("a commit without flip_us")?);
            }
        }
        Ok(flips)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Some(Event { kind: field("event: ")?.to_owned(), data: serde_json::from_str(field("data: ")?).ok()? })
}
