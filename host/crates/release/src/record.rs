//! A generation of a release, as it is remembered.

use crate::command::Action;
use crate::spec::Spec;
use std::time::SystemTime;

/// One generation: what a release was set to, when, by whom, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Raised by every change, from 1.
    pub generation: u64,
    /// When it was committed, to the millisecond.
    pub at: SystemTime,
    /// Who asked for it.
    pub who: String,
    /// Why, where they said.
    pub why: Option<String>,
    /// What was asked for.
    pub action: Action,
    /// What it became.
    pub spec: Spec,
}

/// What the state folder knows of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Digest of the declaration that the release last followed.
    pub declaration: String,
    /// Its last generation.
    pub record: Record,
}
