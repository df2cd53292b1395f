//! How much one key has used, and whether it may use more.

use crate::bucket::{Bucket, Level};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a key may use a minute; nothing where it may use as much as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) requests: Option<u32>,
    pub(crate) tokens: Option<u32>,
}

/// How a key's limits stand; nothing where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Levels {
    /// Requests.
    pub requests: Option<Level>,
    /// Tokens, of prompts and answers together.
    pub tokens: Option<Level>,
}

/// Which of a key's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Requests a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
}

/// A key has used what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub which: Which,
    /// Until it may use more.
    pub wait: Duration,
}

/// What one key uses. It lives as long as the host knows the key.
#[derive(Debug)]
pub(crate) struct Meter {
    limits: Limits,
    buckets: Mutex<Buckets>,
    admitted: AtomicU64,
    limited: AtomicU64,
    tokens: AtomicU64,
}

#[derive(Debug)]
struct Buckets {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

impl Meter {
    pub(crate) fn new(limits: Limits, now: Duration) -> Self {
        let bucket = |limit: Option<u32>| limit.map(|limit| Bucket::per_minute(limit, now));
        Self {
            limits,
            buckets: Mutex::new(Buckets { requests: bucket(limits.requests), tokens: bucket(limits.tokens) }),
            admitted: AtomicU64::default(),
            limited: AtomicU64::default(),
            tokens: AtomicU64::default(),
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes a request from the limits, unless one of them is used up. What it will use of tokens is not known yet: it is
    /// let pass as long as there are any. It is counted by [`Meter::taken`], or given back.
    pub(crate) fn admit(&self, now: Duration) -> (Levels, Result<(), Limited>) {
        let mut buckets = self.buckets.lock();
        let admitted = buckets.admit(now);
        if admitted.is_err() {
            self.limited.fetch_add(1, Ordering::Relaxed);
        }
        (buckets.levels(now), admitted)
    }

    /// Counts a request that was let pass.
    pub(crate) fn taken(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    /// Has one be as if it had never come.
    pub(crate) fn give_back(&self, now: Duration) -> Levels {
        let mut buckets = self.buckets.lock();
        if let Some(requests) = &mut buckets.requests {
            requests.give_back(now);
        }
        buckets.levels(now)
    }

    pub(crate) fn charge(&self, tokens: u64, now: Duration) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        if let Some(bucket) = &mut self.buckets.lock().tokens {
            bucket.charge(tokens, now);
        }
    }

    /// Requests taken, requests refused for a limit, tokens used.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.admitted, &self.limited, &self.tokens].map(|counter| counter.load(Ordering::Relaxed))
    }
}

impl Buckets {
    fn admit(&mut self, now: Duration) -> Result<(), Limited> {
        // Tokens first: a request that they refuse is none that counts.
        if let Some(tokens) = &mut self.tokens {
            tokens.has(now).map_err(|wait| Limited { which: Which::Tokens, wait })?;
        }
        match &mut self.requests {
            Some(requests) => requests.take(now).map_err(|wait| Limited { which: Which::Requests, wait }),
            None => Ok(()),
        }
    }

    fn levels(&mut self, now: Duration) -> Levels {
        let level = |bucket: &mut Option<Bucket>| bucket.as_mut().map(|bucket| bucket.level(now));
        Levels { requests: level(&mut self.requests), tokens: level(&mut self.tokens) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn requests_count_before_and_tokens_after() {
        let meter = Meter::new(Limits { requests: Some(2), tokens: Some(100) }, NOW);
        let (levels, admitted) = meter.admit(NOW);
        assert_eq!(admitted, Ok(()));
        assert_eq!(levels.requests.map(|level| level.remaining), Some(1));
        assert_eq!(levels.tokens.map(|level| level.remaining), Some(100));
        meter.charge(250, NOW);
        let (levels, refused) = meter.admit(NOW);
        // A hundred and fifty are owed, and one is needed.
        let wait = Duration::from_millis(90_600);
        assert_eq!(refused, Err(Limited { which: Which::Tokens, wait }));
        assert_eq!(
            levels.requests.map(|level| level.remaining),
            Some(1),
            "a request that tokens refuse does not count"
        );
        assert_eq!(meter.admit(NOW + wait).1, Ok(()));
        meter.taken();
        assert_eq!(meter.counts(), [1, 1, 250]);
    }

    #[test]
    fn a_request_that_is_given_back_is_as_if_it_had_never_come() {
        let meter = Meter::new(Limits { requests: Some(1), tokens: None }, NOW);
        for _ in 0..3 {
            assert_eq!(meter.admit(NOW).1, Ok(()));
            assert_eq!(meter.give_back(NOW).requests.map(|level| level.remaining), Some(1));
        }
        assert_eq!(meter.counts(), [0, 0, 0]);
    }

    #[test]
    fn a_key_without_limits_has_none_to_tell() {
        let meter = Meter::new(Limits::default(), NOW);
        for _ in 0..1000 {
            assert_eq!(meter.admit(NOW), (Levels::default(), Ok(())));
            meter.taken();
        }
        meter.charge(7, NOW);
        assert_eq!(meter.counts(), [1000, 0, 7]);
    }
}
