//! Releases start workers through here: the one place that knows both.

use bobbin_bundle::VerifiedBundle;
use bobbin_inference::wire::Offloaded;
use bobbin_inference::{Class, Graph};
use bobbin_release::{Live, State, Status, Verified, Vitals};
use bobbin_worker::supervisor::{
    Changes, StartPhase, Supervisor, Worker, WorkerSpec, WorkerState, WorkerStatus, available_memory,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Starts worker processes, and knows what they take.
pub(crate) struct Workers {
    supervisor: Supervisor,
    /// What all of them together may take, in bytes, where the operator says.
    limit: Option<u64>,
    started: Mutex<Vec<Started>>,
}

/// A worker that was started, and what it takes by calculation, in bytes.
struct Started {
    worker: Weak<Worker>,
    need: u64,
    weights: u64,
}

impl Workers {
    pub(crate) fn new(supervisor: Supervisor, limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self { supervisor, limit, started: Mutex::default() })
    }

    fn start(&self, spec: WorkerSpec, class: Class) -> Arc<Worker> {
        let (need, weights) = (spec.need_bytes(), spec.weights_bytes());
        let worker = self.supervisor.start(spec, class);
        let mut started = self.started.lock();
        started.retain(|started| started.worker.strong_count() > 0);
        started.push(Started { worker: Arc::downgrade(&worker), need, weights });
        worker
    }

    /// Memory that another worker may take, in bytes: what the machine has available, and what the operator's limit
    /// leaves, once every worker that runs has all that it needs. Negative where that is more than there is.
    pub(crate) fn free_memory(&self) -> Option<i64> {
        let (mut claimed, mut counted) = (0_i64, 0_i64);
        for Started { worker, need, weights } in self.started.lock().iter() {
            let Some(worker) = worker.upgrade() else { continue };
            // One that will not run again holds nothing, whoever still looks at it.
            if matches!(worker.state(), WorkerState::Failed { .. } | WorkerState::Stopped) {
                continue;
            }
            let resident = worker.resident_bytes().unwrap_or(0);
            claimed = claimed.saturating_add(signed(resident.max(*need)));
            // Mapped weights can be dropped and read again, so the kernel calls them available; for us they are not.
            counted = counted.saturating_add(signed(resident.saturating_sub(*weights)));
        }
        let left = self.limit.map(|limit| signed(limit).saturating_sub(claimed));
        let available = available_memory().map(|bytes| signed(bytes).saturating_add(counted).saturating_sub(claimed));
        [left, available].into_iter().flatten().min()
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A bundle that was verified, with the way to its worker.
pub(crate) struct Startable {
    pub(crate) bundle: VerifiedBundle,
    pub(crate) workers: Arc<Workers>,
}

impl Verified for Startable {
    fn digest(&self) -> String {
        self.bundle.digest().to_string()
    }

    fn need_bytes(&self) -> u64 {
        // What no worker can serve takes nothing, and is refused when it is launched.
        WorkerSpec::new(&self.bundle).map_or(0, |spec| spec.need_bytes())
    }

    fn launch(&self, class: Class) -> Result<Arc<dyn Live>, String> {
        let spec = WorkerSpec::new(&self.bundle).map_err(|error| error.to_string())?;
        Ok(Arc::new(LiveWorker(self.workers.start(spec, class))))
    }
}

struct LiveWorker(Arc<Worker>);

/// A worker's word, in the terms of releases.
fn status(WorkerStatus { state, since }: WorkerStatus) -> Status {
    let told = match &state {
        WorkerState::Failed { told, .. } => Some(told.to_string()),
        _ => None,
    };
    let (state, reason) = match state {
        WorkerState::Starting { phase: StartPhase::Spawning | StartPhase::Loading } => (State::Loading, None),
        WorkerState::Starting { phase: StartPhase::Warming } => (State::Warming, None),
        WorkerState::Ready { .. } => (State::Ready, None),
        // What it is on the way to is answering again; until then nobody should be sent to it.
        WorkerState::Silent { reason, .. } => (State::Loading, Some(reason.to_string())),
        WorkerState::Restarting { reason, .. } => (State::Loading, Some(reason.to_string())),
        WorkerState::Failed { reason, .. } => (State::Failed, Some(reason.to_string())),
        WorkerState::Stopping | WorkerState::Stopped => (State::Unloading, None),
    };
    Status { state, since, reason, told }
}

impl Live for LiveWorker {
    fn graph(&self) -> Arc<dyn Graph> {
        Arc::clone(&self.0) as Arc<dyn Graph>
    }

    fn status(&self) -> Status {
        status(self.0.status())
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn follow(&self) -> BoxStream<'static, Status> {
        let next = |mut changes: Changes| async move {
            let now = status(changes.next().await?);
            Some((now, changes))
        };
        futures::stream::unfold(self.0.follow(), next).boxed()
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            pid: self.0.pid(),
            restarts: self.0.restarts(),
            resident_bytes: self.0.resident_bytes(),
            cage: self.0.cage(),
            gpu: self.0.gpu().map(|gpu| match gpu {
                Ok(Offloaded { devices, layers, of }) => Ok(format!("{layers} of {of} layers on {devices}")),
                Err(reason) => Err(reason.to_string()),
            }),
            stats: self.0.stats(),
        }
    }

    fn settled(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { self.0.ready().await.map(drop).map_err(|failure| failure.reason.to_string()) })
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.0.stop(grace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_status_is_as_old_as_the_workers_state_and_says_why() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let reason = "the worker for storyteller@1.0.0 ended by SIGSEGV";
        for (worker, state, said) in [
            (WorkerState::Starting { phase: StartPhase::Spawning }, State::Loading, None),
            (WorkerState::Starting { phase: StartPhase::Warming }, State::Warming, None),
            (WorkerState::Restarting { reason: reason.into(), attempt: 1, at: since }, State::Loading, Some(reason)),
            (WorkerState::Failed { reason: reason.into(), told: "it ended".into() }, State::Failed, Some(reason)),
            (WorkerState::Stopping, State::Unloading, None),
        ] {
            let status = status(WorkerStatus { state: worker, since });
            assert_eq!((status.state, status.since, status.reason.as_deref()), (state, since, said));
            assert_eq!(status.told.as_deref(), (state == State::Failed).then_some("it ended"));
        }
    }
}
