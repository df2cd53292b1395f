//! What happens first when a version is replaced: pure arithmetic on measured memory.

use crate::spec::Policy;

/// Memory of this host, in bytes, as a new version sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// What the new version will take.
    pub(crate) need: u64,
    /// What is free, less than nothing where more is promised than there is; `None` where that cannot be measured:
    /// then everything fits.
    pub(crate) free: Option<i64>,
    /// What versions hold that are only kept warm.
    pub(crate) warm: u64,
    /// What the version to be replaced holds; `None` where none is, or others use it too.
    pub(crate) replaced: Option<u64>,
}

/// What to do before the new version is loaded: nothing, where it fits beside what is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Bytes that versions have to give back which are only kept warm.
    pub(crate) cool: u64,
    /// Whether the version to be replaced retires first.
    pub(crate) retire: bool,
}

/// Why a version cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it needs {need} bytes, and at most {} can be had{}; {}",
    (*.most).max(0),
    if *.retiring { "" } else { " without retiring what it replaces" },
    if *.could_retire { "set the policy \"resource\" to retire the old version first, or make room" } else {
        "use a smaller model or context, or make room on this host"
    }
)]
pub(crate) struct DoesNotFit {
    need: u64,
    most: i128,
    retiring: bool,
    could_retire: bool,
}

/// Decides.
pub(crate) fn plan(policy: Policy, room: Room) -> Result<Plan, DoesNotFit> {
    let Room { need, free, warm, replaced } = room;
    let retires = policy == Policy::Resource && replaced.is_some();
    let Some(free) = free else { return Ok(Plan { cool: 0, retire: retires }) };
    // Wide enough that nothing is rounded off: what is owed stays owed.
    let (wanted, free, warm) = (i128::from(need), i128::from(free), i128::from(warm));
    let alone = free + i128::from(replaced.unwrap_or(0));
    let fits = |free: i128| wanted <= free + warm;
    let plan = |free: i128, retire| Plan { cool: u64::try_from(wanted - free).unwrap_or(0), retire };
    match policy {
        _ if retires && fits(alone) => Ok(plan(alone, true)),
        Policy::Auto if !fits(free) && replaced.is_some() && fits(alone) => Ok(plan(alone, true)),
        _ if !retires && fits(free) => Ok(plan(free, false)),
        Policy::Auto => Err(DoesNotFit { need, most: alone + warm, retiring: true, could_retire: false }),
        _ if retires => Err(DoesNotFit { need, most: alone + warm, retiring: true, could_retire: false }),
        Policy::Availability | Policy::Resource => {
            Err(DoesNotFit { need, most: free + warm, retiring: false, could_retire: fits(alone) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn room(need: u64, free: i64, warm: u64, replaced: Option<u64>) -> Room {
        Room { need, free: Some(free), warm, replaced }
    }

    fn load() -> Result<Plan, DoesNotFit> {
        Ok(Plan::default())
    }

    fn cool(cool: u64) -> Result<Plan, DoesNotFit> {
        Ok(Plan { cool, retire: false })
    }

    fn retire(cool: u64) -> Result<Plan, DoesNotFit> {
        Ok(Plan { cool, retire: true })
    }

    #[test]
    fn auto_keeps_the_old_version_serving_while_both_fit_and_retires_it_first_where_only_one_does() {
        assert_eq!(plan(Policy::Auto, room(10, 10, 0, Some(10))), load());
        assert_eq!(plan(Policy::Auto, room(10, 5, 9, Some(10))), cool(5));
        assert_eq!(plan(Policy::Auto, room(10, 5, 0, Some(5))), retire(0));
        let refused = plan(Policy::Auto, room(10, 5, 0, Some(4))).unwrap_err().to_string();
        assert_eq!(
            refused,
            "it needs 10 bytes, and at most 9 can be had; use a smaller model or context, or make room on this host"
        );
    }

    #[test]
    fn availability_never_retires_first_and_says_what_would() {
        assert_eq!(plan(Policy::Availability, room(10, 10, 0, Some(9))), load());
        let refused = plan(Policy::Availability, room(10, 5, 0, Some(9))).unwrap_err().to_string();
        assert!(refused.contains("\"resource\""), "{refused}");
        let refused = plan(Policy::Availability, room(10, 5, 0, Some(1))).unwrap_err().to_string();
        assert!(!refused.contains("\"resource\""), "{refused}");
    }

    #[test]
    fn resource_retires_first_even_where_both_would_fit() {
        assert_eq!(plan(Policy::Resource, room(10, 100, 7, Some(9))), retire(0));
        // A candidate replaces nothing.
        assert_eq!(plan(Policy::Resource, room(10, 100, 0, None)), load());
        assert!(plan(Policy::Resource, room(10, 1, 0, Some(1))).is_err());
    }

    #[test]
    fn no_more_is_let_go_of_than_is_missing() {
        assert_eq!(plan(Policy::Auto, room(10, 8, 100, Some(5))), cool(2));
        assert_eq!(plan(Policy::Auto, room(10, 1, 3, Some(6))), retire(3));
        assert_eq!(plan(Policy::Resource, room(10, 5, 100, Some(4))), retire(1));
    }

    #[test]
    fn what_is_owed_is_not_forgotten() {
        // One megabyte in all, and a version of 149 serves: retiring it frees no more than the megabyte.
        let refused = plan(Policy::Auto, room(149, -148, 0, Some(149))).unwrap_err().to_string();
        assert!(refused.starts_with("it needs 149 bytes, and at most 1 can be had"), "{refused}");
        assert!(plan(Policy::Auto, room(10, -20, 20, Some(9))).is_err());
        assert_eq!(plan(Policy::Auto, room(10, -20, 30, None)), cool(30));
    }

    #[test]
    fn memory_that_cannot_be_measured_refuses_nothing() {
        let blind = Room { need: u64::MAX, free: None, warm: 0, replaced: Some(1) };
        assert_eq!(plan(Policy::Auto, blind), load());
        assert_eq!(plan(Policy::Resource, blind), retire(0));
    }

    proptest! {
        #[test]
        fn what_is_loaded_fits(need: u64, free: i64, warm: u64, replaced: Option<u64>, which in 0_usize..3) {
            let policy = [Policy::Auto, Policy::Availability, Policy::Resource][which];
            let Ok(plan) = plan(policy, room(need, free, warm, replaced)) else { return Ok(()) };
            prop_assert!(plan.cool <= warm);
            prop_assert!(!plan.retire || replaced.is_some() && policy != Policy::Availability);
            let gone = if plan.retire { replaced.unwrap_or(0) } else { 0 };
            let has = i128::from(free) + i128::from(plan.cool) + i128::from(gone);
            prop_assert!(i128::from(need) <= has);
        }
    }
}
