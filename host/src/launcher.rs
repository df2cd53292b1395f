//! Releases start workers through here: the one place that knows both.

use bobbin_bundle::VerifiedBundle;
use bobbin_inference::Graph;
use bobbin_release::{Launcher, Live, State, Status, Vitals};
use bobbin_worker::supervisor::{StartPhase, Supervisor, Worker, WorkerSpec, WorkerState};
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Starts worker processes.
pub(crate) struct WorkerLauncher(pub(crate) Supervisor);

impl Launcher for WorkerLauncher {
    fn launch(&self, bundle: &VerifiedBundle) -> Result<Arc<dyn Live>, String> {
        let spec = WorkerSpec::new(bundle).map_err(|error| error.to_string())?;
        Ok(Arc::new(LiveWorker {
            worker: self.0.start(spec),
            entered: Mutex::new((State::Loading, SystemTime::now())),
        }))
    }
}

struct LiveWorker {
    worker: Arc<Worker>,
    /// When the state last seen was entered: workers say what they do, not since when.
    entered: Mutex<(State, SystemTime)>,
}

impl LiveWorker {
    fn since(&self, state: State) -> SystemTime {
        let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        if entered.0 != state {
            *entered = (state, SystemTime::now());
        }
        entered.1
    }
}

impl Live for LiveWorker {
    fn graph(&self) -> Arc<dyn Graph> {
        Arc::clone(&self.worker) as Arc<dyn Graph>
    }

    fn status(&self) -> Status {
        let (state, reason) = match self.worker.state() {
            WorkerState::Starting { phase: StartPhase::Spawning | StartPhase::Loading } => (State::Loading, None),
            WorkerState::Starting { phase: StartPhase::Warming } => (State::Warming, None),
            WorkerState::Ready { .. } => (State::Ready, None),
            WorkerState::Restarting { reason, .. } => (State::Loading, Some(reason.to_string())),
            WorkerState::Failed { reason } => (State::Failed, Some(reason.to_string())),
            WorkerState::Stopping | WorkerState::Stopped => (State::Unloading, None),
        };
        Status { state, since: self.since(state), reason }
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            pid: self.worker.pid(),
            restarts: self.worker.restarts(),
            resident_bytes: self.worker.resident_bytes(),
            stats: self.worker.stats(),
        }
    }

    fn settled(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { self.worker.ready().await.map(drop).map_err(|failure| failure.reason.to_string()) })
    }

    fn stop(&self, grace: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.worker.stop(grace))
    }
}
