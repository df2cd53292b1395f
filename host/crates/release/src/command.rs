//! What people ask of a release, and what becomes of it: pure transitions from one spec to the next.

use crate::spec::{Candidate, LATEST_RETIREMENT, LONGEST_DRAIN, LONGEST_WARM, Policy, Spec, Sticky};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A change of a release.
#[derive(Debug, Clone)]
pub struct Change {
    /// The generation that the change was made for; any other refuses it.
    pub expected_generation: u64,
    /// What to do.
    pub command: Command,
    /// Who asks.
    pub who: String,
    /// Why, where they say.
    pub why: Option<String>,
}

/// What to do with a release.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Set what is named, leave the rest.
    Put(Edit),
    /// The candidate becomes stable.
    Promote,
    /// The previous stable becomes stable, and the candidate is dropped.
    Rollback,
}

impl Command {
    /// The name of the change in the history.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Put(_) => Action::Put,
            Self::Promote => Action::Promote,
            Self::Rollback => Action::Rollback,
        }
    }
}

/// Where a generation came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The manifest declared it.
    Declared,
    /// Somebody set it.
    Put,
    /// The candidate became stable.
    Promote,
    /// The previous stable came back.
    Rollback,
}

/// What a put names; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    /// The version that answers.
    pub stable: Option<Arc<str>>,
    /// The version that takes a share; `Some(None)` ends a canary.
    pub candidate: Option<Option<Candidate>>,
    /// The version that scores answers; `Some(None)` ends a shadow.
    pub shadow: Option<Option<Arc<str>>>,
    /// Seconds that a replaced version has to finish its answers.
    pub drain_seconds: Option<u64>,
    /// Seconds for which the previous version stays loaded.
    pub keep_warm_seconds: Option<u64>,
    /// What happens first when stable is replaced.
    pub policy: Option<Policy>,
    /// What decides between stable and candidate.
    pub sticky: Option<Sticky>,
    /// Whether a request may name its version.
    pub version_header: Option<bool>,
}

/// Why a spec does not go over into another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A version in two roles at once.
    #[error("{bundle} cannot be {role} of a release whose stable version it is; name another version")]
    IsStable {
        /// `name@version`.
        bundle: Arc<str>,
        /// `candidate` or `shadow`.
        role: &'static str,
    },
    /// A number out of its range.
    #[error("{key} is {value}; give whole seconds from 0 to {most}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The largest that is possible.
        most: u64,
    },
    /// A version that does something else than the release is for.
    #[error(
        "{bundle} is there to {kind}, and {stable}, which serves, to {serves}: whoever asks would get errors; give it a \
         release of its own"
    )]
    OtherKind {
        /// `name@version`.
        bundle: Arc<str>,
        /// What it does: `generate`, `embed`, ..
        kind: String,
        /// The stable version.
        stable: Arc<str>,
        /// What that does.
        serves: String,
    },
    /// There is no candidate.
    #[error("the release has no candidate to promote; set one first, or set `stable`")]
    NothingToPromote,
    /// There is no previous stable.
    #[error(
        "the release has had no other stable version to go back to; set `stable`, or end a canary by removing its \
         candidate"
    )]
    NothingToRollBack,
}

impl Spec {
    /// What the spec becomes.
    ///
    /// # Errors
    /// [`Refusal`] where it makes no sense; nothing has changed then.
    pub fn next(&self, command: &Command) -> Result<Self, Refusal> {
        match command {
            Command::Put(edit) => self.edited(edit),
            Command::Promote => {
                let candidate = self.candidate.as_ref().ok_or(Refusal::NothingToPromote)?;
                Ok(self.with_stable(Arc::clone(&candidate.bundle)))
            }
            Command::Rollback => {
                let previous = self.previous.clone().ok_or(Refusal::NothingToRollBack)?;
                Ok(Self { candidate: None, ..self.with_stable(previous) })
            }
        }
    }

