//! Who computes with how many threads: a structure without processes and without clocks.
//!
//! Workers that together run more compute threads than there are cores spin against each other and lose most of
//! their speed. So the cores are divided, by demand: among the workers that compute, and only those. One that is
//! merely kept warm takes nothing from the others, and what a model has no use for goes to those that have. A shadow
//! has one thread, which nobody gives up anything for, since its process runs with what is left over.

use bobbin_inference::Class;
use std::collections::BTreeMap;

/// Bytes of weights below which another thread costs more than it gives: threads meet some ten times in each layer of
/// each step, and a small model has little to do in between. `docs/benchmarks.md` has the measurement.
const WEIGHTS_OF_A_THREAD: u64 = 8 << 20;

/// The most threads that help with weights of so many bytes; at least one.
pub(super) fn useful_threads(weights: u64) -> u32 {
    u32::try_from(weights / WEIGHTS_OF_A_THREAD).unwrap_or(u32::MAX).max(1)
}

/// Names a process that is ready.
pub(super) type SeatId = u64;

/// The cores, and who wants them.
#[derive(Debug)]
pub(super) struct Division {
    cores: u32,
    last: SeatId,
    seats: BTreeMap<SeatId, Wants>,
    /// Processes that load.
    loading: u32,
}

#[derive(Debug)]
struct Wants {
    class: Class,
    /// The threads that its model has a use for.
    most: u32,
    busy: bool,
}

impl Division {
    /// Of so many cores; 0 counts as 1.
    pub(super) fn new(cores: u32) -> Self {
        Self { cores: cores.max(1), last: 0, seats: BTreeMap::new(), loading: 0 }
    }

    /// A process begins to load; returns the threads that it proves itself with. Beside processes that compute it is
    /// one; else one core stays free all the same, since threads of low priority that wait for each other get nowhere
    /// once something else wants their cores.
    pub(super) fn begin_load(&mut self, class: Class) -> u32 {
        self.loading += 1;
        match class {
            Class::Serving if self.busy() == 0 => ((self.cores - 1) / self.loading).max(1),
            Class::Serving | Class::Shadow => 1,
        }
    }

    /// A process loads no more, however it went.
    pub(super) fn end_load(&mut self) {
        self.loading = self.loading.saturating_sub(1);
    }

    /// A process is ready, and computes nothing yet. It never gets more than `most` threads; 0 counts as 1.
    pub(super) fn join(&mut self, class: Class, most: u32) -> SeatId {
        let most = match class {
            Class::Serving => most.max(1),
            Class::Shadow => 1,
        };
        self.last += 1;
        self.seats.insert(self.last, Wants { class, most, busy: false });
        self.last
    }

    /// A process is gone.
    pub(super) fn leave(&mut self, seat: SeatId) {
        self.seats.remove(&seat);
    }

    /// A process computes from now on, or does not. Returns whether that is new.
    pub(super) fn set_busy(&mut self, seat: SeatId, busy: bool) -> bool {
        let Some(wants) = self.seats.get_mut(&seat) else { return false };
        std::mem::replace(&mut wants.busy, busy) != busy
    }

    /// Threads of each process that computes. Those who serve share the cores evenly, as far as each has a use for
    /// them, the earliest getting what is left over; each has at least one.
    pub(super) fn shares(&self) -> Vec<(SeatId, u32)> {
        let busy = self.seats.iter().filter(|(_, wants)| wants.busy);
        let mut shares: Vec<(SeatId, u32, u32)> = busy.map(|(seat, wants)| (*seat, 1, wants.most)).collect();
        let mut left = self.cores.saturating_sub(self.busy());
        // In turns, so that what one has no use for is there for the others.
        while left > 0 {
            let before = left;
            for (_, share, most) in &mut shares {
                if left > 0 && share < most {
                    *share += 1;
                    left -= 1;
                }
            }
            if left == before {
                break;
            }
        }
        shares.into_iter().map(|(seat, share, _)| (seat, share)).collect()
    }

