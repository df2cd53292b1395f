//! One request that was admitted, from its admission to the last byte of its answer. However it ends, it leaves
//! one line in the access log and its numbers in the metrics, and is no longer among the requests in flight.

use crate::connection::Connection;
use crate::metrics::Metrics;
use crate::problem::{cause_code, client_closed};
use bobbin_inference::{Cause, RequestContext};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The requests and messages that are not over yet.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<usize, Arc<RequestContext>>>);

impl InFlight {
    pub(crate) fn add(&self, context: &Arc<RequestContext>) {
        self.0.lock().insert(key(context), Arc::clone(context));
    }

    pub(crate) fn remove(&self, context: &Arc<RequestContext>) {
        self.0.lock().remove(&key(context));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Ends all of them for this cause.
    pub(crate) fn end(&self, cause: &Cause) {
        // Ending one may end its exchange, which takes the lock.
        let open: Vec<_> = self.0.lock().values().cloned().collect();
        open.iter().for_each(|context| context.end(cause.clone()));
    }
}

/// Addresses of living contexts differ.
fn key(context: &Arc<RequestContext>) -> usize {
    Arc::as_ptr(context).addr()
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    Waiting,
    Sending(StatusCode),
    Whole(StatusCode),
    Broken(StatusCode, &'static str),
}

/// The record of one admitted request.
pub(crate) struct Exchange {
    context: Arc<RequestContext>,
    method: Method,
    started: Instant,
    progress: Progress,
    connection: Arc<Connection>,
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
    /// Where somebody waits for the end.
    over: Option<CancellationToken>,
}

impl Exchange {
    pub(crate) fn begin(
        context: &Arc<RequestContext>,
        method: Method,
        started: Instant,
        connection: &Arc<Connection>,
        in_flight: &Arc<InFlight>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        in_flight.add(context);
        connection.open(context);
        Self {
            context: Arc::clone(context),
            method,
            started,
            progress: Progress::Waiting,
            connection: Arc::clone(connection),
            in_flight: Arc::clone(in_flight),
            metrics: Arc::clone(metrics),
            over: None,
        }
    }

    /// Fired when the request is over, however it ended.
    pub(crate) fn over(&mut self) -> CancellationToken {
        self.over.get_or_insert_default().clone()
    }

    /// The head is on its way; the body follows.
    pub(crate) fn sending(&mut self, status: StatusCode) {
        self.progress = Progress::Sending(status);
    }

    /// The answer is complete.
    pub(crate) fn whole(&mut self) {
        if let Progress::Sending(status) = self.progress {
            self.progress = Progress::Whole(status);
            self.connection.end_is_the_answers_end(false);
        }
    }

    /// The answer broke off after its head.
    pub(crate) fn broke(&mut self, cause: &Cause) {
        if let Progress::Sending(status) = self.progress {
            if *cause != Cause::ClientGone {
                let (request_id, route) = (&self.context.id, &self.context.trigger);
                tracing::warn!(%request_id, %route, "the answer broke off: {cause}");
            }
            self.progress = Progress::Broken(status, cause_code(cause));
        }
    }

    /// The component broke off after the last byte that it had promised: the client has a whole answer, and only
    /// the log can tell.
    pub(crate) fn broke_after_its_end(&self, cause: &Cause) {
        let (request_id, route) = (&self.context.id, &self.context.trigger);
        tracing::warn!(%request_id, %route, "the component broke off after its answer was whole: {cause}");
    }

    fn outcome(&self) -> (StatusCode, Option<&'static str>) {
        // Given up by the connection: the client left, unless somebody said otherwise first.
        let given_up = || self.context.cause.get().map_or("client_gone", cause_code);
        match self.progress {
            Progress::Waiting => (client_closed(), Some(given_up())),
            Progress::Sending(status) => (status, Some(given_up())),
            Progress::Whole(status) => (status, None),
            Progress::Broken(status, cause) => (status, Some(cause)),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(over) = &self.over {
            over.cancel();
        }
        self.in_flight.remove(&self.context);
        self.connection.close(&self.context);
        let (context, took) = (&self.context, self.started.elapsed());
        let (status, broken) = self.outcome();
        let bundle = context.bundles.header();
        // A client that leaves is no failure of the version that was answering it.
        let failed = status.is_server_error() || broken.is_some_and(|cause| cause != "client_gone");
        self.metrics.answered(&context.trigger, bundle.as_deref(), status, failed, took);
        if let (Progress::Sending(_) | Progress::Broken(..), Some(cause)) = (self.progress, broken) {
            self.metrics.broken(&context.trigger, cause);
        }
        tracing::info!(
            target: "bobbin::access",
            request_id = %context.id,
            trace = context.trace.as_str(),
            method = %self.method,
            route = %context.trigger,
            principal = context.principal.as_deref(),
            status = status.as_u16(),
            took_ms = took.as_secs_f64() * 1e3,
            bundle,
            broken,
            "request"
        );
    }
}
