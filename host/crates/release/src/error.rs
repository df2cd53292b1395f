//! Why a change of a release is not made. Whatever it is, the release is as it was.

use crate::command::Refusal;
use crate::store::StoreError;
use crate::table::ReleaseId;
use std::sync::Arc;

/// A change that is not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No release of this name.
    #[error("no release is called {asked:?}; {known}")]
    UnknownRelease {
        /// The name.
        asked: String,
        /// Which ones there are, or how to tell those apart that were meant.
        known: String,
    },
    /// The release has moved on.
    #[error(
        "release {id} is at generation {current}, the change was made for {expected}; look at it again, and repeat the \
         change if it still makes sense"
    )]
    Stale {
        /// The release.
        id: ReleaseId,
        /// What the change was made for.
        expected: u64,
        /// What it is.
        current: u64,
    },
    /// Another change is under way.
    #[error("release {id} is being changed by {who}; wait for that change, or give it up (`bobbin release cancel`)")]
    InProgress {
        /// The release.
        id: ReleaseId,
        /// Who changes it.
        who: String,
        /// Its generation.
        current: u64,
    },
    /// The change was overtaken by a rollback, or given up.
    #[error("the change of release {id} was given up before it was made: {why}")]
    Superseded {
        /// The release.
        id: ReleaseId,
        /// What overtook it.
        why: &'static str,
        /// Its generation.
        current: u64,
    },
    /// There is no candidate.
    #[error("release {id}: {refusal}")]
    NothingToPromote {
        /// The release.
        id: ReleaseId,
        /// Why.
        refusal: Refusal,
    },
    /// There is no previous stable.
    #[error("release {id}: {refusal}")]
    NothingToRollBack {
        /// The release.
        id: ReleaseId,
        /// Why.
        refusal: Refusal,
    },
    /// No change is under way.
    #[error("release {id} is not being changed, so there is nothing to give up")]
    NothingPending {
        /// The release.
        id: ReleaseId,
    },
    /// The repository has no such bundle.
    #[error("{bundle}: {reason}")]
    UnknownBundle {
        /// As it was written.
        bundle: Arc<str>,
        /// Why it cannot be had.
        reason: String,
    },
    /// The change makes no sense.
    #[error("release {id}: {refusal}")]
    Invalid {
        /// The release.
        id: ReleaseId,
        /// Why.
        refusal: Refusal,
    },
    /// A version did not verify, load, warm up or match its fingerprint.
    #[error("{bundle} cannot serve, and release {id} stays as it is: {reason}")]
    VersionFailed {
        /// The release.
        id: ReleaseId,
        /// `name@version`.
        bundle: Arc<str>,
        /// Why.
        reason: String,
    },
    /// A version needs more memory than there is.
    #[error("{bundle} does not fit into this host's memory, and release {id} stays as it is: {reason}")]
    DoesNotFit {
        /// The release.
        id: ReleaseId,
        /// `name@version`.
        bundle: Arc<str>,
        /// The numbers.
        reason: String,
    },
    /// The state folder could not be written.
    #[error("the change of release {id} could not be persisted, and generation {current} goes on serving: {source}")]
    NotPersisted {
        /// The release.
        id: ReleaseId,
        /// Its generation.
        current: u64,
        /// The cause.
        source: Box<StoreError>,
    },
    /// The host is stopping.
    #[error("the host is stopping; change the release when it is up again")]
    Stopping,
}

impl ChangeError {
    /// The machine-readable reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownRelease { .. } => "unknown_release",
            Self::Stale { .. } => "stale_generation",
            Self::InProgress { .. } => "change_in_progress",
            Self::Superseded { .. } => "superseded",
            Self::NothingToPromote { .. } => "nothing_to_promote",
            Self::NothingToRollBack { .. } => "nothing_to_roll_back",
            Self::NothingPending { .. } => "nothing_pending",
            Self::UnknownBundle { .. } => "unknown_bundle",
            Self::Invalid { .. } => "invalid_change",
            Self::VersionFailed { .. } => "version_failed",
            Self::DoesNotFit { .. } => "does_not_fit",
            Self::NotPersisted { .. } => "not_persisted",
            Self::Stopping => "stopping",
        }
    }

    /// The release's generation, where the change collided with it.
    #[must_use]
    pub fn current_generation(&self) -> Option<u64> {
        match self {
            Self::Stale { current, .. }
            | Self::InProgress { current, .. }
            | Self::Superseded { current, .. }
            | Self::NotPersisted { current, .. } => Some(*current),
            Self::UnknownRelease { .. }
            | Self::NothingToPromote { .. }
            | Self::NothingToRollBack { .. }
            | Self::NothingPending { .. }
            | Self::UnknownBundle { .. }
            | Self::Invalid { .. }
            | Self::VersionFailed { .. }
            | Self::DoesNotFit { .. }
            | Self::Stopping => None,
        }
    }

    pub(crate) fn refused(id: &ReleaseId, refusal: Refusal) -> Self {
        let id = id.clone();
        match refusal {
            Refusal::NothingToPromote => Self::NothingToPromote { id, refusal },
            Refusal::NothingToRollBack => Self::NothingToRollBack { id, refusal },
            Refusal::IsStable { .. } | Refusal::OutOfRange { .. } | Refusal::OtherKind { .. } => {
                Self::Invalid { id, refusal }
            }
        }
    }
}
