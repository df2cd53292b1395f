//! Bundles and workers that exist in tests alone. What a bundle's name says is what becomes of it.

use bobbin_inference::{Class, Graph, GraphInfo, GraphKind, OptionsPatch, Priority, RequestContext, Scope, Session};
use bobbin_release::{
    Card, Described, Evaluation, Listing, Live, Progress, State, Status, Urgency, Verified, Vitals, Workshop,
};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// Memory of the test's machine, in bytes.
const MEMORY: u64 = 1 << 30;

/// `broken@..` does not verify, `heavy@..` needs more memory than there is, `absent@..` is not there, `slow@..` loads
/// until the test opens the gate; all others are ready at once.
pub(crate) struct Bench {
    gate: watch::Sender<bool>,
}

impl Bench {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { gate: watch::Sender::new(false) })
    }

    /// What is slow has loaded.
    pub(super) fn open_gate(&self) {
        self.gate.send_replace(true);
    }
}

impl Workshop for Bench {
    fn kind(&self, bundle: &str) -> Result<String, String> {
        match bundle.starts_with("absent@") || !bundle.contains('@') {
            true => Err("the repository has no such bundle; see `bobbin bundle list`".to_owned()),
            false => Ok("generate".to_owned()),
        }
    }

    fn list(&self) -> Result<Vec<Listing>, String> {
        let described = Described {
            digest: "sha256:00".to_owned(),
            kind: "generate".to_owned(),
            size: 7,
            licence: "Apache-2.0".to_owned(),
            card: Card {
                languages: vec!["en".to_owned()],
                base_model: "none".to_owned(),
                data: "none".to_owned(),
                intended_use: "tests".to_owned(),
                limits: "<script>alert(1)</script>".to_owned(),
                evaluations: vec![Evaluation { name: "loss".to_owned(), value: 1.5, method: "counted".to_owned() }],
            },
        };
        let unreadable = Err("its bundle.toml is no TOML".to_owned());
        Ok(vec![
            Listing { bundle: "storyteller@1.0.0".to_owned(), described: Ok(described) },
            Listing { bundle: "torn@1.0.0".to_owned(), described: unreadable },
        ])
    }

    fn verify(
        &self,
        bundle: &str,
        _urgency: Urgency,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Box<dyn Verified>, String> {
        if progress(Progress { path: "weights.gguf", done: 7, total: 7 }).is_break() {
            return Err("it was given up".to_owned());
        }
        match bundle.starts_with("broken@") {
            true => Err("weights.gguf has another digest than bundle.toml says; restore it".to_owned()),
            false => Ok(Box::new(Checked { bundle: bundle.into(), gate: self.gate.subscribe() })),
        }
    }

    fn collect(&self) -> Result<(), String> {
        Ok(())
    }

    fn free_memory(&self) -> Option<i64> {
        i64::try_from(MEMORY).ok()
    }
}

struct Checked {
    bundle: Arc<str>,
    gate: watch::Receiver<bool>,
}

impl Verified for Checked {
    fn digest(&self) -> String {
        format!("sha256:{}", self.bundle)
    }

    fn need_bytes(&self) -> u64 {
        if self.bundle.starts_with("heavy@") { MEMORY * 2 } else { 1 }
    }

    fn launch(&self, _class: Class) -> Result<Arc<dyn Live>, String> {
        let info = GraphInfo {
            bundle: Arc::clone(&self.bundle),
            digest: self.digest().into(),
            kind: GraphKind::Generate,
            context: 512,
            dimensions: None,
            defaults: OptionsPatch::default(),
        };
        let gate = self.bundle.starts_with("slow@").then(|| self.gate.clone());
        Ok(Arc::new(Worker { graph: Arc::new(Inert(info)), gate, since: SystemTime::now() }))
    }
}

struct Worker {
    graph: Arc<Inert>,
    gate: Option<watch::Receiver<bool>>,
    since: SystemTime,
}

impl Live for Worker {
    fn graph(&self) -> Arc<dyn Graph> {
        Arc::clone(&self.graph) as Arc<dyn Graph>
    }

    fn status(&self) -> Status {
        let state = if self.is_ready() { State::Ready } else { State::Loading };
        Status { state, since: self.since, reason: None, told: None }
    }

    fn is_ready(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| *gate.borrow())
    }

    fn follow(&self) -> BoxStream<'static, Status> {
        futures::stream::empty().boxed()
    }

    fn vitals(&self) -> Vitals {
        Vitals::default()
    }

    fn settled(&self) -> BoxFuture<'_, Result<(), String>> {
        let gate = self.gate.clone();
        async move {
            let Some(mut gate) = gate else { return Ok(()) };
            gate.wait_for(|open| *open).await.map(drop).map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn stop(&self, _grace: Duration) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }
}

/// A graph that nobody computes on.
struct Inert(GraphInfo);

impl Graph for Inert {
    fn info(&self) -> &GraphInfo {
        &self.0
    }

    fn open(&self, _context: Arc<RequestContext>, _scope: Scope, _priority: Priority) -> Box<dyn Session> {
        unreachable!("components of these tests do not compute")
    }
}
