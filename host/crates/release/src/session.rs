//! A session on a pin: metered, seen by a shadow where there is one, and ended or moved when its version retires.

use crate::pins::{Pin, Serving, retired};
use crate::shadow::Tee;
use crate::tenure::{Lease, SeatGuard};
use bobbin_inference::{
    Graph, GraphInfo, InferenceError, Meter, Metered, Output, Priority, RequestContext, Scope, Session, Work,
};
use futures::future::BoxFuture;
use std::sync::Arc;

/// A session that a request opened on its pin.
pub(crate) struct PinnedSession {
    pin: Arc<Pin>,
    context: Arc<RequestContext>,
    metered: Metered,
    /// What the guest's work was made for.
    graph: Arc<dyn Graph>,
    lease: Arc<Lease>,
    seat: SeatGuard,
    tee: Option<Tee>,
}

impl PinnedSession {
    pub(crate) fn open(pin: Arc<Pin>, serving: Serving, context: &Arc<RequestContext>) -> Self {
        let (session, meter) = begin(&pin, &serving, context);
        let recorder = Arc::clone(pin.releases.recorder());
        let metered = Metered::new(session, Arc::clone(context), recorder, meter);
        let seat = serving.lease.sit(context);
        let tee = Tee::new(&serving.shadow, &*serving.graph);
        Self { pin, context: Arc::clone(context), metered, graph: serving.graph, lease: serving.lease, seat, tee }
    }

    /// Goes over to the version that serves now.
    ///
    /// # Errors
    /// `version_retired` where something of this graph was returned in this request, its head is on its way, or the
    /// work was made for other defaults and limits than that version has; `worker_unavailable` where nothing serves now.
    fn move_on(&mut self) -> Result<(), InferenceError> {
        let old = Arc::clone(self.lease.tenure().bundle());
        let serving = self.pin.serving()?;
        let alike = |a: &GraphInfo, b: &GraphInfo| (a.kind, a.context, &a.defaults) == (b.kind, b.context, &b.defaults);
        if !alike(serving.graph.info(), self.graph.info()) {
            return Err(retired(&old));
        }
        let (session, meter) = begin(&self.pin, &serving, &self.context);
        if !self.metered.move_to(session, meter) {
            return Err(retired(&old));
        }
        self.graph = serving.graph;
        self.seat = serving.lease.sit(&self.context);
        self.seat.busy(true);
        self.lease = serving.lease;
        Ok(())
    }

    fn took(&mut self, result: &Result<Output, InferenceError>) {
        let open = matches!(result, Ok(Output::Generated(part)) if part.metadata.finish_reason.is_none());
        self.seat.busy(open);
        if result.is_ok() {
            self.pin.held.lock().returned = true;
        }
    }

    fn is_retired(&self) -> bool {
        self.lease.tenure().retired().is_cancelled()
    }

    async fn start(&mut self, work: Work) -> Result<Output, InferenceError> {
        loop {
            if !self.is_retired() {
                let retired = self.lease.tenure().retired().clone();
                tokio::select! {
                    biased;
                    result = self.metered.compute(work.clone()) => return result,
                    () = retired.cancelled() => {}
                }
            }
            if let Err(error) = self.move_on() {
                self.metered.fail(error.reason);
                return Err(error);
            }
        }
    }

    async fn go_on(&mut self) -> Result<Output, InferenceError> {
        let retirement = self.lease.tenure().retired().clone();
        tokio::select! {
            biased;
            () = retirement.cancelled() => {
                let error = retired(self.lease.tenure().bundle());
                self.metered.fail(error.reason);
                Err(error)
            }
            result = self.metered.next() => result,
        }
    }
}

fn begin(pin: &Pin, serving: &Serving, context: &Arc<RequestContext>) -> (Box<dyn Session>, Meter) {
    let info = serving.graph.info();
    let meter = Meter {
        graph: Arc::clone(&pin.id.graph),
        bundle: Arc::clone(&info.bundle),
        digest: Arc::clone(&info.digest),
        generation: serving.generation,
    };
    let scope = Scope {
        route: context.trigger.to_string(),
        principal: context.principal.as_deref().map(str::to_owned),
        adapter: None,
    };
    (serving.graph.open(Arc::clone(context), scope, Priority::Request), meter)
}

impl Session for PinnedSession {
    fn compute(&mut self, work: Work) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            // Until it has answered, a compute is in the middle of its answer.
            self.seat.busy(true);
            let work = match &mut self.tee {
                Some(tee) => tee.watch(work, &self.context),
                None => work,
            };
            let mut result = self.start(work).await;
            self.took(&result);
            if let Some(tee) = &mut self.tee {
                tee.see(&mut result);
            }
            result
        })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            let mut result = self.go_on().await;
            self.took(&result);
            if let Some(tee) = &mut self.tee {
                tee.see(&mut result);
            }
            result
        })
    }
}
