//! Where a bundle version is, since when, and why.

use serde::Serialize;
use std::time::SystemTime;

/// Where a version is on its way to serving, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On disk, and nothing more is known.
    Available,
    /// Its files are being hashed and checked.
    Verifying,
    /// Its worker reads the weights, or is being started again.
    Loading,
    /// Its worker computes warm-up prompts and the fingerprint.
    Warming,
    /// It answers.
    Ready,
    /// It answers what it began, and takes nothing new.
    Draining,
    /// Its worker is ending.
    Unloading,
    /// It cannot serve; the status says why.
    Failed,
}

impl State {
    /// The name in metrics and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Verifying => "verifying",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unloading => "unloading",
            Self::Failed => "failed",
        }
    }
}

/// A state, since when, and why where that needs saying.
#[derive(Debug, Clone)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Since when: the last change of the state, or of what is behind it (a start's phase, a death).
    pub since: SystemTime,
    /// Why it failed, or why it is being loaded again; what to do about it.
    pub reason: Option<String>,
    /// The same for those who ask the application, where the reason says what is not for them.
    pub told: Option<String>,
}

impl Status {
    pub(crate) fn now(state: State, reason: Option<String>) -> Self {
        Self { state, since: SystemTime::now(), reason, told: None }
    }
}
