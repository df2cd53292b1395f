//! Which side of a split a request is on: pure arithmetic on a weight, and a key or a ticket.

use crate::spec::Weight;
use sha2::{Digest, Sha256};

/// A side of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The version that serves.
    Stable,
    /// The version that takes a share.
    Candidate,
}

/// The side of a key. The same key of the same release is always on the same side while the weight stands; when it
/// grows, keys only ever move from stable to candidate, as many as the growth.
pub(crate) fn keyed(release: &str, key: &str, weight: Weight) -> Side {
    // The length keeps a release and a key from running into each other.
    let mut hash = Sha256::new();
    hash.update((release.len() as u64).to_be_bytes());
    hash.update(release.as_bytes());
    hash.update(key.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let first = digest.iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    side(first, weight)
}

/// The side of the n-th request. Tickets are spread so evenly that any run of them holds the weight's share.
pub(crate) fn counted(ticket: u64, weight: Weight) -> Side {
    // Multiples of the golden ratio fill the interval more evenly than chance does.
    side(ticket.wrapping_mul(0x9E37_79B9_7F4A_7C15), weight)
}

/// `point` lies somewhere in all of u64; the weight's share of that range, from 0 up, is the candidate's.
fn side(point: u64, weight: Weight) -> Side {
    let share = (u128::from(weight.tenths()) << 64) / 1000;
    if u128::from(point) < share { Side::Candidate } else { Side::Stable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tenths(tenths: u16) -> Weight {
        Weight::percent(f64::from(tenths) / 10.0).unwrap()
    }

    fn share(sides: impl Iterator<Item = Side>) -> usize {
        sides.filter(|side| *side == Side::Candidate).count()
    }

    #[test]
    fn ten_thousand_keys_split_within_one_percent_of_the_weight() {
        for weight in [1, 10, 100, 125, 333, 500, 900, 999] {
            let taken = share((0..10_000).map(|key| keyed("http:/story:story", &key.to_string(), tenths(weight))));
            let wanted = usize::from(weight) * 10;
            assert!(taken.abs_diff(wanted) <= 100, "{taken} of 10000 at {weight} tenths");
        }
    }

    #[test]
    fn the_hash_has_not_changed() {
        // Another hash would move every sticky key of every running release to a side of its own choice.
        let sides: String = (0..32)
            .map(|key| match keyed("r", &key.to_string(), tenths(500)) {
                Side::Stable => 's',
                Side::Candidate => 'c',
            })
            .collect();
        assert_eq!(sides, "scsssccccccssscssccssssssssccscc");
    }

    proptest! {
        #[test]
        fn a_growing_weight_moves_keys_to_the_candidate_only(key in ".*", a in 0_u16..=1000, b in 0_u16..=1000) {
            let (less, more) = (a.min(b), a.max(b));
            if keyed("r", &key, tenths(less)) == Side::Candidate {
                prop_assert_eq!(keyed("r", &key, tenths(more)), Side::Candidate);
            }
        }

        #[test]
        fn nothing_and_everything_are_exact(key in ".*", ticket: u64) {
            prop_assert_eq!(keyed("r", &key, tenths(0)), Side::Stable);
            prop_assert_eq!(keyed("r", &key, tenths(1000)), Side::Candidate);
            prop_assert_eq!(counted(ticket, tenths(0)), Side::Stable);
            prop_assert_eq!(counted(ticket, tenths(1000)), Side::Candidate);
        }

        #[test]
        fn any_thousand_requests_in_a_row_hold_the_weights_share(first: u64, weight in 0_u16..=1000) {
            let taken = share((0..1000).map(|n| counted(first.wrapping_add(n), tenths(weight))));
            prop_assert!(taken.abs_diff(usize::from(weight)) <= 5, "{} of 1000 at {} tenths", taken, weight);
        }
    }
}
