//! Answers as a client sees them.

use crate::Result;
use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::HeaderMap;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, text: response.text().await? })
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A header, where there is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none; with the body.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.text).with_context(|| format!("no JSON: {}", self.text))
    }
}

/// Server-sent events, one at a time.
pub struct Events {
    headers: HeaderMap,
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    pending: Vec<u8>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Events {
    /// Those of an answer.
    #[must_use]
    pub fn new(response: reqwest::Response) -> Self {
        Self { headers: response.headers().clone(), body: response.bytes_stream().boxed(), pending: Vec::new() }
    }

    /// A header, where there is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The data of the next event; `None` after a clean end.
    ///
    /// # Errors
    /// When the connection breaks, or the body ends inside an event.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.pending.drain(..end + 2).collect();
                let event = String::from_utf8(event)?;
                // A comment is no event: servers send some so that a connection on which nothing comes is kept.
                if event.lines().all(|line| line.is_empty() || line.starts_with(':')) {
                    continue;
                }
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                return Ok(Some(data.with_context(|| format!("an event without data: {event:?}"))?.to_owned()));
            }
            match self.body.next().await {
                Some(bytes) => self.pending.extend_from_slice(&bytes?),
                None => {
                    ensure!(self.pending.is_empty(), "the body ended inside an event");
                    return Ok(None);
                }
            }
        }
    }

    /// The next event as JSON.
    ///
    /// # Errors
    /// As [`Events::next`], and when there is none or it is no JSON.
    pub async fn next_json(&mut self) -> Result<serde_json::Value> {
        let data = self.next().await?.context("the stream has ended")?;
        serde_json::from_str(&data).with_context(|| format!("no JSON: {data}"))
    }

    /// All that is left.
    ///
    /// # Errors
    /// As [`Events::next`].
    pub async fn rest(&mut self) -> Result<Vec<String>> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await? {
            rest.push(event);
        }
        Ok(rest)
    }
}
