//! A supervised worker, as the rest of the host holds it.

use super::memory::Memory;
use super::session::WorkerSession;
use super::state::{Changes, Shared, WorkerFailure, WorkerState, WorkerStatus};
use bobbin_inference::wire::{Loaded, Offloaded, WorkerStats};
use bobbin_inference::{Graph, GraphInfo, Priority, RequestContext, Scope, Session};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// The worker of one bundle version: a process that is started, watched, and started again.
///
/// It stops when the last of its handles and sessions is dropped: a lease on it is an `Arc<Worker>`.
#[derive(Debug)]
pub struct Worker {
    keep: Arc<Keep>,
}

/// Keeps a worker alive; the worker's task holds none.
#[derive(Debug)]
pub(super) struct Keep {
    shared: Arc<Shared>,
    stop: watch::Sender<Option<Duration>>,
    grace: Duration,
}

impl Keep {
    pub(super) fn new(shared: Arc<Shared>, stop: watch::Sender<Option<Duration>>, grace: Duration) -> Self {
        Self { shared, stop, grace }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn stop(&self, grace: Duration) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(grace);
            first
        });
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.stop(self.grace);
    }
}

impl Worker {
    pub(super) fn new(keep: Keep) -> Arc<Self> {
        Arc::new(Self { keep: Arc::new(keep) })
    }

    /// Waits until the worker computes, and says what it found when it loaded.
    ///
    /// # Errors
    /// When it will not: its load failed, it kept dying, or it was stopped.
    pub async fn ready(&self) -> Result<Loaded, WorkerFailure> {
        let mut statuses = self.watch();
        let ended = |reason: Arc<str>| WorkerFailure { bundle: Arc::clone(&self.info().bundle), reason };
        loop {
            match &statuses.borrow_and_update().state {
                WorkerState::Ready { loaded, .. } => return Ok(Loaded::clone(loaded)),
                WorkerState::Failed { reason, .. } => return Err(ended(Arc::clone(reason))),
                WorkerState::Stopping | WorkerState::Stopped => {
                    return Err(ended(format!("the worker for {} was stopped", self.info().bundle).into()));
                }
                WorkerState::Starting { .. } | WorkerState::Silent { .. } | WorkerState::Restarting { .. } => {}
            }
            statuses.changed().await.map_err(|gone| ended(gone.to_string().into()))?;
        }
    }

    /// What the worker is doing.
    #[must_use]
    pub fn state(&self) -> WorkerState {
        self.status().state
    }

    /// What the worker is doing, and since when.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.shared().status.borrow().clone()
    }

    /// Follows what the worker is doing.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<WorkerStatus> {
        self.shared().status.subscribe()
    }

    /// Follows what the worker is doing without missing anything, unlike [`Worker::watch`], which shows what is: a
    /// phase that lasted a millisecond is told too.
    #[must_use]
    pub fn follow(&self) -> Changes {
        self.shared().follow()
    }

    /// Whether it computes now. Clones nothing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.shared().status.borrow().state, WorkerState::Ready { .. })
    }

    /// What the process last said of its sequences; zeros while there is none. Its counters begin anew with
    /// every process.
    #[must_use]
    pub fn stats(&self) -> WorkerStats {
        self.shared().live().map(|link| link.stats()).unwrap_or_default()
    }

    /// How often the worker was started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.shared().restarts.load(Ordering::Relaxed)
    }

    /// The process that computes now.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.shared().status.borrow().state {
            WorkerState::Ready { pid, .. } | WorkerState::Silent { pid, .. } => Some(*pid),
            _ => None,
        }
    }

    /// Memory that the process has resident, in bytes, mapped weights included. `None` while there is no
    /// process that computes. Source: `VmRSS` in `/proc/<pid>/status`.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        Memory::of(self.pid()?).ok().map(|memory| memory.resident)
    }

    /// The rules of the process's cage: name, and why it does not hold on this kernel where it does not. Empty
    /// while there is no process that computes.
    #[must_use]
    pub fn cage(&self) -> Vec<(String, Option<String>)> {
        match &self.shared().status.borrow().state {
            WorkerState::Ready { loaded, .. } => loaded.cage.clone(),
            _ => Vec::new(),
        }
    }

    /// What a GPU computes, or why none does although this node has a worker for one. `None` where it has none, and
    /// while there is no process that computes.
    #[must_use]
    pub fn gpu(&self) -> Option<Result<Offloaded, Arc<str>>> {
        if let Some(reason) = self.shared().without_gpu.get() {
            return Some(Err(Arc::clone(reason)));
        }
        match &self.shared().status.borrow().state {
            WorkerState::Ready { loaded, .. } => loaded.gpu.clone().map(Ok),
            _ => None,
        }
    }

    /// Ends the process and returns when it is gone. What it is computing is lost. A process that has not
    /// ended after `grace` is killed. The first call decides on the grace.
    pub async fn stop(&self, grace: Duration) {
        self.keep.stop(grace);
        let mut statuses = self.watch();
        let over = |status: &WorkerStatus| matches!(status.state, WorkerState::Stopped | WorkerState::Failed { .. });
        // An error means that the worker's task is gone, and with it the process.
        let _ = statuses.wait_for(over).await;
    }

    pub(super) fn shared(&self) -> &Shared {
        self.keep.shared()
    }
}

impl Graph for Worker {
    fn info(&self) -> &GraphInfo {
        &self.shared().info
    }

    fn vocabulary(&self) -> Option<Arc<str>> {
        self.shared().vocabulary.get().cloned()
    }

    fn open(&self, context: Arc<RequestContext>, scope: Scope, priority: Priority) -> Box<dyn Session> {
        let worker = Arc::clone(&self.keep);
        Box::new(WorkerSession { worker, context, scope, priority, bound: None, stream: None, used: false })
    }
}
