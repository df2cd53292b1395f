//! What releases need of the rest of the host: bundles to verify, and workers to run them.

use crate::status::Status;
use bobbin_bundle::VerifiedBundle;
use bobbin_inference::Graph;
use bobbin_inference::wire::WorkerStats;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// A loaded (or loading) version: a worker, as releases see it.
pub trait Live: Send + Sync {
    /// Opens sessions.
    fn graph(&self) -> Arc<dyn Graph>;

    /// Loading, warming, ready or failed, in the worker's own words.
    fn status(&self) -> Status;

    /// What the worker process is doing, for metrics and status.
    fn vitals(&self) -> Vitals;

    /// Ends when the worker is ready, or has failed for good: with the reason.
    fn settled(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Ends the worker; what it computes after `grace` is lost.
    fn stop(&self, grace: Duration) -> BoxFuture<'_, ()>;
}

/// A worker process, as metrics and status show it.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// Its process id, while there is a process.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Its resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// The rules of its cage: name, and why it does not hold on this kernel where it does not. Empty while there
    /// is no process.
    pub cage: Vec<(String, Option<String>)>,
    /// Its own account.
    pub stats: WorkerStats,
}

/// Starts workers. A verified bundle is the only way to one.
pub trait Launcher: Send + Sync {
    /// Begins to load the bundle, and returns at once.
    ///
    /// # Errors
    /// When no worker can run such a bundle; the reason.
    fn launch(&self, bundle: &VerifiedBundle) -> Result<Arc<dyn Live>, String>;
}

/// Finds and verifies bundles. Blocking: called on a thread of its own.
pub trait Source: Send + Sync + 'static {
    /// Verifies `name@version` and stores its blobs.
    ///
    /// # Errors
    /// What is wrong with the bundle, for people: what, where, why, and the next step.
    fn verify(&self, bundle: &str) -> Result<VerifiedBundle, String>;
}
