//! The ways to use the cores that are compared, and one turn of each.

use anyhow::{Result, ensure};
use bobbin_tests::{Sorted, Stories, Story, TestHost, eventually, rate, refuse_broken};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From a change until what it began has settled.
const SETTLE: Duration = Duration::from_millis(1500);
const TOKENS: u32 = 128;
/// The versions of the release, by the side that the header names.
const STABLE: (&str, &str) = ("stable", "model@1.0.0");
const CANDIDATE: (&str, &str) = ("candidate", "model@1.1.0");

/// A number of workers, and which of them have a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    One,
    OneWithTwo,
    BesideIdle,
    Canary,
}

/// What one turn made.
pub(crate) struct Figures {
    /// Tokens/s of each stream's version; of both streams together where one version has both.
    rates: Vec<f64>,
    /// Between the tokens of any stream, in milliseconds.
    pub(crate) gaps: Sorted,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        self.rates.iter().sum()
    }

    pub(crate) fn slowest(&self) -> f64 {
        self.rates.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn shown(&self) -> String {
        let rates: Vec<_> = self.rates.iter().map(|rate| format!("{rate:.1}")).collect();
        format!("{} tokens/s, inter-token p50 {:.1} ms", rates.join(" + "), self.gaps.at(0.5))
    }
}

impl Way {
    /// Those without a candidate stand together, since loading one takes its time.
    pub(crate) const ALL: [Self; 4] = [Self::One, Self::OneWithTwo, Self::BesideIdle, Self::Canary];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one worker, one stream",
            Self::OneWithTwo => "one worker, two streams",
            Self::BesideIdle => "one worker beside an idle one, one stream",
            Self::Canary => "two workers, a stream each",
        }
    }

    /// The streams of each version that has any.
    fn streams(self) -> Vec<((&'static str, &'static str), u64)> {
        match self {
            Self::One | Self::BesideIdle => vec![(STABLE, 1)],
            Self::OneWithTwo => vec![(STABLE, 2)],
            Self::Canary => vec![(STABLE, 1), (CANDIDATE, 1)],
        }
    }

    pub(crate) async fn measure(self, host: &TestHost, length: Duration) -> Result<Figures> {
        self.settle(host).await?;
        let http = bobbin_tests::http().tcp_nodelay(true).build()?;
        let start = |(side, streams): ((&'static str, &'static str), u64)| {
            let (http, url) = (http.clone(), host.url("/story"));
            let stories = Stories::start(streams, move |seed| {
                let ask = json!({"prompt": "Once upon a time", "max_tokens": TOKENS, "stream": true, "seed": seed});
                http.post(&url).header("bobbin-version", side.0).body(ask.to_string())
            });
            (side, stories)
        };
        let all: Vec<_> = self.streams().into_iter().map(start).collect();
        tokio::time::sleep(SETTLE).await;
        let from = Instant::now();
        tokio::time::sleep(length).await;
        let to = Instant::now();
        let (mut rates, mut gaps) = (Vec::new(), Vec::new());
        for ((_, version), stories) in all {
            let told = stories.stop().await?;
            refuse_broken(&told)?;
            let other = told.iter().flatten().find(|story| story.header != version);
            ensure!(other.is_none(), "{:?} answered for {version}", other.map(|story| &story.header));
            rates.push(rate(&told, from, to));
            gaps.extend(told.iter().flatten().flat_map(|story: &Story| story.gaps(from, to)));
        }
        Ok(Figures { rates, gaps: Sorted::millis(gaps) })
    }

    /// As many workers as this way has, and no more.
    async fn settle(self, host: &TestHost) -> Result<()> {
        let second = matches!(self, Self::BesideIdle | Self::Canary);
        let candidate = if second { json!({"bundle": CANDIDATE.1, "weight": 50}) } else { Value::Null };
        host.release("story").set(json!({ "candidate": candidate })).await?;
        let workers = 1 + usize::from(second);
        eventually(async || Ok((host.workers()?.len() == workers).then_some(()))).await
    }
}