    /// Another stable version. What was candidate or shadow under this name has become stable and is neither any
    /// more.
    fn with_stable(&self, stable: Arc<str>) -> Self {
        if stable == self.stable {
            return self.clone();
        }
        Self {
            candidate: self.candidate.clone().filter(|candidate| candidate.bundle != stable),
            shadow: self.shadow.clone().filter(|shadow| *shadow != stable),
            previous: Some(Arc::clone(&self.stable)),
            stable,
            ..self.clone()
        }
    }

    fn edited(&self, edit: &Edit) -> Result<Self, Refusal> {
        let mut next = match &edit.stable {
            Some(stable) => self.with_stable(Arc::clone(stable)),
            None => self.clone(),
        };
        if let Some(candidate) = &edit.candidate {
            next.candidate.clone_from(candidate);
        }
        if let Some(shadow) = &edit.shadow {
            next.shadow.clone_from(shadow);
        }
        next.drain_seconds = edit.drain_seconds.unwrap_or(next.drain_seconds);
        next.keep_warm_seconds = edit.keep_warm_seconds.unwrap_or(next.keep_warm_seconds);
        next.policy = edit.policy.unwrap_or(next.policy);
        next.sticky = edit.sticky.clone().unwrap_or(next.sticky);
        next.version_header = edit.version_header.unwrap_or(next.version_header);
        next.check()?;
        Ok(next)
    }

