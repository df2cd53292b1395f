//! One component, ready to answer requests.

use crate::answer::{AnswerBody, Ended, Failure, task_lost};
use crate::call::Call;
use crate::component::Linked;
use crate::cpu::Brief;
use crate::guard::CancelGuard;
use crate::outbound::Calls;
use crate::store_task::{self, StoreTask};
use bobbin_inference::{Cause, RequestContext};
use futures::FutureExt;
use futures::future::{Either, pending, select};
use http::HeaderValue;
use http_body_util::BodyExt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime_wasi_http::handler::Response;

/// The versions that made an answer, in the order of first use.
const BUNDLE_HEADER: &str = "bobbin-bundle";

/// A linked component. Cheap to clone.
#[derive(Clone)]
pub struct Handler(Arc<Linked>);

impl Handler {
    pub(crate) fn new(component: Linked) -> Self {
        Self(Arc::new(component))
    }

    /// Which parts of its own application the component may ask.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.0.exit.calls()
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
        let (ended_tx, ended) = oneshot::channel();
        let (answer_tx, answer) = futures::channel::oneshot::channel();
        let task = StoreTask { component: Arc::clone(&self.0), call, answer: answer_tx, ended: ended_tx };
        // A panic of the host's own then ends this request, and not its connection.
        let mut task = Brief::new(AssertUnwindSafe(store_task::run(task)).catch_unwind());
        let background = Arc::clone(&self.0.background);
        // Made after the task, so gone before it: where this future is dropped, the cause is noted while the store lives.
        let answer = pin!(self.answer(&context, answer, ended));
        // The answer is made right here until its first part is there, and to its end where that comes soon: a task of its
        // own costs a small one as much as its making.
        let (answer, end) = match select(answer, &mut task).await {
            Either::Left((Ok(mut response), task)) => {
                let end = response.body_mut().settle(task).await;
                (Ok(response), end)
            }
            Either::Left((no_answer, _)) => (no_answer, None),
            Either::Right((end, answer)) => {
                if let Err(rest) = end {
                    background.take(rest);
                }
                let mut response = answer.await?;
                response.body_mut().settle(&mut pending::<()>()).await;
                return Ok(response);
            }
        };
        match end {
            Some(Ok(_over)) => {}
            Some(Err(rest)) => background.take(rest),
            None => {
                tokio::spawn(async move {
                    if let Err(rest) = task.await {
                        background.take(rest);
                    }
                });
            }
        }
        answer
    }

    /// The head and the first part, once they are there.
    async fn answer(
        &self,
        context: &Arc<RequestContext>,
        answer: futures::channel::oneshot::Receiver<wasmtime::Result<Response>>,
        mut ended: oneshot::Receiver<Ended>,
    ) -> Result<http::Response<AnswerBody>, Failure> {
        let guard = CancelGuard(Some(Arc::clone(context)));
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
                Err(_task_lost) => return Err(self.no_answer(Ended::Broken(task_lost()))),
            },
        };
        // Only the host says which versions answered.
        head.headers.remove(BUNDLE_HEADER);
        if let Some(bundles) = context.bundles.tell().and_then(|names| HeaderValue::try_from(names).ok()) {
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
            (Err(_task_lost), _) => self.no_answer(Ended::Broken(task_lost())),
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
