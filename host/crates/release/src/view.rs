//! Releases, generations and bundles as the admin API shows them.

use crate::command::Action;
use crate::events::timestamp;
use crate::live::Card;
use crate::record::Record;
use crate::shadow::AgreementView;
use crate::spec::{Candidate, Policy, Sticky, Weight};
use crate::status::{State, Status};
use crate::table::ReleaseId;
use crate::tenure::Tenure;
use crate::version::Version;
use serde::Serialize;
use std::sync::Arc;

/// A release and everything that is known of it now.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseView {
    /// Its name.
    pub id: ReleaseId,
    /// Id of the trigger.
    pub trigger: Arc<str>,
    /// Name by which the component loads the graph.
    pub graph: Arc<str>,
    /// Raised by every change.
    pub generation: u64,
    /// The version that serves.
    pub stable: VersionView,
    /// The version that takes a share.
    pub candidate: Option<CandidateView>,
    /// The version that scores answers.
    pub shadow: Option<VersionView>,
    /// Where a rollback leads.
    pub previous: Option<PreviousView>,
    /// Versions that finish what they began.
    pub draining: Vec<DrainingView>,
    /// Seconds that a replaced version has to finish its answers.
    pub drain_seconds: u64,
    /// Seconds for which the previous version stays loaded.
    pub keep_warm_seconds: u64,
    /// What happens first when stable is replaced.
    pub policy: Policy,
    /// What decides between stable and candidate.
    pub sticky: Sticky,
    /// Whether a request may name its version.
    pub version_header: bool,
    /// Whether a request may load each live version by its exact name.
    pub exact_versions: bool,
    /// When the release stops answering, where that is decided.
    pub retires: Option<String>,
    /// How this generation came to be.
    pub changed: ChangedView,
    /// A change that is under way.
    pub pending: Option<PendingView>,
    /// The last change that was not made, since this generation.
    pub failure: Option<FailureView>,
    /// How far the shadow agrees.
    pub agreement: Option<AgreementView>,
}

/// A version in a role.
#[derive(Debug, Clone, Serialize)]
pub struct VersionView {
    /// `name@version`.
    pub bundle: Arc<str>,
    /// Where it is.
    pub state: State,
    /// Since when.
    pub since: String,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// Requests that hold a lease on it in this role.
    pub leases: usize,
}

/// A candidate.
#[derive(Debug, Clone, Serialize)]
pub struct CandidateView {
    /// Its share, in percent.
    pub weight: Weight,
    /// The version.
    #[serde(flatten)]
    pub version: VersionView,
}

/// The previous stable version.
#[derive(Debug, Clone, Serialize)]
pub struct PreviousView {
    /// Until when it stays loaded; `None` where it is not.
    pub warm_until: Option<String>,
    /// The version.
    #[serde(flatten)]
    pub version: VersionView,
}

/// A version that finishes what it began.
#[derive(Debug, Clone, Serialize)]
pub struct DrainingView {
    /// `name@version`.
    pub bundle: Arc<str>,
    /// Always `draining`.
    pub state: State,
    /// Since when.
    pub since: String,
    /// What is wrong with the drain, where something is.
    pub reason: Option<String>,
    /// Requests that it still has.
    pub leases: usize,
    /// When the rest is ended.
    pub deadline: String,
}

/// How a generation came to be.
#[derive(Debug, Clone, Serialize)]
pub struct ChangedView {
    /// The generation.
    pub generation: u64,
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: Option<String>,
    /// What was asked for.
    pub action: Action,
}

/// A change that is under way.
#[derive(Debug, Clone, Serialize)]
pub struct PendingView {
    /// Since when.
    pub since: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: Option<String>,
    /// What it was made for.
    pub expected_generation: u64,
    /// The version that it waits for.
    pub bundle: Option<Arc<str>>,
    /// `accepted`, `verifying`, `loading`, `warming` or `draining`.
    pub step: &'static str,
}

/// A change that was not made.
#[derive(Debug, Clone, Serialize)]
pub struct FailureView {
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// Why it was asked for.
    pub why: Option<String>,
    /// The machine-readable reason.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

/// A generation in the history.
#[derive(Debug, Clone, Serialize)]
pub struct ChangeView {
    /// How it came to be.
    #[serde(flatten)]
    pub changed: ChangedView,
    /// The version that served.
    pub stable: Arc<str>,
    /// The version that took a share.
    pub candidate: Option<Candidate>,
    /// The version that scored answers.
    pub shadow: Option<Arc<str>>,
    /// Seconds that a replaced version had to finish its answers.
    pub drain_seconds: u64,
    /// Seconds for which the previous version stayed loaded.
    pub keep_warm_seconds: u64,
    /// What happened first when stable was replaced.
    pub policy: Policy,
    /// What decided between stable and candidate.
    pub sticky: Sticky,
    /// Whether a request could name its version.
    pub version_header: bool,
}

/// A bundle of the repository, and what this host knows of it.
#[derive(Debug, Clone, Serialize)]
pub struct BundleView {
    /// `name@version`.
    pub bundle: String,
    /// `sha256:<hex>`, as its manifest claims.
    pub digest: Option<String>,
    /// `generate`, `embed`, ..
    pub kind: Option<String>,
    /// Bytes of all files.
    pub size: Option<u64>,
    /// An SPDX expression.
    pub licence: Option<String>,
    /// What else its card says.
    pub card: Option<Card>,
    /// Where it is.
    pub state: State,
    /// Since when, where that is known.
    pub since: Option<String>,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// Releases in which it has a role.
    pub releases: Vec<ReleaseId>,
}

impl ChangedView {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            generation: record.generation,
            at: timestamp(record.at),
            who: record.who.clone(),
            why: record.why.clone(),
            action: record.action,
        }
    }
}

impl ChangeView {
    pub(crate) fn of(record: &Record) -> Self {
        let spec = record.spec.clone();
        Self {
            changed: ChangedView::of(record),
            stable: spec.stable,
            candidate: spec.candidate,
            shadow: spec.shadow,
            drain_seconds: spec.drain_seconds,
            keep_warm_seconds: spec.keep_warm_seconds,
            policy: spec.policy,
            sticky: spec.sticky,
            version_header: spec.version_header,
        }
    }
}

impl VersionView {
    /// A version; `None` is one that is not loaded.
    pub(crate) fn of(bundle: &Arc<str>, version: Option<&Arc<Version>>, leases: usize) -> Self {
        let status = version.map_or_else(|| Status::now(State::Available, None), |version| version.status());
        Self {
            bundle: Arc::clone(bundle),
            state: status.state,
            since: timestamp(status.since),
            reason: status.reason,
            leases,
        }
    }

    pub(crate) fn of_tenure(tenure: &Tenure) -> Self {
        Self::of(tenure.bundle(), tenure.version().as_ref(), tenure.leases())
    }
}
