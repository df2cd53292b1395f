//! What a worker is doing, for whoever asks: people, metrics, and sessions that need its process.

use super::link::Link;
use crate::length::Shortest;
use bobbin_inference::wire::{Loaded, Phase};
use bobbin_inference::{GraphInfo, InferenceError, Reason, RequestContext};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// How far a start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartPhase {
    /// The process is being started and greeted.
    Spawning,
    /// Weights are being read.
    Loading,
    /// Warm-up prompts and fingerprint.
    Warming,
}

impl From<Phase> for StartPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Loading => Self::Loading,
            Phase::Warming => Self::Warming,
        }
    }
}

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerState {
    /// A process is being made ready, for the first time or again.
    Starting {
        /// How far it is.
        phase: StartPhase,
    },
    /// It computes.
    Ready {
        /// Its process.
        pid: u32,
        /// What it found when it loaded.
        loaded: Arc<Loaded>,
    },
    /// Its process lives, but has not answered for some time: it is stopped, or stuck inside llama.cpp. Computes
    /// wait for it until their deadlines.
    Silent {
        /// Its process.
        pid: u32,
        /// For how long, and what to do.
        reason: Arc<str>,
    },
    /// It died, and will be started again.
    Restarting {
        /// Why it died.
        reason: Arc<str>,
        /// Restarts in a row, this one included.
        attempt: u32,
        /// When it will be started.
        at: SystemTime,
    },
    /// It will not be started again: its first load failed, or it kept dying.
    Failed {
        /// Why.
        reason: Arc<str>,
        /// The same for those who ask the application: without what the process said.
        told: Arc<str>,
    },
    /// It was told to end.
    Stopping,
    /// It was told to end, and has.
    Stopped,
}

/// What a worker is doing, and since when.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerStatus {
    /// What it is doing.
    pub state: WorkerState,
    /// When it began to.
    pub since: SystemTime,
}

impl WorkerStatus {
    fn now(state: WorkerState) -> Self {
        Self { state, since: SystemTime::now() }
    }
}

/// Statuses that a follower may be behind; one start has five.
const CHANGES: usize = 64;

/// Every status of a worker, in order and without a gap, however short it lasted.
#[derive(Debug)]
pub struct Changes {
    first: Option<WorkerStatus>,
    later: broadcast::Receiver<WorkerStatus>,
}

impl Changes {
    /// The next status; the first is the one at the time of [`Worker::follow`](super::Worker::follow). `None` when
    /// the worker and all of its handles are gone. A follower that is 64 statuses behind goes on with the oldest
    /// that is left.
    pub async fn next(&mut self) -> Option<WorkerStatus> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.later.recv().await {
                Ok(status) => return Some(status),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// A worker that is not ready and will not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct WorkerFailure {
    /// `name@version`.
    pub bundle: Arc<str>,
    /// What, where, why.
    pub reason: Arc<str>,
}

/// Whether a session can have a process.
#[derive(Debug, Clone)]
pub(super) enum Access {
    /// Not yet, because of this.
    Waiting(Arc<str>),
    /// This one.
    Live(Arc<Link>),
    /// Never, because of this.
    Refused(Arc<str>),
}

/// What a worker's task, its handles and its sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) info: GraphInfo,
    pub(super) status: watch::Sender<WorkerStatus>,
    pub(super) access: watch::Sender<Access>,
    pub(super) restarts: AtomicU64,
    /// Names the vocabulary, from the first load on: it is the same weights that every process loads.
    pub(super) vocabulary: OnceLock<Arc<str>>,
    /// Bytes of the vocabulary's longest token, where the first load found that they bound how few tokens a text has.
    pub(super) longest_token: OnceLock<u32>,
    /// Why the processor computes although there is a GPU.
    pub(super) without_gpu: OnceLock<Arc<str>>,
    /// Every status that was entered, in order.
    changes: broadcast::Sender<WorkerStatus>,
}

