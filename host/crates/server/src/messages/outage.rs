//! What follows when a server is not there: how long to wait before it is asked again, and what the log says. Pure.

use std::time::Duration;

/// The first pause, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Whether a server is there, and since when not.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Attempts that have failed one after the other.
    failed: u32,
    /// The log has said that the server is not there.
    said: bool,
}

/// What to do after a connection was not made, or broke.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Nobody has said so yet.
    pub(crate) say: bool,
    /// The time until the next attempt.
    pub(crate) pause: Duration,
}

impl Outage {
    /// An attempt failed, or a connection broke that had `lasted` for so long. `chance` is a random number.
    pub(crate) fn failed(&mut self, lasted: Duration, chance: u32) -> Next {
        // A server that takes connections and breaks them is asked less and less often, too.
        if lasted >= LONGEST {
            self.failed = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.failed.min(16)).min(LONGEST);
        self.failed = self.failed.saturating_add(1);
        // Between half of it and all: hosts that have lost the same server do not come back at the same moment.
        let share = f64::from(chance) / f64::from(u32::MAX);
        let pause = whole.mul_f64(0.5 + share / 2.0);
        Next { say: !std::mem::replace(&mut self.said, true), pause }
    }

    /// The server is there. True where the log has said that it is not.
    pub(crate) fn over(&mut self) -> bool {
        std::mem::take(&mut self.said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_one_outage_is_said_once() {
        let mut outage = Outage::default();
        let first = outage.failed(Duration::ZERO, u32::MAX);
        assert_eq!(first, Next { say: true, pause: FIRST });
        let pauses: Vec<_> = (0..40).map(|_| outage.failed(Duration::ZERO, u32::MAX)).collect();
        assert!(pauses.iter().all(|next| !next.say && next.pause <= LONGEST));
        assert!(pauses.is_sorted_by_key(|next| next.pause));
        assert_eq!(pauses.last().map(|next| next.pause), Some(LONGEST));
        assert!(outage.over() && !outage.over());
        assert!(outage.failed(Duration::ZERO, 0).say, "the next outage is another one");
    }

    #[test]
    fn hosts_do_not_come_back_at_once_and_a_server_that_was_there_for_long_is_asked_soon() {
        let mut outage = Outage::default();
        for _ in 0..10 {
            outage.failed(Duration::ZERO, 0);
        }
        assert_eq!(outage.failed(Duration::ZERO, 0).pause, LONGEST / 2);
        outage.over();
        assert_eq!(outage.failed(Duration::ZERO, 0).pause, LONGEST / 2, "it broke again at once");
        assert_eq!(outage.failed(LONGEST, 0).pause, FIRST / 2);
    }
}
