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

/// What to do before the new version is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing: it fits beside what is there.
    Load,
    /// Let go of versions that are only kept warm.
    Cool,
    /// Retire the version to be replaced, and let go of warm ones.
    Retire,
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
    let Some(free) = free else {
        return Ok(if policy == Policy::Resource && replaced.is_some() { Plan::Retire } else { Plan::Load });
    };
    // Wide enough that nothing is rounded off: what is owed stays owed.
    let (wanted, free) = (i128::from(need), i128::from(free));
    let beside = free + i128::from(warm);
    let alone = beside + i128::from(replaced.unwrap_or(0));
    let refused = |most: i128, retiring: bool| {
        let could_retire = !retiring && wanted <= alone;
        Err(DoesNotFit { need, most, retiring, could_retire })
    };
    match policy {
        Policy::Resource if replaced.is_some() => {
            if wanted <= alone {
                Ok(Plan::Retire)
            } else {
                refused(alone, true)
            }
        }
        _ if wanted <= free => Ok(Plan::Load),
        _ if wanted <= beside => Ok(Plan::Cool),
        Policy::Auto if wanted <= alone => Ok(Plan::Retire),
        Policy::Auto => refused(alone, true),
        Policy::Availability | Policy::Resource => refused(beside, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn room(need: u64, free: i64, warm: u64, replaced: Option<u64>) -> Room {
        Room { need, free: Some(free), warm, replaced }
    }

    #[test]
    fn auto_keeps_the_old_version_serving_while_both_fit_and_retires_it_first_where_only_one_does() {
        assert_eq!(plan(Policy::Auto, room(10, 10, 0, Some(10))), Ok(Plan::Load));
        assert_eq!(plan(Policy::Auto, room(10, 5, 5, Some(10))), Ok(Plan::Cool));
        assert_eq!(plan(Policy::Auto, room(10, 5, 0, Some(5))), Ok(Plan::Retire));
        let refused = plan(Policy::Auto, room(10, 5, 0, Some(4))).unwrap_err().to_string();
        assert_eq!(
            refused,
            "it needs 10 bytes, and at most 9 can be had; use a smaller model or context, or make room on this host"
        );
    }

    #[test]
    fn availability_never_retires_first_and_says_what_would() {
        assert_eq!(plan(Policy::Availability, room(10, 10, 0, Some(9))), Ok(Plan::Load));
        let refused = plan(Policy::Availability, room(10, 5, 0, Some(9))).unwrap_err().to_string();
        assert!(refused.contains("\"resource\""), "{refused}");
        let refused = plan(Policy::Availability, room(10, 5, 0, Some(1))).unwrap_err().to_string();
        assert!(!refused.contains("\"resource\""), "{refused}");
    }

    #[test]
    fn resource_retires_first_even_where_both_would_fit() {
        assert_eq!(plan(Policy::Resource, room(10, 100, 0, Some(9))), Ok(Plan::Retire));
        // A candidate replaces nothing.
        assert_eq!(plan(Policy::Resource, room(10, 100, 0, None)), Ok(Plan::Load));
        assert!(plan(Policy::Resource, room(10, 1, 0, Some(1))).is_err());
    }

    #[test]
    fn what_is_owed_is_not_forgotten() {
        // One megabyte in all, and a version of 149 serves: retiring it frees no more than the megabyte.
        let refused = plan(Policy::Auto, room(149, -148, 0, Some(149))).unwrap_err().to_string();
        assert!(refused.starts_with("it needs 149 bytes, and at most 1 can be had"), "{refused}");
        assert!(plan(Policy::Auto, room(10, -20, 20, Some(9))).is_err());
        assert_eq!(plan(Policy::Auto, room(10, -20, 30, None)), Ok(Plan::Cool));
    }

    #[test]
    fn memory_that_cannot_be_measured_refuses_nothing() {
        let blind = Room { need: u64::MAX, free: None, warm: 0, replaced: Some(1) };
        assert_eq!(plan(Policy::Auto, blind), Ok(Plan::Load));
        assert_eq!(plan(Policy::Resource, blind), Ok(Plan::Retire));
    }

    proptest! {
        #[test]
        fn what_is_loaded_fits(need: u64, free: i64, warm: u64, replaced: Option<u64>, which in 0_usize..3) {
            let policy = [Policy::Auto, Policy::Availability, Policy::Resource][which];
            let has = match plan(policy, room(need, free, warm, replaced)) {
                Ok(Plan::Load) => i128::from(free),
                Ok(Plan::Cool) => i128::from(free) + i128::from(warm),
                Ok(Plan::Retire) => {
                    prop_assert!(replaced.is_some() && policy != Policy::Availability);
                    i128::from(free) + i128::from(warm) + i128::from(replaced.unwrap_or(0))
                }
                Err(_) => i128::MAX,
            };
            prop_assert!(i128::from(need) <= has);
        }
    }
}