impl Shared {
    pub(super) fn new(info: GraphInfo) -> Arc<Self> {
        let waiting = Access::Waiting(format!("the worker for {} is being started", info.bundle).into());
        Arc::new(Self {
            status: watch::Sender::new(WorkerStatus::now(WorkerState::Starting { phase: StartPhase::Spawning })),
            access: watch::Sender::new(waiting),
            restarts: AtomicU64::new(0),
            vocabulary: OnceLock::new(),
            longest_token: OnceLock::new(),
            without_gpu: OnceLock::new(),
            changes: broadcast::Sender::new(CHANGES),
            info,
        })
    }

    /// Enters a state; one that is said twice was entered the first time.
    pub(super) fn enter(&self, state: WorkerState) {
        self.status.send_if_modified(|status| {
            let new = status.state != state;
            if new {
                *status = WorkerStatus::now(state);
                // Nobody has to follow. Under the lock of the status, so that a follower misses none.
                let _ = self.changes.send(status.clone());
            }
            new
        });
    }

    /// The live process, waited for until the request's soft deadline while there is none.
    ///
    /// # Errors
    /// `worker_unavailable` when there will be none; `deadline_exceeded` when there was none in time; `cancelled`.
    pub(super) async fn link(&self, context: &RequestContext) -> Result<Arc<Link>, InferenceError> {
        let mut access = self.access.subscribe();
        let unavailable = |reason: &str| InferenceError::new(Reason::WorkerUnavailable, reason);
        loop {
            let reason = match &*access.borrow_and_update() {
                Access::Live(link) if link.lost().is_none() => return Ok(Arc::clone(link)),
                Access::Live(_) => format!("the worker for {} has just died", self.info.bundle).into(),
                Access::Waiting(reason) => Arc::clone(reason),
                Access::Refused(reason) => return Err(unavailable(reason)),
            };
            tokio::select! {
                biased;
                () = context.cancel.cancelled() => return Err(InferenceError::cancelled()),
                () = tokio::time::sleep_until(context.deadlines.soft.into()) => {
                    let text = format!("{reason}, and it was not ready before the request's deadline; try again later");
                    return Err(InferenceError::new(Reason::DeadlineExceeded, text));
                }
                changed = access.changed() => {
                    if let Err(gone) = changed {
                        return Err(unavailable(&format!("{reason}; its supervision has ended ({gone})")));
                    }
                }
            }
        }
    }

    /// How few tokens a text may have: what cannot fit is not sent to a process.
    pub(super) fn shortest(&self) -> Shortest {
        Shortest { longest_token: self.longest_token.get().copied(), context: self.info.context }
    }

    /// The status now, and every one after it.
    pub(super) fn follow(&self) -> Changes {
        let status = self.status.borrow();
        Changes { first: Some(status.clone()), later: self.changes.subscribe() }
    }

    pub(super) fn live(&self) -> Option<Arc<Link>> {
        match &*self.access.borrow() {
            Access::Live(link) => Some(Arc::clone(link)),
            Access::Waiting(_) | Access::Refused(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::{GraphKind, OptionsPatch};

    #[test]
    fn a_state_that_is_said_twice_was_entered_the_first_time() {
        let shared = Shared::new(GraphInfo {
            bundle: "storyteller@1.0.0".into(),
            digest: "sha256:00".into(),
            kind: GraphKind::Generate,
            context: 256,
            dimensions: None,
            defaults: OptionsPatch::default(),
        });
        let loading = WorkerState::Starting { phase: StartPhase::Loading };
        shared.enter(loading.clone());
        let first = shared.status.borrow().clone();
        assert_eq!(first.state, loading);
        shared.enter(loading);
        assert_eq!(*shared.status.borrow(), first);
        shared.enter(WorkerState::Stopping);
        assert!(shared.status.borrow().state == WorkerState::Stopping && shared.status.borrow().since >= first.since);
    }
}
