//! A token bucket, without a clock: so much a minute, all of it at once where nothing was taken for a minute.
//!
//! What is used is known only afterwards where it is tokens, so a bucket can be in debt: it then gives nothing until the
//! debt is paid. Over any time the average is exactly the limit. Everything is counted in whole numbers.

use std::time::Duration;

/// One of what is counted, in the units that a bucket counts in: then a nanosecond brings exactly `limit` units.
const ONE: i128 = 60_000_000_000;

/// What one key may use a minute of one thing.
#[derive(Debug, Clone)]
pub struct Bucket {
    limit: u32,
    /// Below zero where more was used than there was.
    level: i128,
    /// When the level was right, on the caller's clock.
    at: Duration,
}

/// How a bucket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// A minute's worth.
    pub limit: u32,
    /// What may be used now.
    pub remaining: u32,
    /// Until it is full again.
    pub reset: Duration,
}

impl Bucket {
    /// A full bucket. `now` is the time on any clock that does not go back; the same one is meant in every call.
    #[must_use]
    pub fn per_minute(limit: u32, now: Duration) -> Self {
        Self { limit, level: Self::full(limit), at: now }
    }

    fn full(limit: u32) -> i128 {
        i128::from(limit) * ONE
    }

    fn refill(&mut self, now: Duration) {
        // Threads may read the clock in one order and come here in another.
        let Some(elapsed) = now.checked_sub(self.at) else { return };
        self.at = now;
        let more = nanoseconds(elapsed).saturating_mul(self.limit.into());
        self.level = self.level.saturating_add(more).min(Self::full(self.limit));
    }

    /// Whether one is there. Otherwise: how long until it is.
    ///
    /// # Errors
    /// The time to wait.
    pub fn has(&mut self, now: Duration) -> Result<(), Duration> {
        self.refill(now);
        if self.level >= ONE { Ok(()) } else { Err(self.until(ONE)) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time to wait until one is there; nothing is taken then.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.has(now)?;
        self.level -= ONE;
        Ok(())
    }

    /// Puts back one that was taken and not used.
    pub fn give_back(&mut self, now: Duration) {
        self.refill(now);
        self.level = self.level.saturating_add(ONE).min(Self::full(self.limit));
    }

    /// Takes what was used, whether it is there or not.
    pub fn charge(&mut self, used: u64, now: Duration) {
        self.refill(now);
        self.level = self.level.saturating_sub(i128::from(used).saturating_mul(ONE));
    }

    /// How it stands.
    #[must_use]
    pub fn level(&mut self, now: Duration) -> Level {
        self.refill(now);
        let remaining = u32::try_from(self.level.max(0) / ONE).unwrap_or(u32::MAX);
        Level { limit: self.limit, remaining, reset: self.until(Self::full(self.limit)) }
    }

    /// How long until the level is this one.
    fn until(&self, level: i128) -> Duration {
        let missing = (level - self.level).max(0);
        let nanoseconds =
            missing.div_euclid(self.limit.max(1).into()) + i128::from(missing.rem_euclid(self.limit.max(1).into()) > 0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Duration = Duration::from_secs(5);

    fn after(seconds: u64) -> Duration {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_minutes_worth_is_there_at_once_and_then_comes_back_evenly() {
        let mut bucket = Bucket::per_minute(2, START);
        assert_eq!(bucket.take(START), Ok(()));
        assert_eq!(bucket.take(START), Ok(()));
        assert_eq!(bucket.take(START), Err(Duration::from_secs(30)));
        assert_eq!(bucket.take(after(29)), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(after(30)), Ok(()));
        assert_eq!(bucket.take(after(30)), Err(Duration::from_secs(30)));
    }

    #[test]
    fn a_bucket_holds_no_more_than_a_minutes_worth() {
        let mut bucket = Bucket::per_minute(1, START);
        assert_eq!(bucket.take(after(3600)), Ok(()));
        assert_eq!(bucket.take(after(3600)), Err(Duration::from_secs(60)));
    }

    #[test]
    fn what_was_used_beyond_the_limit_is_a_debt_that_time_pays() {
        let mut bucket = Bucket::per_minute(60, START);
        bucket.charge(90, START);
        assert_eq!(bucket.has(START), Err(Duration::from_secs(31)));
        assert_eq!(bucket.level(START), Level { limit: 60, remaining: 0, reset: Duration::from_secs(90) });
        assert_eq!(bucket.has(after(30)), Err(Duration::from_secs(1)));
        assert_eq!(bucket.has(after(31)), Ok(()));
        assert_eq!(bucket.level(after(31)), Level { limit: 60, remaining: 1, reset: Duration::from_secs(59) });
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_is_never_more_than_a_minutes_worth() {
        let mut bucket = Bucket::per_minute(1, START);
        assert_eq!(bucket.take(START), Ok(()));
        bucket.give_back(START);
        bucket.give_back(START);
        assert_eq!(bucket.take(START), Ok(()));
        assert_eq!(bucket.take(START), Err(Duration::from_secs(60)));
    }

    #[test]
    fn a_clock_that_is_read_out_of_order_neither_gives_nor_takes() {
        let mut bucket = Bucket::per_minute(1, after(10));
        assert_eq!(bucket.take(after(5)), Ok(()));
        assert_eq!(bucket.take(after(5)), Err(Duration::from_secs(60)));
        assert_eq!(bucket.take(after(69)), Err(Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_what_flows_in(limit in 1_u32..=1_000_000, waits in proptest::collection::vec(0_u64..200_000, 1..60)) {
            let mut bucket = Bucket::per_minute(limit, START);
            let (mut now, mut taken) = (START, 0_i128);
            for wait in waits {
                now += Duration::from_millis(wait);
                taken += i128::from(bucket.take(now).is_ok());
                let flowed = nanoseconds(now - START) * i128::from(limit);
                prop_assert!(taken * ONE <= Bucket::full(limit) + flowed);
            }
        }

        #[test]
        fn who_waits_as_long_as_told_gets_one_and_not_a_nanosecond_earlier(limit in 1_u32..=u32::MAX, used in 0_u64..=1 << 28) {
            let mut bucket = Bucket::per_minute(limit, START);
            bucket.charge(used, START);
            if let Err(wait) = bucket.has(START) {
                let early = START + wait - Duration::from_nanos(1);
                prop_assert!(bucket.clone().take(early).is_err());
                prop_assert_eq!(bucket.take(START + wait), Ok(()));
            }
        }
    }
}
