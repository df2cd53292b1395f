//! Whether and when a dead worker is started again: a pure structure, without clock or process.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The numbers of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartLimits {
    /// Wait before the second restart in a row; each further one waits twice as long, unless the worker had answered. The
    /// first is immediate.
    pub first_delay: Duration,
    /// The longest wait.
    pub longest_delay: Duration,
    /// A worker that served for so long starts with a clean slate when it dies.
    pub healthy_after: Duration,
    /// So many deaths in a row, within [`RestartLimits::window`], of processes that have answered nothing are a worker that
    /// will not live.
    pub deaths: usize,
    /// See [`RestartLimits::deaths`].
    pub window: Duration,
}

impl Default for RestartLimits {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(250),
            longest_delay: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
            deaths: 5,
            window: Duration::from_secs(60),
        }
    }
}

/// What a process did before it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    /// Since it was ready; zero where it never was.
    pub(super) served: Duration,
    /// Whether anybody got anything from it.
    pub(super) answered: bool,
}

/// What to do about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start again.
    Restart {
        /// How many restarts in a row this makes, from 1.
        attempt: u32,
        /// How long to wait first.
        delay: Duration,
    },
    /// Start no more: it died too often.
    Quarantine,
}

/// Remembers deaths.
///
/// A worker that answers between its deaths is worth having back soon, however often it dies: what kills it is one
/// request among others, or somebody outside. One that dies before it has answered anybody is broken.
#[derive(Debug)]
pub(super) struct RestartPolicy {
    limits: RestartLimits,
    /// Since anybody was answered.
    fruitless: VecDeque<Instant>,
    attempt: u32,
}

impl RestartPolicy {
    pub(super) fn new(limits: RestartLimits) -> Self {
        Self { limits, fruitless: VecDeque::new(), attempt: 0 }
    }

    /// The worker died at `now`.
    pub(super) fn died(&mut self, now: Instant, life: Life) -> Verdict {
        if life.served >= self.limits.healthy_after {
            self.attempt = 0;
        }
        if life.answered {
            self.fruitless.clear();
            self.attempt = self.attempt.min(1);
        } else {
            self.fruitless.push_back(now);
            self.fruitless.retain(|death| now.saturating_duration_since(*death) <= self.limits.window);
            if self.fruitless.len() >= self.limits.deaths {
                return Verdict::Quarantine;
            }
        }
        self.attempt = self.attempt.saturating_add(1);
        Verdict::Restart { attempt: self.attempt, delay: self.delay() }
    }

    fn delay(&self) -> Duration {
        let Some(doublings) = self.attempt.checked_sub(2) else { return Duration::ZERO };
        let factor = 2u32.saturating_pow(doublings);
        self.limits.first_delay.saturating_mul(factor).min(self.limits.longest_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FRUITLESS: Life = Life { served: SECOND, answered: false };
    const FRUITFUL: Life = Life { served: SECOND, answered: true };

    fn restart(attempt: u32, delay: Duration) -> Verdict {
        Verdict::Restart { attempt, delay }
    }

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_twice_as_long_each() {
        let mut policy = RestartPolicy::new(RestartLimits { deaths: usize::MAX, ..RestartLimits::default() });
        let now = Instant::now();
        let delays: Vec<_> = (0..11).map(|_| policy.died(now, FRUITLESS)).collect();
        let millis = [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        for (nth, (delay, millis)) in delays.into_iter().zip(millis).enumerate() {
            assert_eq!(delay, restart(nth as u32 + 1, Duration::from_millis(millis)));
        }
    }

    #[test]
    fn a_minute_of_health_resets_the_wait() {
        let mut policy = RestartPolicy::new(RestartLimits::default());
        let start = Instant::now();
        assert_eq!(policy.died(start, FRUITLESS), restart(1, Duration::ZERO));
        assert_eq!(policy.died(start + SECOND, FRUITLESS), restart(2, SECOND / 4));
        let healthy = Life { served: 60 * SECOND, answered: false };
        assert_eq!(policy.died(start + 62 * SECOND, healthy), restart(1, Duration::ZERO));
    }

    #[test]
    fn five_deaths_within_a_minute_are_a_quarantine() {
        let mut policy = RestartPolicy::new(RestartLimits::default());
        let start = Instant::now();
        for nth in 0..4 {
            assert_ne!(policy.died(start + nth * 15 * SECOND, FRUITLESS), Verdict::Quarantine, "death {nth}");
        }
        assert_eq!(policy.died(start + 60 * SECOND, FRUITLESS), Verdict::Quarantine);
    }

    #[test]
    fn five_deaths_over_a_longer_time_are_none() {
        let mut policy = RestartPolicy::new(RestartLimits::default());
        let start = Instant::now();
        for nth in 0..20 {
            let verdict = policy.died(start + nth * 16 * SECOND, FRUITLESS);
            assert_ne!(verdict, Verdict::Quarantine, "death {nth}");
        }
    }

    #[test]
    fn who_answers_between_deaths_comes_back_soon_however_often_it_dies() {
        let mut policy = RestartPolicy::new(RestartLimits::default());
        let now = Instant::now();
        assert_eq!(policy.died(now, FRUITFUL), restart(1, Duration::ZERO));
        for death in 0..100 {
            assert_eq!(policy.died(now, FRUITFUL), restart(2, SECOND / 4), "death {death}");
        }
        // Only deaths in a row count.
        for _ in 0..4 {
            assert_ne!(policy.died(now, FRUITLESS), Verdict::Quarantine);
        }
        assert_eq!(policy.died(now, FRUITFUL), restart(2, SECOND / 4));
        for _ in 0..4 {
            assert_ne!(policy.died(now, FRUITLESS), Verdict::Quarantine);
        }
        assert_eq!(policy.died(now, FRUITLESS), Verdict::Quarantine);
    }

    #[test]
    fn the_wait_does_not_overflow() {
        let limits = RestartLimits { deaths: usize::MAX, window: Duration::ZERO, ..RestartLimits::default() };
        let mut policy = RestartPolicy::new(limits);
        let start = Instant::now();
        let last = (0..200).map(|nth| policy.died(start + nth * SECOND, FRUITLESS)).last();
        assert_eq!(last, Some(restart(200, 30 * SECOND)));
    }
}
