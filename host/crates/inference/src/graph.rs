//! Graphs and sessions: what a pinned bundle version looks like to the sandbox.

use crate::{InferenceError, OptionsPatch, Output, RequestContext, Work};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a bundle's model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphKind {
    /// Continues text.
    Generate,
    /// Turns text into vectors.
    Embed,
}

/// What is known of a graph without asking its worker.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphInfo {
    /// `name@version`, as answers name it.
    pub bundle: Arc<str>,
    /// `sha256:<hex>` of the bundle.
    pub digest: Arc<str>,
    /// What the model does.
    pub kind: GraphKind,
    /// The most tokens that one session holds.
    pub context: u32,
    /// Numbers of a vector, where the model makes vectors.
    pub dimensions: Option<u32>,
    /// The bundle's default options, under those of a request.
    pub defaults: OptionsPatch,
}

/// Who shares cached prefixes: sessions of one scope only, since timing would tell tenants about each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The trigger that admitted the request.
    pub route: String,
    /// Who asks, where the host knows.
    pub principal: Option<String>,
    /// The adapter in use, where there is one.
    pub adapter: Option<String>,
}

/// Which work goes first when a worker is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// Scores for a shadow version: only with what is left over.
    Shadow,
    /// Somebody waits for the answer.
    Request,
}

/// What a worker is for, which decides what it may take from the others of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It answers requests.
    Serving,
    /// It scores what others answered: with one thread, and only with processor time that nobody else wants.
    Shadow,
}

/// wasi-nn's graph: a handle on one bundle version. Opening a session on it costs no I/O.
pub trait Graph: Send + Sync {
    /// What is known of the graph.
    fn info(&self) -> &GraphInfo;

    /// Names the vocabulary: sha256 in hex over all tokens and special tokens. Where two graphs say the same, a
    /// token id means the same to both. `None` until the worker has loaded, and where nobody knows.
    fn vocabulary(&self) -> Option<Arc<str>> {
        None
    }

    /// A new session for the request. The worker hears of it with its first compute.
    fn open(&self, context: Arc<RequestContext>, scope: Scope, priority: Priority) -> Box<dyn Session>;
}

/// wasi-nn's graph-execution-context: one sequence of the key-value cache.
///
/// Dropping a session, or the future of a call on it, frees its sequence at the worker's next step.
pub trait Session: Send {
    /// Starts (or, after a finished one, continues with) a piece of work.
    ///
    /// With `stream` in the work's options it returns as soon as at least one token is there, with all that
    /// is ready; the rest is fetched with [`Session::next`]. Otherwise it returns the whole answer.
    ///
    /// # Errors
    /// As the wasi-nn contract says; see [`crate::Reason`].
    fn compute(&mut self, work: Work) -> BoxFuture<'_, Result<Output, InferenceError>>;

    /// The next part of a streamed answer: at least one token, or the end with its finish reason.
    ///
    /// # Errors
    /// `invalid_state` when no streamed answer is open; else as for [`Session::compute`].
    fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>>;
}
