//! Releases start workers through here: the one place that knows both.

use bobbin_bundle::VerifiedBundle;
use bobbin_inference::Graph;
use bobbin_release::{Launcher, Live, State, Status, Vitals};
use bobbin_worker::supervisor::{StartPhase, Supervisor, Worker, WorkerSpec, WorkerState, WorkerStatus};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Starts worker processes.
pub(crate) struct WorkerLauncher(pub(crate) Supervisor);

impl Launcher for WorkerLauncher {
    fn launch(&self, bundle: &VerifiedBundle) -> Result<Arc<dyn Live>, String> {
        let spec = WorkerSpec::new(bundle).map_err(|error| error.to_string())?;
        Ok(Arc::new(LiveWorker(self.0.start(spec))))
    }
}

struct LiveWorker(Arc<Worker>);

/// A worker's word, in the terms of releases.
fn status(WorkerStatus { state, since }: WorkerStatus) -> Status {
    let (state, reason) = match state {
        WorkerState::Starting { phase: StartPhase::Spawning | StartPhase::Loading } => (State::Loading, None),
        WorkerState::Starting { phase: StartPhase::Warming } => (State::Warming, None),
        WorkerState::Ready { .. } => (State::Ready, None),
        // What it is on the way to is answering again; until then nobody should be sent to it.
        WorkerState::Silent { reason, .. } => (State::Loading, Some(reason.to_string())),
        WorkerState::Restarting { reason, .. } => (State::Loading, Some(reason.to_string())),
        WorkerState::Failed { reason } => (State::Failed, Some(reason.to_string())),
        WorkerState::Stopping | WorkerState::Stopped => (State::Unloading, None),
    };
    Status { state, since, reason }
}

impl Live for LiveWorker {
    fn graph(&self) -> Arc<dyn Graph> {
        Arc::clone(&self.0) as Arc<dyn Graph>
    }

    fn status(&self) -> Status {
        status(self.0.status())
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            pid: self.0.pid(),
            restarts: self.0.restarts(),
            resident_bytes: self.0.resident_bytes(),
            cage: self.0.cage(),
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
            (WorkerState::Failed { reason: reason.into() }, State::Failed, Some(reason)),
            (WorkerState::Stopping, State::Unloading, None),
        ] {
            let status = status(WorkerStatus { state: worker, since });
            assert_eq!((status.state, status.since, status.reason.as_deref()), (state, since, said));
        }
    }
}
