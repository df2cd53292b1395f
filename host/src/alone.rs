//! One worker without a host: for commands that ask a model, or make a bundle. It is started as a host starts its own,
//! from a verified bundle, and ends with whoever started it.

use crate::bundles::chain;
use crate::failure::Failure;
use crate::release::Exit;
use crate::threads;
use bobbin_bundle::VerifiedBundle;
use bobbin_inference::wire::Loaded;
use bobbin_inference::{Class, Deadlines, Graph, Priority, RequestContext, Scope, Session};
use bobbin_worker::supervisor::{
    Gpu, Search, Supervisor, SupervisorConfig, Worker, WorkerSpec, available_memory, cores,
};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Somebody sits before it and may give up at any time; so this is only what bounds a mistake.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// What one answer may hold.
const ACCOUNT: u64 = 1 << 30;
/// How long a clean end may take after Ctrl-C.
const CLEAN_END: Duration = Duration::from_secs(10);
/// How long the worker may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// What a worker of one's own may compute with, where somebody says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Means {
    /// Layers that a GPU computes, where a worker for one is installed.
    pub(crate) gpu_layers: Option<u32>,
    /// Threads; no more than there are cores.
    pub(crate) threads: Option<u32>,
}

/// A worker of one's own.
pub(crate) struct Alone {
    worker: Arc<Worker>,
    // Its thread is the parent of the worker's process.
    _supervisor: Supervisor,
}

impl Alone {
    /// Begins to start it. Must be called within a runtime.
    ///
    /// `record` are texts that sequences are recorded of.
    ///
    /// # Errors
    /// When no worker can serve the bundle, or there is not enough memory for it.
    pub(crate) async fn start(bundle: &VerifiedBundle, means: &Means, record: Vec<String>) -> Result<Self, Failure> {
        let spec = WorkerSpec::new(bundle).map_err(Failure::of(Exit::Refused))?.recording(record);
        let (need, free) = (spec.need_bytes(), available_memory());
        if let Some(free) = free.filter(|free| *free < need) {
            let mib = |bytes: u64| bytes >> 20;
            return Err(Failure::new(
                Exit::Refused,
                format!(
                    "{} may take {} MiB, and this machine has {} MiB available; end something else, or use a smaller model",
                    bundle.id(),
                    mib(need),
                    mib(free)
                ),
            ));
        }
        let Means { gpu_layers, threads } = *means;
        let search = if gpu_layers == Some(0) { Search::default() } else { Gpu::search(gpu_layers).await };
        for unusable in &search.unusable {
            crate::terminal::say(format_args!("note: {unusable}; the processor computes"));
        }
        let cores = threads.map_or_else(cores, |number| threads::on_cores(("--threads", number)));
        let supervisor = Supervisor::new(SupervisorConfig { gpu: search.gpu, cores, ..SupervisorConfig::default() })?;
        let worker = supervisor.start(spec, Class::Serving);
        Ok(Self { worker, _supervisor: supervisor })
    }

    pub(crate) fn graph(&self) -> &dyn Graph {
        &*self.worker
    }

    /// Waits until it computes.
    ///
    /// # Errors
    /// Why it will not.
    pub(crate) async fn ready(&self) -> Result<Loaded, Failure> {
        self.worker.ready().await.map_err(Failure::of(Exit::Refused))
    }

    /// A session of whoever started it, which ends when `cancel` does.
    pub(crate) fn session(&self, cancel: CancellationToken) -> Box<dyn Session> {
        let context = RequestContext {
            cancel,
            ..RequestContext::new("command-line".into(), Deadlines::after(PATIENCE, Duration::ZERO), ACCOUNT)
        };
        let scope = Scope { route: "command-line".into(), principal: None, adapter: None };
        self.worker.open(Arc::new(context), scope, Priority::Request)
    }

    /// Ends it, and returns when its process is gone.
    pub(crate) async fn stop(self) {
        self.worker.stop(GRACE).await;
    }
}

/// A token that is cancelled by Ctrl-C, or when somebody ends this process politely. Must be called within a runtime.
///
/// # Errors
/// When signals cannot be heard.
pub(crate) fn interrupted() -> Result<CancellationToken, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| Failure::new(Exit::Failed, chain(&error)));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancelled.cancel();
        // Again, or what is done does not end: somebody does not want to wait.
        let _ = tokio::time::timeout(CLEAN_END, interrupt.recv()).await;
        std::process::exit(i32::from(Exit::GivenUp as u8));
    });
    Ok(token)
}

/// What a command that was ended by Ctrl-C tells programs.
pub(crate) fn given_up() -> Failure {
    Failure::new(Exit::GivenUp, "given up")
}
