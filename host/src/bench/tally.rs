//! What was measured, and what it comes to: arithmetic alone.

use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered, to the end.
    Answered {
        /// Until the first byte of the body.
        first: Duration,
        /// Until the last.
        all: Duration,
        /// Tokens that the answer says were made.
        tokens: Option<u64>,
    },
    /// It was not, for this reason.
    Failed(String),
    /// Nobody answers there.
    Unreachable(String),
}

/// The reason of a request that was answered with this status.
pub(super) fn status(status: u16) -> String {
    format!("status {status}")
}

/// All requests so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    first: Vec<Duration>,
    all: Vec<Duration>,
    tokens: u64,
    /// Answers that said how many tokens they have.
    counted: u64,
    failed: BTreeMap<String, u64>,
    unreachable: u64,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) requests: u64,
    pub(super) answered: u64,
    /// Reasons, with how many requests each of them ended.
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) seconds: f64,
    pub(super) requests_per_second: f64,
    /// Of the answers that say how many they have; none where none does.
    pub(super) tokens_per_second: Option<f64>,
    pub(super) tokens: Option<u64>,
    /// Milliseconds until the first byte of the body.
    pub(super) first_byte_ms: Option<Spread>,
    /// Milliseconds until the last.
    pub(super) answer_ms: Option<Spread>,
}

/// The middle, and what all but one of a hundred kept below.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { first, all, tokens } => {
                self.first.push(first);
                self.all.push(all);
                self.counted += u64::from(tokens.is_some());
                self.tokens += tokens.unwrap_or(0);
            }
            Outcome::Failed(why) => *self.failed.entry(why).or_default() += 1,
            Outcome::Unreachable(why) => {
                self.unreachable += 1;
                *self.failed.entry(why).or_default() += 1;
            }
        }
    }

    /// Whether nobody was ever there.
    pub(super) fn is_unreachable(&self) -> bool {
        self.unreachable > 0 && self.unreachable == self.requests()
    }

    fn requests(&self) -> u64 {
        self.all.len() as u64 + self.failed.values().sum::<u64>()
    }

    /// What it comes to, after so long.
    pub(super) fn sum(mut self, after: Duration) -> Summary {
        let seconds = after.as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let answered = self.all.len() as u64;
        Summary {
            requests: self.requests(),
            answered,
            seconds,
            requests_per_second: rate(answered),
            tokens_per_second: (self.counted > 0).then(|| rate(self.tokens)),
            tokens: (self.counted > 0).then_some(self.tokens),
            first_byte_ms: spread(&mut self.first),
            answer_ms: spread(&mut self.all),
            failed: self.failed,
        }
    }
}

fn spread(times: &mut [Duration]) -> Option<Spread> {
    times.sort_unstable();
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    // The least time that so much of all are not above.
    let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).map(ms);
    Some(Spread { p50: at(50)?, p99: at(99)?, max: times.last().map(ms)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_to_rates_and_a_spread() {
        let mut tally = Tally::default();
        for ms in 1..=100 {
            let time = Duration::from_millis(ms);
            tally.count(Outcome::Answered { first: time, all: 2 * time, tokens: Some(10) });
        }
        tally.count(Outcome::Failed("status 429".into()));
        tally.count(Outcome::Failed("status 429".into()));
        assert!(!tally.is_unreachable());
        let summary = tally.sum(Duration::from_secs(10));
        assert_eq!((summary.requests, summary.answered), (102, 100));
        assert_eq!(summary.failed, BTreeMap::from([("status 429".to_owned(), 2)]));
        assert_eq!((summary.requests_per_second, summary.tokens_per_second), (10.0, Some(100.0)));
        assert_eq!(summary.first_byte_ms, Some(Spread { p50: 50.0, p99: 99.0, max: 100.0 }));
        assert_eq!(summary.answer_ms, Some(Spread { p50: 100.0, p99: 198.0, max: 200.0 }));
    }

    #[test]
    fn nothing_comes_to_nothing() {
        let mut tally = Tally::default();
        tally.count(Outcome::Unreachable("refused".into()));
        assert!(tally.is_unreachable());
        let summary = tally.sum(Duration::ZERO);
        assert_eq!((summary.tokens_per_second, summary.first_byte_ms, summary.requests_per_second), (None, None, 0.0));
    }
}
