//! One component, ready to answer requests.

use crate::answer::{AnswerBody, Ended, Failure, RequestBody};
use crate::component::ComponentSpec;
use crate::engine::RuntimeConfig;
use crate::state::State;
use crate::store_task::{self, StoreTask};
use bobbin_inference::{Cause, RequestContext};
use bobbin_release::Pins;
use http::HeaderValue;
use http_body_util::BodyExt;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime::Engine;
use wasmtime_wasi_http::handler::ProxyPre;

/// The versions that made an answer, in the order of first use.
const BUNDLE_HEADER: &str = "bobbin-bundle";

/// A linked component. Cheap to clone.
#[derive(Clone)]
pub struct Handler(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) spec: Arc<ComponentSpec>,
    pub(crate) guest_memory: u64,
    pub(crate) guest_cpu: Duration,
}

/// One request for a component.
pub struct Call {
    /// The request, with an authority or a `host` header.
    pub request: http::Request<RequestBody>,
    /// Of the request.
    pub context: Arc<RequestContext>,
    /// The versions decided for it.
    pub pins: Pins,
    /// Admission's permit: dropped when the instance is gone, not when the answer is.
    pub permit: Box<dyn Any + Send>,
}

impl Inner {
    pub(crate) fn engine(&self) -> &Engine {
        match &self.pre {
            ProxyPre::P2(pre) => pre.engine(),
            ProxyPre::P3(pre) => pre.engine(),
        }
    }
}

impl Handler {
    pub(crate) fn new(pre: ProxyPre<State>, spec: Arc<ComponentSpec>, config: &RuntimeConfig) -> Self {
        Self(Arc::new(Inner { pre, spec, guest_memory: config.guest_memory, guest_cpu: config.guest_cpu }))
    }

    /// Runs the request in an instance of its own, and returns once the first part of the body is there: only
    /// then is it known which versions made the answer.
    ///
    /// Dropping this future, or the answer's body before its end, cancels everything that works for the
    /// request.
    ///
    /// # Errors
    /// [`Failure`] when no answer came. An answer that breaks off later is an error of its body.
    pub async fn handle(&self, call: Call) -> Result<http::Response<AnswerBody>, Failure> {
        let context = Arc::clone(&call.context);
        let guard = CancelGuard(Some(Arc::clone(&context)));
        let (ended_tx, mut ended) = oneshot::channel();
        let (answer_tx, answer) = futures::channel::oneshot::channel();
        tokio::spawn(store_task::run(StoreTask {
            handler: Arc::clone(&self.0),
            call,
            answer: answer_tx,
            ended: ended_tx,
        }));

        let response = match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.failure(&mut ended, Some(format!("{error:#}"))).await),
            Err(futures::channel::oneshot::Canceled) => return Err(self.failure(&mut ended, None).await),
        };
        let (mut head, mut body) = response.into_parts();
        let first = match body.frame().await {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => return Err(self.failure(&mut ended, Some(format!("{error:?}"))).await),
            None => match (&mut ended).await {
                Ok(Ended::Whole) => None,
                Ok(ended) => return Err(self.no_answer(ended)),
                Err(_task_lost) => return Err(self.no_answer(Ended::task_lost())),
            },
        };
        if let Some(bundles) = context.bundles.header().and_then(|names| HeaderValue::try_from(names).ok()) {
            head.headers.insert(BUNDLE_HEADER, bundles);
        }
        let length = head.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = AnswerBody::new(first, body, ended, length, guard);
        Ok(http::Response::from_parts(head, body))
    }

    /// Why there is no answer: the store's own account where it ended badly, else what the guest reported.
    async fn failure(&self, ended: &mut oneshot::Receiver<Ended>, reported: Option<String>) -> Failure {
        match (ended.await, reported) {
            (Ok(Ended::Whole), reported) => {
                let message = reported.unwrap_or_else(|| "it returned without an answer".into());
                self.no_answer(Ended::Broken(Cause::GuestFailed(message)))
            }
            (Ok(ended), _) => self.no_answer(ended),
            (Err(_task_lost), _) => self.no_answer(Ended::task_lost()),
        }
    }

    fn no_answer(&self, ended: Ended) -> Failure {
        let component = self.0.spec.id.clone();
        match ended {
            Ended::NoInstance(reason) => Failure::NoInstance { component, reason },
            Ended::Broken(cause) => Failure::NoAnswer { component, cause },
            Ended::Whole => {
                Failure::NoAnswer { component, cause: Cause::GuestFailed("it returned without an answer".into()) }
            }
        }
    }
}

/// Cancels the request when whoever waits for its answer goes away.
pub(crate) struct CancelGuard(pub(crate) Option<Arc<RequestContext>>);

impl CancelGuard {
    /// The answer is complete; nothing is left to cancel.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(context) = self.0.take() {
            context.end(Cause::ClientGone);
        }
    }
}
