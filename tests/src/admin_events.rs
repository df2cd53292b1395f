//! What a host tells of its releases while it happens.

use crate::Result;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;

/// One event of `GET /admin/v1/events`.
#[derive(Debug, Clone)]
pub struct AdminEvent {
    /// Its number.
    pub id: u64,
    /// `version`, `progress`, `change`, `release`, `bundle` or `drain`.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

impl AdminEvent {
    /// Whether it is of this kind, and has these texts in its data.
    #[must_use]
    pub fn is(&self, kind: &str, texts: &[(&str, &str)]) -> bool {
        self.kind == kind && texts.iter().all(|(key, text)| self.data.get(key).is_some_and(|is| is == text))
    }
}

/// A subscription to a host's events.
pub struct AdminEvents {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    pending: String,
    ready: VecDeque<AdminEvent>,
}

impl fmt::Debug for AdminEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminEvents").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl AdminEvents {
    pub(crate) async fn open(response: reqwest::Response) -> Result<Self> {
        if response.status() != 200 {
            bail!("{}: {}", response.status(), response.text().await?);
        }
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        ensure!(kind.starts_with("text/event-stream"), "the events are {kind}");
        Ok(Self { body: response.bytes_stream().boxed(), pending: String::new(), ready: VecDeque::new() })
    }

    /// The next event. A listener that was too slow is an error: a test must not miss any.
    ///
    /// # Errors
    /// When the stream ends, breaks, or is not as documented.
    pub async fn next(&mut self) -> Result<AdminEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let bytes = self.body.next().await.context("the events have ended")??;
            self.pending.push_str(std::str::from_utf8(&bytes)?);
            while let Some((frame, rest)) = self.pending.split_once("\n\n") {
                self.ready.extend(read(frame)?);
                self.pending = rest.to_owned();
            }
        }
    }

    /// All events up to the first that satisfies a condition, which is the last.
    ///
    /// # Errors
    /// As [`AdminEvents::next`]; with what was seen until then.
    pub async fn until(&mut self, wanted: impl Fn(&AdminEvent) -> bool) -> Result<Vec<AdminEvent>> {
        let mut seen = Vec::new();
        loop {
            let next = self.next().await;
            let event = next.with_context(|| format!("after these events: {seen:#?}"))?;
            let last = wanted(&event);
            seen.push(event);
            if last {
                return Ok(seen);
            }
        }
    }

    /// As [`AdminEvents::until`], for an event of this kind with these texts.
    ///
    /// # Errors
    /// As [`AdminEvents::next`].
    pub async fn until_is(&mut self, kind: &str, texts: &[(&str, &str)]) -> Result<Vec<AdminEvent>> {
        self.until(|event| event.is(kind, texts)).await
    }
}

/// One frame; a comment alone is none.
fn read(frame: &str) -> Result<Option<AdminEvent>> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if frame.lines().all(|line| line.is_empty() || line.starts_with(':')) {
        return Ok(None);
    }
    let kind = field("event").with_context(|| format!("an event without a kind: {frame:?}"))?;
    ensure!(kind != "lagged", "this listener was too slow: {frame:?}");
    let data = field("data").with_context(|| format!("an event without data: {frame:?}"))?;
    let id = field("id").with_context(|| format!("an event without a number: {frame:?}"))?.parse()?;
    Ok(Some(AdminEvent { id, kind: kind.to_owned(), data: serde_json::from_str(data)? }))
}
