//! What follows when a server is not there: how long to wait before it is asked again, and what the log says. Pure.

use std::time::Duration;

/// The first pause, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Whether a server sends its messages, and since when not.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Attempts that have failed one after the other.
    failed: u32,
    /// What the log has said of this outage.
    said: Vec<Kind>,
    /// The server has sent messages before.
    known: bool,
}

/// Why a server sends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is not there, or goes.
    Absent,
    /// It is there, and refuses who asks.
    Refusing,
}

/// What has come to an end when a server sends its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Nothing that was worth a word.
    Nothing,
    /// The time before it was there for the first time.
    Waiting,
    /// An outage.
    Outage,
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
    pub(crate) fn failed(&mut self, kind: Kind, lasted: Duration, chance: u32) -> Next {
        // A server that takes connections and breaks them is asked less and less often, too.
        if lasted >= LONGEST {
            self.failed = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.failed.min(16)).min(LONGEST);
        self.failed = self.failed.saturating_add(1);
        // Between half of it and all: hosts that have lost the same server do not come back at the same moment.
        let share = f64::from(chance) / f64::from(u32::MAX);
        let pause = whole.mul_f64(0.5 + share / 2.0);
        let say = !self.said.contains(&kind);
        if say {
            self.said.push(kind);
        }
        Next { say, pause }
    }

    /// The server sends its messages. Tells what is over.
    pub(crate) fn over(&mut self) -> Over {
        let said = !std::mem::take(&mut self.said).is_empty();
        match (said, std::mem::replace(&mut self.known, true)) {
            (false, _) => Over::Nothing,
            (true, false) => Over::Waiting,
            (true, true) => Over::Outage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_one_outage_is_said_once() {
        let mut outage = Outage::default();
        let first = outage.failed(Kind::Absent, Duration::ZERO, u32::MAX);
        assert_eq!(first, Next { say: true, pause: FIRST });
        let pauses: Vec<_> = (0..40).map(|_| outage.failed(Kind::Absent, Duration::ZERO, u32::MAX)).collect();
        assert!(pauses.iter().all(|next| !next.say && next.pause <= LONGEST));
        assert!(pauses.is_sorted_by_key(|next| next.pause));
        assert_eq!(pauses.last().map(|next| next.pause), Some(LONGEST));
        assert_eq!((outage.over(), outage.over()), (Over::Waiting, Over::Nothing));
        assert!(outage.failed(Kind::Absent, Duration::ZERO, 0).say, "the next outage is another one");
        assert!(outage.failed(Kind::Refusing, Duration::ZERO, 0).say, "that is another thing to say");
        assert!(
            !outage.failed(Kind::Absent, Duration::ZERO, 0).say
                && !outage.failed(Kind::Refusing, Duration::ZERO, 0).say
        );
        assert_eq!(outage.over(), Over::Outage);
    }

    #[test]
    fn hosts_do_not_come_back_at_once_and_a_server_that_was_there_for_long_is_asked_soon() {
        let mut outage = Outage::default();
        for _ in 0..10 {
            outage.failed(Kind::Absent, Duration::ZERO, 0);
        }
        assert_eq!(outage.failed(Kind::Absent, Duration::ZERO, 0).pause, LONGEST / 2);
        outage.over();
        assert_eq!(outage.failed(Kind::Absent, Duration::ZERO, 0).pause, LONGEST / 2, "it broke again at once");
        assert_eq!(outage.failed(Kind::Absent, LONGEST, 0).pause, FIRST / 2);
    }
}
