//! Pins: the versions that one request uses, decided once.

use crate::status::State;
use crate::table::{Release, Table};
use crate::version::Lease;
use bobbin_inference::{
    Graph, InferenceError, Meter, Metered, Output, Priority, Reason, Recorder, RequestContext, Scope, Session, Work,
};
use futures::future::BoxFuture;
use std::sync::Arc;

/// How much of a name that a component made up is shown in the log, in characters.
const SHOWN: usize = 100;

/// The graphs that a request may load, each with the version decided for it.
#[derive(Clone, Default)]
pub struct Pins {
    pinned: Arc<[Pinned]>,
    /// `None` where nobody decided: such pins grant nothing.
    recorder: Option<Arc<dyn Recorder>>,
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pinned.iter().map(|pin| (&pin.graph, pin.lease.version().bundle()))).finish()
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
        Self { pinned: table.of_trigger(trigger).map(pin).collect(), recorder: Some(Arc::clone(recorder)) }
    }

    /// The pin of a graph name; `None` where the name is unknown or not granted, which look the same.
    #[must_use]
    pub fn graph(&self, name: &str) -> Option<&Pinned> {
        self.pinned.iter().find(|pin| &*pin.graph == name)
    }

    /// All pins, by graph name.
    pub fn iter(&self) -> impl Iterator<Item = &Pinned> {
        self.pinned.iter()
    }

    /// A component asked for a graph that has no pin: said in the log, under the target `security`, and counted.
    pub fn refuse(&self, context: &RequestContext, graph: &str) {
        let shown = shown(graph);
        tracing::warn!(target: "security", request = %context.id, trigger = %context.trigger, graph = %shown,
            "a component asked for a model that it is not granted");
        if let Some(recorder) = &self.recorder {
            recorder.refused(&context.trigger, graph);
        }
    }
}

/// A name as the log may hold it: a component chose it, so it may be long, or hold a line break.
fn shown(name: &str) -> String {
    let mut escaped = name.escape_debug();
    let mut shown: String = escaped.by_ref().take(SHOWN).collect();
    if escaped.next().is_some() {
        shown.push('…');
    }
    shown
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
    /// `worker_unavailable` while the version is not ready yet, `version_failed` where it cannot serve; with why.
    pub fn load(&self) -> Result<Arc<dyn Graph>, InferenceError> {
        let version = self.lease.version();
        let status = version.status();
        let refused = |reason: Reason, what: &str| {
            let why = status.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            InferenceError::new(reason, format!("{} behind \"{}\" {what}{why}", version.bundle(), self.graph))
        };
        match (status.state, version.live()) {
            (State::Failed, _) => Err(refused(Reason::VersionFailed, "cannot serve")),
            (state, None) => {
                let what = format!("is not ready yet ({}); try again soon", state.as_str());
                Err(refused(Reason::WorkerUnavailable, &what))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_log_is_short_and_on_one_line() {
        assert_eq!(shown("story"), "story");
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(100)), "x".repeat(100));
        assert_eq!(shown(&"x".repeat(1 << 20)), format!("{}…", "x".repeat(100)));
    }
}
