//! Pins: the versions that one request uses, decided once.

use crate::status::State;
use crate::table::{Release, Table};
use crate::version::Lease;
use bobbin_inference::{
    Graph, InferenceError, Meter, Metered, Output, Priority, Reason, Recorder, RequestContext, Scope, Session, Work,
};
use futures::future::BoxFuture;
use std::sync::Arc;

/// The graphs that a request may load, each with the version decided for it.
#[derive(Clone, Default)]
pub struct Pins(Arc<[Pinned]>);

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|pin| (&pin.graph, pin.lease.version().bundle()))).finish()
    }
}

/// One graph name, and what serves it for this request.
#[derive(Clone)]
pub struct Pinned {
    graph: Arc<str>,
    generation: u64,
    lease: Lease,
    recorder: Arc<dyn Recorder>,
}

impl Pins {
    /// Decides the version of every release of the trigger, and takes a lease on each. Pure but for the leases.
    pub(crate) fn decide(table: &Table, trigger: &str, recorder: &Arc<dyn Recorder>) -> Self {
        let pin = |release: &Arc<Release>| Pinned {
            graph: Arc::clone(&release.id.graph),
            generation: release.generation,
            lease: Lease::take(&release.stable),
            recorder: Arc::clone(recorder),
        };
        Self(table.of_trigger(trigger).map(pin).collect())
    }

    /// The pin of a graph name; `None` where the name is unknown or not granted, which look the same.
    #[must_use]
    pub fn graph(&self, name: &str) -> Option<&Pinned> {
        self.0.iter().find(|pin| &*pin.graph == name)
    }

    /// All pins, by graph name.
    pub fn iter(&self) -> impl Iterator<Item = &Pinned> {
        self.0.iter()
    }
}

impl Pinned {
    /// The graph's name in the component.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.graph
    }

    /// `name@version`.
    #[must_use]
    pub fn bundle(&self) -> &Arc<str> {
        self.lease.version().bundle()
    }

    /// The graph behind the pin.
    ///
    /// # Errors
    /// `worker_unavailable` while the version is not serving, with the reason.
    pub fn load(&self) -> Result<Arc<dyn Graph>, InferenceError> {
        let version = self.lease.version();
        let status = version.status();
        let unavailable = |what: &str| {
            let why = status.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            InferenceError::new(
                Reason::WorkerUnavailable,
                format!("{} behind \"{}\" {what}{why}", version.bundle(), self.graph),
            )
        };
        match (status.state, version.live()) {
            (State::Failed, _) => Err(unavailable("cannot serve")),
            (_, None) => Err(unavailable(&format!("is not ready yet ({}); try again soon", status.state.as_str()))),
            (_, Some(live)) => Ok(live.graph()),
        }
    }

    /// Opens a session for the request: metered, and keeping the version alive.
    ///
    /// # Errors
    /// As [`Pinned::load`].
    pub fn open(&self, context: &Arc<RequestContext>) -> Result<Box<dyn Session>, InferenceError> {
        let graph = self.load()?;
        let info = graph.info();
        let meter = Meter {
            graph: Arc::clone(&self.graph),
            bundle: Arc::clone(&info.bundle),
            digest: Arc::clone(&info.digest),
            generation: self.generation,
        };
        let scope = Scope {
            route: context.trigger.to_string(),
            principal: context.principal.as_deref().map(str::to_owned),
            adapter: None,
        };
        let session = graph.open(Arc::clone(context), scope, Priority::Request);
        let metered = Metered::new(session, Arc::clone(context), Arc::clone(&self.recorder), meter);
        Ok(Box::new(Leased { inner: metered, _lease: self.lease.clone() }))
    }
}

/// A session that keeps its version's worker alive.
struct Leased {
    inner: Metered,
    _lease: Lease,
}

impl Session for Leased {
    fn compute(&mut self, work: Work) -> BoxFuture<'_, Result<Output, InferenceError>> {
        self.inner.compute(work)
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>> {
        self.inner.next()
    }
}