    /// Processes that serve and compute.
    fn busy(&self) -> u32 {
        let serves = |wants: &&Wants| wants.busy && wants.class == Class::Serving;
        u32::try_from(self.seats.values().filter(serves).count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One of a model that has a use for any number of threads.
    fn busy(division: &mut Division, class: Class) -> SeatId {
        bounded(division, class, u32::MAX)
    }

    fn bounded(division: &mut Division, class: Class, most: u32) -> SeatId {
        let seat = division.join(class, most);
        assert!(division.set_busy(seat, true));
        seat
    }

    #[test]
    fn cores_are_divided_evenly_among_the_busy_and_everybody_gets_one() {
        for (cores, busy_ones, expected) in [
            (8, 1, vec![8]),
            (8, 3, vec![3, 3, 2]),
            (2, 2, vec![1, 1]),
            (2, 4, vec![1, 1, 1, 1]),
            (0, 1, vec![1]),
            (4, 0, vec![]),
        ] {
            let mut division = Division::new(cores);
            for _ in 0..busy_ones {
                busy(&mut division, Class::Serving);
            }
            let shares: Vec<u32> = division.shares().into_iter().map(|(_, share)| share).collect();
            assert_eq!(shares, expected, "{cores} cores, {busy_ones} workers");
        }
    }

    #[test]
    fn nobody_gets_more_than_its_model_has_a_use_for_and_the_others_get_the_rest() {
        for (cores, most, expected) in [
            (8, &[2][..], &[2][..]),
            (8, &[2, u32::MAX], &[2, 6]),
            (8, &[u32::MAX, 2], &[6, 2]),
            (8, &[1, 3, u32::MAX], &[1, 3, 4]),
            (8, &[2, 2], &[2, 2]),
            (2, &[1, u32::MAX], &[1, 1]),
            (1, &[4, 4], &[1, 1]),
            (4, &[0], &[1]),
        ] {
            let mut division = Division::new(cores);
            for most in most {
                bounded(&mut division, Class::Serving, *most);
            }
            let shares: Vec<u32> = division.shares().into_iter().map(|(_, share)| share).collect();
            assert_eq!(shares, expected, "{cores} cores among {most:?}");
        }
    }

    #[test]
    fn a_small_model_computes_with_one_thread() {
        let mib = 1 << 20;
        for (weights, threads) in [(0, 1), (mib, 1), (16 * mib, 2), (38 * mib, 4), (u64::MAX, u32::MAX)] {
            assert_eq!(useful_threads(weights), threads, "{weights} bytes");
        }
    }

    #[test]
    fn a_worker_that_is_kept_warm_takes_nothing() {
        let mut division = Division::new(4);
        let first = busy(&mut division, Class::Serving);
        let second = division.join(Class::Serving, 4);
        assert_eq!(division.shares(), [(first, 4)]);
        assert!(division.set_busy(second, true) && !division.set_busy(second, true));
        assert_eq!(division.shares(), [(first, 2), (second, 2)]);
        division.set_busy(first, false);
        assert_eq!(division.shares(), [(second, 4)]);
        division.leave(second);
        assert!(division.shares().is_empty() && !division.set_busy(second, true));
    }

    #[test]
    fn a_shadow_has_one_thread_and_takes_none() {
        let mut division = Division::new(4);
        let shadow = busy(&mut division, Class::Shadow);
        assert_eq!(division.shares(), [(shadow, 1)]);
        let serving = busy(&mut division, Class::Serving);
        assert_eq!(division.shares(), [(shadow, 1), (serving, 4)]);
    }

    #[test]
    fn loading_takes_more_than_one_thread_only_where_nobody_computes() {
        let mut division = Division::new(5);
        assert_eq!(division.begin_load(Class::Serving), 4);
        assert_eq!(division.begin_load(Class::Serving), 2);
        assert_eq!(division.begin_load(Class::Shadow), 1);
        (0..3).for_each(|_| division.end_load());
        let serving = busy(&mut division, Class::Serving);
        assert_eq!(division.begin_load(Class::Serving), 1);
        division.end_load();
        division.set_busy(serving, false);
        busy(&mut division, Class::Shadow);
        assert_eq!(division.begin_load(Class::Serving), 4);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Join(bool, u32),
        Leave(u64),
        Busy(u64, bool),
    }

    fn acts() -> impl Strategy<Value = Act> {
        prop_oneof![
            (any::<bool>(), 0..12u32).prop_map(|(shadow, most)| Act::Join(shadow, most)),
            (1..20u64).prop_map(Act::Leave),
            (1..20u64, any::<bool>()).prop_map(|(seat, busy)| Act::Busy(seat, busy)),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_nobody_is_left_out_and_no_core_is_given_twice(
            cores in 0..40u32, acts in prop::collection::vec(acts(), 0..60),
        ) {
            let mut division = Division::new(cores);
            for act in acts {
                match act {
                    Act::Join(shadow, most) => {
                        division.join(if shadow { Class::Shadow } else { Class::Serving }, most);
                    }
                    Act::Leave(seat) => division.leave(seat),
                    Act::Busy(seat, busy) => {
                        division.set_busy(seat, busy);
                    }
                }
                let shares = division.shares();
                let serves = |seat: &SeatId| division.seats[seat].class == Class::Serving;
                let (serving, shadows): (Vec<_>, Vec<_>) = shares.into_iter().partition(|(seat, _)| serves(seat));
                let most = |seat: &SeatId| division.seats[seat].most;
                let sum: u32 = serving.iter().map(|(_, share)| share).sum();
                let useful: u32 = serving.iter().map(|(seat, _)| most(seat)).sum();
                let (cores, count) = (cores.max(1), u32::try_from(serving.len()).unwrap());
                prop_assert_eq!(sum, cores.min(useful).max(count));
                prop_assert!(serving.iter().all(|(seat, share)| (1..=most(seat)).contains(share)));
                // Whoever has two less than another has all that its model has a use for.
                let greatest = serving.iter().map(|(_, share)| *share).max().unwrap_or(0);
                prop_assert!(serving.iter().all(|(seat, share)| *share + 1 >= greatest || *share == most(seat)));
                prop_assert!(shadows.iter().all(|(_, share)| *share == 1));
                prop_assert_eq!(count, division.busy());
            }
        }
    }
}
