//! One message for one trigger, from its place among the requests in flight to its end. However it ends, it leaves one line
//! in the access log and its numbers in the metrics; where its handler failed, one more in the log.

use super::Subscribed;
use crate::admission::Permit;
use crate::app::App;
use crate::asker::Asking;
use crate::exchange::InFlight;
use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::problem::cause_code;
use bobbin_inference::{RequestContext, RequestId, TraceParent};
use bobbin_runtime::{Call, Message, Unhandled};
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;
use std::time::Instant;

/// Messages leave this part of the places to requests, who are refused where there is none; messages wait.
const LEFT: usize = 4;

impl<H: Handle> App<H> {
    /// Has a component handle a message, once there is a place for it, and returns then. Dropping the future before gives
    /// the message up.
    pub(crate) async fn message(self: &Arc<Self>, to: &Arc<Subscribed>, payload: Bytes) {
        let left = if self.table.is_empty() { 0 } else { self.admission.limit() / LEFT };
        let waiting = Waiting(Some((&self.metrics, to)));
        let permit = self.admission.place(left).await;
        waiting.over();
        let (app, to) = (Arc::clone(self), Arc::clone(to));
        self.tasks.spawn(async move { app.deliver(&to, payload, permit).await });
    }

    async fn deliver(self: Arc<Self>, to: &Subscribed, payload: Bytes, permit: Permit) {
        let trigger = Arc::clone(&to.subscriber.trigger_id);
        let id = RequestId::new();
        // No client is behind a message: each is one of its own to a release that splits.
        let client = Arc::from(id.as_str());
        let context = self.new_context(id, TraceParent::start(), trigger, &self.cancel);
        let context = Arc::new(RequestContext { sticky_key: Some(client), ..context });
        let delivery = Delivery {
            context: Arc::clone(&context),
            to,
            bytes: payload.len(),
            started: Instant::now(),
            in_flight: &self.in_flight,
            metrics: &self.metrics,
            outcome: "lost",
        };
        delivery.in_flight.add(&context);
        let asking = Asking { headers: &HeaderMap::new(), client: context.id.as_str(), key: None };
        let call = Call {
            request: Message(payload),
            pins: self.releases.pin(&context, &asking),
            permit: Box::new(permit),
            application: self.inside(&to.reaches, &context, &asking),
            context: Arc::clone(&context),
            chained: false,
        };
        let handled = to.subscriber.listener.handle(call).await;
        delivery.over(handled);
    }

    /// A message was longer than a request's body may be; nobody has kept it.
    pub(crate) fn message_too_long(&self, to: &Subscribed, bytes: u64) {
        let (route, channel, limit) = (&to.subscriber.trigger_id, &to.subscriber.channel, self.limits.body_bytes);
        tracing::warn!(
            %route,
            channel = ?channel,
            "a message was refused: it has {bytes} bytes, and body_bytes allows {limit} bytes"
        );
        self.metrics.message_refused(route, "message_too_long");
    }
}

/// A message that waits for its place. When its subscription ends before, it is nobody's.
struct Waiting<'a>(Option<(&'a Metrics, &'a Subscribed)>);

impl Waiting<'_> {
    fn over(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some((metrics, to)) = self.0.take() {
            let (route, channel) = (&to.subscriber.trigger_id, &to.subscriber.channel);
            tracing::warn!(%route, channel = ?channel, "a message was given up: its subscription ended before there was a place");
            metrics.message_refused(route, "subscription_ended");
        }
    }
}

/// The record of one message.
struct Delivery<'a> {
    context: Arc<RequestContext>,
    to: &'a Subscribed,
    bytes: usize,
    started: Instant,
    in_flight: &'a InFlight,
    metrics: &'a Metrics,
    outcome: &'static str,
}

impl Delivery<'_> {
    fn over(mut self, handled: Result<(), Unhandled>) {
        self.outcome = match &handled {
            Ok(()) => "handled",
            Err(Unhandled::NoInstance(_)) => "no_instance",
            Err(Unhandled::Failed(cause)) => cause_code(cause),
        };
        if let Err(unhandled) = handled {
            let (request_id, route) = (&self.context.id, &self.context.trigger);
            let (channel, component) = (&self.to.subscriber.channel, &self.to.subscriber.component);
            tracing::warn!(%request_id, %route, channel = ?channel, %component, "a message was not handled: {unhandled}");
        }
    }
}

impl Drop for Delivery<'_> {
    fn drop(&mut self) {
        let (context, took, outcome) = (&self.context, self.started.elapsed(), self.outcome);
        self.in_flight.remove(context);
        let bundle = context.bundles.header();
        self.metrics.message(&context.trigger, bundle.as_deref(), outcome, took);
        tracing::info!(
            target: "bobbin::access",
            request_id = %context.id,
            trace = context.trace.as_str(),
            route = %context.trigger,
            channel = ?self.to.subscriber.channel,
            bytes = self.bytes,
            outcome,
            took_ms = took.as_secs_f64() * 1e3,
            bundle,
            "message"
        );
    }
}
