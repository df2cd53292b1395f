//! The kinds of hostile guests, and the load that they make.

use anyhow::Result;
use bobbin_tests::{Span, TestHost};
use futures::future::join_all;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How often a hostile client may ask.
const PACE: Duration = Duration::from_secs(1);

/// A way to ask for too much.
pub(crate) struct Kind {
    /// As `tests/fixtures/components/hostile` calls it.
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Bytes of a tensor or prompt, or how many are kept at once.
    size: u64,
    /// Whether it asks for too much; else it is there to compare with.
    pub(crate) hostile: bool,
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind { name: "giant-tensors", what: "compute with tensors of 4 MiB", size: 4 << 20, hostile: true },
    Kind { name: "contexts", what: "5,000 contexts at once", size: 5000, hostile: true },
    Kind { name: "never-read", what: "4 streams that are never read", size: 4, hostile: true },
    Kind { name: "huge-prompts", what: "prompts of 1 MiB", size: 1 << 20, hostile: true },
    Kind { name: "json-bombs", what: "JSON bombs in options", size: 0, hostile: true },
    Kind { name: "busy", what: "to compare: a guest that only computes", size: 0, hostile: false },
];

/// How hard hostile clients try.
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// How long each of their guests goes on.
    pub(crate) lasting: Duration,
    pub(crate) length: Duration,
}

/// What came of one kind.
#[derive(Default)]
pub(crate) struct Attacked {
    /// The most by which the host's memory grew, in bytes.
    pub(crate) grown: u64,
    /// The longest that a client waited for its answer.
    pub(crate) longest: Duration,
    /// Answers by status.
    answers: BTreeMap<String, u64>,
    /// Attempts of guests that told, by outcome.
    outcomes: BTreeMap<String, u64>,
}

impl Attacked {
    pub(crate) fn add(&mut self, other: Self) {
        self.grown = self.grown.max(other.grown);
        self.longest = self.longest.max(other.longest);
        sum(&mut self.answers, other.answers);
        sum(&mut self.outcomes, other.outcomes);
    }

    pub(crate) fn shown(&self) -> String {
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        format!("{}; {}", list(&self.answers), list(&self.outcomes))
    }

    fn count(&mut self, took: Duration, answer: &str, body: &Value) {
        self.longest = self.longest.max(took);
        *self.answers.entry(answer.to_owned()).or_default() += 1;
        for (outcome, count) in body.get("outcomes").and_then(Value::as_object).into_iter().flatten() {
            *self.outcomes.entry(outcome.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
    }
}

fn sum(counts: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (what, count) in more {
        *counts.entry(what).or_default() += count;
    }
}

impl Load {
    /// One kind, for as long as an attack goes on; it is over when the last answer is there.
    pub(crate) async fn attack(
        &self,
        host: &TestHost,
        http: &reqwest::Client,
        kind: &Kind,
    ) -> Result<(Span, Attacked)> {
        let (name, size, lasting) = (kind.name, kind.size, self.lasting.as_millis());
        let url = host.url(&format!("/f3/attack/{name}?size={size}&ms={lasting}"));
        let memory = host.watch_memory()?;
        let from = Instant::now();
        let clients = join_all((0..self.clients).map(|nth| self.client(nth, http, &url))).await;
        let mut attacked = Attacked { grown: memory.peak_growth()?, ..Attacked::default() };
        clients.into_iter().for_each(|client| attacked.add(client));
        Ok((Span { what: Some(name), from, to: Instant::now() }, attacked))
    }

    async fn client(&self, nth: usize, http: &reqwest::Client, url: &str) -> Attacked {
        let mut attacked = Attacked::default();
        let end = Instant::now() + self.length;
        // They take turns within a second, as strangers would.
        let first = tokio::time::Instant::now() + PACE * nth as u32 / self.clients as u32;
        let mut pace = tokio::time::interval_at(first, PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let sent = Instant::now();
            if sent >= end {
                return attacked;
            }
            let (answer, body) = match http.get(url).send().await {
                Ok(answer) => (answer.status().as_u16().to_string(), answer.json().await.unwrap_or_default()),
                Err(_broken) => ("broken".to_owned(), Value::Null),
            };
            attacked.count(sent.elapsed(), &answer, &body);
        }
    }
}
