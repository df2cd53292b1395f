//! Releases as the admin API shows them. What a newer host says besides is ignored; what an older one leaves out
//! is absent.

use serde::Deserialize;

/// `GET /admin/v1/releases`.
#[derive(Debug, Deserialize)]
pub(crate) struct Releases {
    pub(crate) releases: Vec<Release>,
}

/// `GET /admin/v1/releases/{id}`, and the answer to every change.
#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) stable: Version,
    pub(crate) candidate: Option<Candidate>,
    pub(crate) shadow: Option<Version>,
    pub(crate) previous: Option<Version>,
    #[serde(default)]
    pub(crate) draining: Vec<Version>,
    pub(crate) drain_seconds: u64,
    pub(crate) keep_warm_seconds: u64,
    pub(crate) policy: String,
    pub(crate) sticky: String,
    pub(crate) version_header: bool,
    #[serde(default)]
    pub(crate) exact_versions: bool,
    /// When the release stops answering.
    pub(crate) retires: Option<String>,
    pub(crate) changed: Option<Changed>,
    pub(crate) pending: Option<Pending>,
    pub(crate) failure: Option<Failure>,
    pub(crate) agreement: Option<Agreement>,
}

/// One version of a release.
#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) bundle: String,
    pub(crate) state: String,
    pub(crate) since: Option<String>,
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) leases: u64,
    /// Of the previous version: until when it stays loaded.
    pub(crate) warm_until: Option<String>,
    /// Of a draining version: when it is cut.
    pub(crate) deadline: Option<String>,
}

/// The version that is tried.
#[derive(Debug, Deserialize)]
pub(crate) struct Candidate {
    #[serde(flatten)]
    pub(crate) version: Version,
    /// In percent.
    pub(crate) weight: f64,
}

/// Where the present generation comes from.
#[derive(Debug, Deserialize)]
pub(crate) struct Changed {
    pub(crate) at: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) why: Option<String>,
    pub(crate) action: String,
}

/// A change that was accepted and is not committed.
#[derive(Debug, Deserialize)]
pub(crate) struct Pending {
    pub(crate) since: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) why: Option<String>,
    pub(crate) bundle: Option<String>,
    pub(crate) step: String,
}

/// The last change that failed since the last one that was committed.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    pub(crate) at: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// How far the shadow's answers are from the real ones.
#[derive(Debug, Deserialize)]
pub(crate) struct Agreement {
    pub(crate) samples: u64,
    #[serde(default)]
    pub(crate) dropped: u64,
    #[serde(default)]
    pub(crate) failed: u64,
    pub(crate) same_vocabulary: Option<bool>,
    pub(crate) mean_logprob_difference: Option<f64>,
    pub(crate) same_finish: Option<f64>,
    pub(crate) mean_length_ratio: Option<f64>,
}

/// `GET /admin/v1/releases/{id}/history`.
#[derive(Debug, Deserialize)]
pub(crate) struct History {
    pub(crate) history: Vec<Change>,
}

/// One generation.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    pub(crate) generation: u64,
    pub(crate) at: Option<String>,
    pub(crate) who: Option<String>,
    pub(crate) why: Option<String>,
    pub(crate) action: String,
    pub(crate) stable: String,
    pub(crate) candidate: Option<ChangedCandidate>,
    pub(crate) shadow: Option<String>,
}

/// The candidate of a generation.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangedCandidate {
    pub(crate) bundle: String,
    /// In percent.
    pub(crate) weight: f64,
}