    /// Whether a release may be set to this, wherever it comes from: times within their bounds, one role a version.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let times = [
            ("drain_seconds", self.drain_seconds, LONGEST_DRAIN),
            ("keep_warm_seconds", self.keep_warm_seconds, LONGEST_WARM),
            ("retires", self.retires.unwrap_or(0), LATEST_RETIREMENT),
        ];
        if let Some((key, value, most)) = times.into_iter().find(|(_, value, most)| value > most) {
            return Err(Refusal::OutOfRange { key, value, most });
        }
        let is_stable = |role| Refusal::IsStable { bundle: Arc::clone(&self.stable), role };
        match (&self.candidate, &self.shadow) {
            (Some(candidate), _) if candidate.bundle == self.stable => Err(is_stable("candidate")),
            (_, Some(shadow)) if *shadow == self.stable => Err(is_stable("shadow")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Weight;
    use proptest::prelude::*;

    fn candidate(bundle: &str, percent: f64) -> Candidate {
        Candidate { bundle: bundle.into(), weight: Weight::percent(percent).unwrap() }
    }

    fn put(edit: Edit) -> Command {
        Command::Put(edit)
    }

    fn stable(bundle: &str) -> Edit {
        Edit { stable: Some(bundle.into()), ..Edit::default() }
    }

    #[test]
    fn a_put_changes_what_it_names_and_nothing_else() {
        let before = Spec { candidate: Some(candidate("s@2.0.0", 5.0)), ..Spec::of("s@1.0.0".into()) };
        let edit = Edit { drain_seconds: Some(7), ..Edit::default() };
        assert_eq!(before.next(&put(edit)).unwrap(), Spec { drain_seconds: 7, ..before.clone() });
        assert_eq!(before.next(&put(Edit::default())).unwrap(), before);
        let ended = before.next(&put(Edit { candidate: Some(None), ..Edit::default() })).unwrap();
        assert_eq!(ended, Spec::of("s@1.0.0".into()));
    }

    #[test]
    fn a_promoted_candidate_is_stable_and_the_old_stable_is_where_a_rollback_leads() {
        let canary = Spec { candidate: Some(candidate("s@2.0.0", 5.0)), ..Spec::of("s@1.0.0".into()) };
        let promoted = canary.next(&Command::Promote).unwrap();
        assert_eq!(promoted, Spec { previous: Some("s@1.0.0".into()), ..Spec::of("s@2.0.0".into()) });
        let back = promoted.next(&Command::Rollback).unwrap();
        assert_eq!(back, Spec { previous: Some("s@2.0.0".into()), ..Spec::of("s@1.0.0".into()) });
    }

    #[test]
    fn a_rollback_ends_a_canary_that_began_after_the_swap() {
        let swapped = Spec::of("s@1.0.0".into()).next(&put(stable("s@2.0.0"))).unwrap();
        let edit = Edit { candidate: Some(Some(candidate("s@3.0.0", 50.0))), ..Edit::default() };
        let canary = swapped.next(&put(edit)).unwrap();
        let back = canary.next(&Command::Rollback).unwrap();
        assert_eq!((&*back.stable, back.candidate), ("s@1.0.0", None));
    }

    #[test]
    fn there_is_nothing_to_promote_or_to_roll_back_at_first() {
        let first = Spec::of("s@1.0.0".into());
        assert_eq!(first.next(&Command::Promote), Err(Refusal::NothingToPromote));
        assert_eq!(first.next(&Command::Rollback), Err(Refusal::NothingToRollBack));
    }

    #[test]
    fn a_version_has_one_role() {
        let first = Spec::of("s@1.0.0".into());
        let same = Edit { candidate: Some(Some(candidate("s@1.0.0", 5.0))), ..Edit::default() };
        assert!(matches!(first.next(&put(same)), Err(Refusal::IsStable { role: "candidate", .. })));
        let same = Edit { shadow: Some(Some("s@1.0.0".into())), ..Edit::default() };
        assert!(matches!(first.next(&put(same)), Err(Refusal::IsStable { role: "shadow", .. })));
        // Named as stable, a candidate is promoted.
        let canary = Spec { candidate: Some(candidate("s@2.0.0", 5.0)), ..first };
        assert_eq!(canary.next(&put(stable("s@2.0.0"))), canary.next(&Command::Promote));
    }

    #[test]
    fn times_have_bounds() {
        let set = |edit| Spec::of("s@1.0.0".into()).next(&put(edit)).map(drop).map_err(|refused| refused.to_string());
        let drain = |seconds| set(Edit { drain_seconds: Some(seconds), ..Edit::default() });
        let warm = |seconds| set(Edit { keep_warm_seconds: Some(seconds), ..Edit::default() });
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(drain(86_400), Ok(()));
        assert_eq!(drain(86_401), refused("drain_seconds is 86401; give whole seconds from 0 to 86400"));
        assert_eq!(warm(604_800), Ok(()));
        assert_eq!(warm(604_801), refused("keep_warm_seconds is 604801; give whole seconds from 0 to 604800"));
    }

    fn bundle() -> impl Strategy<Value = Arc<str>> {
        (0_u8..5).prop_map(|n| format!("s@{n}.0.0").into())
    }

    fn command() -> impl Strategy<Value = Command> {
        let candidate = (bundle(), 0_u16..=1000).prop_map(|(bundle, tenths)| Candidate {
            bundle,
            weight: Weight::percent(f64::from(tenths) / 10.0).unwrap(),
        });
        let edit = (
            proptest::option::of(bundle()),
            proptest::option::of(proptest::option::of(candidate)),
            proptest::option::of(proptest::option::of(bundle())),
        );
        let edit = edit.prop_map(|(stable, candidate, shadow)| Edit { stable, candidate, shadow, ..Edit::default() });
        prop_oneof![3 => edit.prop_map(Command::Put), 1 => Just(Command::Promote), 1 => Just(Command::Rollback)]
    }

    proptest! {
        #[test]
        fn however_a_release_got_there_no_version_has_two_roles(commands in proptest::collection::vec(command(), 0..40)) {
            let mut spec = Spec::of("s@0.0.0".into());
            for command in commands {
                let Ok(next) = spec.next(&command) else { continue };
                prop_assert!(next.candidate.as_ref().is_none_or(|candidate| candidate.bundle != next.stable));
                prop_assert!(next.shadow.as_ref().is_none_or(|shadow| *shadow != next.stable));
                prop_assert!(next.previous.as_ref().is_none_or(|previous| *previous != next.stable));
                if next.stable != spec.stable {
                    prop_assert_eq!(next.previous.as_ref(), Some(&spec.stable));
                    let back = next.next(&Command::Rollback).unwrap();
                    prop_assert_eq!((back.stable, back.candidate), (spec.stable, None));
                }
                spec = next;
            }
        }
    }
}
