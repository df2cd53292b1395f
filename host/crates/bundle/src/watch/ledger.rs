//! What was reported, what differs from it, and when a difference has stood still for long enough to be reported.
//!
//! No input and no output: listings, events and the time come from outside.

use super::{BundleChange, ChangeKind};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A version's folder, by the names of its parent and of itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) name: String,
    pub(super) version: String,
}

/// A number that changes when a file of the version does.
pub(super) type Stamp = u64;

/// A version that something happened to, or that is not as it was reported.
struct Suspect {
    /// When it last moved.
    since: Instant,
    /// Whether the kernel said that bytes or names changed. It counts even where every stamp is the same: two
    /// writes can fall into one tick of the file system's clock.
    written: bool,
    /// What the last listing found; `None` where no listing looked since something happened.
    seen: Option<Option<Stamp>>,
}

/// The versions as they were last reported.
pub(super) struct Ledger {
    quiet: Duration,
    known: BTreeMap<Id, Stamp>,
    suspects: BTreeMap<Id, Suspect>,
}

impl Ledger {
    /// A ledger that knows the versions of `known` and reports nothing that moved within `quiet`.
    pub(super) fn new(quiet: Duration, known: BTreeMap<Id, Stamp>) -> Self {
        Self { quiet, known, suspects: BTreeMap::new() }
    }

    pub(super) fn known(&self) -> &BTreeMap<Id, Stamp> {
        &self.known
    }

    /// Something happened to a version.
    pub(super) fn touch(&mut self, id: Id, written: bool, now: Instant) {
        let suspect = self.suspects.entry(id).or_insert(Suspect { since: now, written, seen: None });
        suspect.since = now;
        suspect.written |= written;
        suspect.seen = None;
    }

    /// Takes a listing and gives what may be reported of it.
    pub(super) fn listed(&mut self, current: &BTreeMap<Id, Stamp>, now: Instant) -> Vec<BundleChange> {
        let ids: BTreeSet<Id> = self.known.keys().chain(current.keys()).chain(self.suspects.keys()).cloned().collect();
        ids.into_iter().filter_map(|id| self.judge(id, current, now)).collect()
    }

    fn judge(&mut self, id: Id, current: &BTreeMap<Id, Stamp>, now: Instant) -> Option<BundleChange> {
        let before = self.known.get(&id).copied();
        let after = current.get(&id).copied();
        let written = self.suspects.get(&id).is_some_and(|suspect| suspect.written);
        if before == after && !written {
            self.suspects.remove(&id);
            return None;
        }
        let first = Suspect { since: now, written: false, seen: Some(after) };
        let suspect = self.suspects.entry(id.clone()).or_insert(first);
        if suspect.seen.is_some_and(|seen| seen != after) {
            suspect.since = now;
        }
        suspect.seen = Some(after);
        if now.saturating_duration_since(suspect.since) < self.quiet {
            return None;
        }
        self.suspects.remove(&id);
        let kind = match (before, after) {
            (None, Some(_)) => ChangeKind::Appeared,
            (Some(_), Some(_)) => ChangeKind::Changed,
            (Some(_), None) => ChangeKind::Removed,
            // It came and went between two listings.
            (None, None) => return None,
        };
        match after {
            Some(stamp) => self.known.insert(id.clone(), stamp),
            None => self.known.remove(&id),
        };
        Some(BundleChange { name: id.name, version: id.version, kind })
    }

    /// When the next suspect will have stood still for long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        self.suspects.values().map(|suspect| suspect.since + self.quiet).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(200);

    fn id(version: &str) -> Id {
        Id { name: "tiny".into(), version: version.into() }
    }

    fn listing<const N: usize>(versions: [(&str, Stamp); N]) -> BTreeMap<Id, Stamp> {
        versions.into_iter().map(|(version, stamp)| (id(version), stamp)).collect()
    }

    fn kinds(changes: &[BundleChange]) -> Vec<ChangeKind> {
        changes.iter().map(|change| change.kind).collect()
    }

    /// Milliseconds after the start of the test.
    fn clock() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |milliseconds| start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_version_that_is_being_copied_is_reported_once_and_only_when_it_stands_still() {
        let at = clock();
        let mut ledger = Ledger::new(QUIET, BTreeMap::new());
        for step in 0..20 {
            ledger.touch(id("1.0.0"), true, at(step * 100));
            assert_eq!(ledger.listed(&listing([("1.0.0", step)]), at(step * 100 + 50)), []);
        }
        assert_eq!(ledger.due(), Some(at(2100)));
        assert_eq!(kinds(&ledger.listed(&listing([("1.0.0", 19)]), at(2100))), [ChangeKind::Appeared]);
        assert_eq!(ledger.listed(&listing([("1.0.0", 19)]), at(3000)), []);
        assert_eq!(ledger.due(), None);
    }

    #[test]
    fn a_version_that_grows_without_a_word_of_the_kernel_must_stand_still_too() {
        let at = clock();
        let mut ledger = Ledger::new(QUIET, BTreeMap::new());
        assert_eq!(ledger.listed(&listing([("1.0.0", 1)]), at(0)), []);
        assert_eq!(ledger.listed(&listing([("1.0.0", 2)]), at(300)), []);
        assert_eq!(kinds(&ledger.listed(&listing([("1.0.0", 2)]), at(600))), [ChangeKind::Appeared]);
    }

    #[test]
    fn one_busy_version_does_not_hold_up_another() {
        let at = clock();
        let mut ledger = Ledger::new(QUIET, listing([("1.0.0", 1)]));
        ledger.touch(id("1.0.0"), true, at(0));
        ledger.touch(id("2.0.0"), true, at(190));
        let both = listing([("1.0.0", 2), ("2.0.0", 1)]);
        assert_eq!(kinds(&ledger.listed(&both, at(200))), [ChangeKind::Changed]);
        assert_eq!(kinds(&ledger.listed(&both, at(390))), [ChangeKind::Appeared]);
    }

    #[test]
    fn a_write_within_one_tick_of_the_clock_is_a_change_and_a_look_is_none() {
        let at = clock();
        let mut ledger = Ledger::new(QUIET, listing([("1.0.0", 1)]));
        ledger.touch(id("1.0.0"), false, at(0));
        assert_eq!(ledger.listed(&listing([("1.0.0", 1)]), at(200)), []);
        ledger.touch(id("1.0.0"), false, at(290));
        ledger.touch(id("1.0.0"), true, at(300));
        assert_eq!(kinds(&ledger.listed(&listing([("1.0.0", 1)]), at(500))), [ChangeKind::Changed]);
    }

    #[test]
    fn what_went_is_removed_and_what_came_and_went_is_nothing() {
        let at = clock();
        let mut ledger = Ledger::new(QUIET, listing([("1.0.0", 1)]));
        ledger.touch(id("1.0.0"), true, at(0));
        ledger.touch(id("2.0.0"), true, at(0));
        let changes = ledger.listed(&listing([]), at(200));
        assert_eq!(kinds(&changes), [ChangeKind::Removed]);
        assert_eq!(ledger.due(), None);
        assert!(ledger.known().is_empty());
    }
}
