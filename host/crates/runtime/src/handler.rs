//! A component that answers requests over HTTP.

use crate::answer::{AnswerBody, Ended, Failure, RequestBody, RequestBodyError, task_lost};
use crate::background::late;
use crate::call::Call;
use crate::component::Linked;
use crate::cpu::Brief;
use crate::guard::CancelGuard;
use crate::reuse::{Idle, Instance};
use crate::state::State;
use crate::store_task::{self, Work, failed};
use bobbin_inference::{Cause, CpuBudget, RequestContext};
use futures::FutureExt;
use futures::channel::oneshot::Sender;
use futures::future::{Either, pending, select};
use http::HeaderValue;
use http_body_util::BodyExt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::oneshot;
use wasmtime::AsContextMut;
use wasmtime_wasi_http::handler::{Prepared, ProxyPre, Request, Response};
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

/// The versions that made an answer, in the order of first use.
const BUNDLE_HEADER: &str = "bobbin-bundle";
/// When what was asked will answer no more (RFC 8594).
const SUNSET: &str = "sunset";

/// A linked component that answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Handler(Arc<Linked>, Arc<ProxyPre<State>>);

/// A request, and where its answer goes.
struct Asked {
    proxy: Arc<ProxyPre<State>>,
    request: http::Request<RequestBody>,
    answer: Sender<wasmtime::Result<Response>>,
}

impl Work for Asked {
    fn idle(component: &Linked) -> Option<&Arc<Idle<Instance>>> {
        component.idle.as_ref()
    }

    /// Instantiates, runs the handler, and waits for what the guest still does after its answer.
    async fn drive(self, component: &Linked, instance: &mut Instance) -> Ended {
        let Self { proxy: pre, request, answer } = self;
        let Instance { store, proxy, .. } = instance;
        let made = match proxy.take() {
            Some(proxy) => Ok(proxy),
            None => pre.instantiate_async(&mut *store).await,
        };
        let proxy = match made {
            Ok(made) => &*proxy.insert(made),
            Err(error) => return store_task::not_made(&error),
        };
        let request = adapt(request);
        let outcome = store
            .run_concurrent(async |accessor| {
                let prepared = accessor.with(|mut store| {
                    Prepared::new(store.as_context_mut(), proxy, request, <State as WasiHttpView>::http, answer)
                })?;
                prepared.run(accessor, std::future::pending()).await?;
                std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                wasmtime::Result::Ok(())
            })
            .await;
        match outcome.and_then(std::convert::identity) {
            Ok(()) => Ended::Whole,
            Err(error) => failed(component, &error),
        }
    }
}

/// To wasmtime's types. HTTP/1.0 knows no host, and WASI wants one.
fn adapt(request: http::Request<RequestBody>) -> Request {
    let (mut head, body) = request.into_parts();
    if head.uri.authority().is_none() && !head.headers.contains_key(http::header::HOST) {
        head.headers.insert(http::header::HOST, HeaderValue::from_static("localhost"));
    }
    let body = body.map_err(|error| match error {
        RequestBodyError::TooLarge { limit } => HttpError::HttpRequestBodySize(Some(limit)),
        RequestBodyError::Silent { .. } => HttpError::ConnectionReadTimeout,
        RequestBodyError::Connection(_) => HttpError::ConnectionTerminated,
    });
    http::Request::from_parts(head, body.boxed_unsync())
}

impl Handler {
    pub(crate) fn new(component: Arc<Linked>, proxy: ProxyPre<State>) -> Self {
        Self(component, Arc::new(proxy))
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
        let (context, retirements) = (Arc::clone(&call.context), call.pins.retirements());
        let (ended_tx, ended) = oneshot::channel();
        let (answer_tx, answer) = futures::channel::oneshot::channel();
        let call = call.map(|request| Asked { proxy: Arc::clone(&self.1), request, answer: answer_tx });
        let cpu = Arc::new(CpuBudget::new(self.0.guest_cpu));
        let run = store_task::run(Arc::clone(&self.0), call, Arc::clone(&cpu));
        let run = async move {
            // Nobody listens where the client left before the answer began.
            let _ = ended_tx.send(run.await);
        };
        // A panic of the host's own then ends this request, and not its connection.
        let mut task = Brief::new(AssertUnwindSafe(run).catch_unwind(), cpu);
        let background = Arc::clone(&self.0.background);
        // Made after the task, so gone before it: where this future is dropped, the cause is noted while the store lives.
        let answer = pin!(self.answer(&context, &retirements, answer, ended));
        // The answer is made right here until its first part is there, and to its end where that comes soon: a task of its
        // own costs a small one as much as its making.
        let (answer, end) = match select(answer, &mut task).await {
            Either::Left((Ok(mut response), task)) => {
                let end = response.body_mut().settle(task).await;
                (Ok(response), end)
            }
            Either::Left((no_answer, _)) => (no_answer, None),
            Either::Right((end, answer)) => {
                let mut response = match end {
                    Ok(_over) => answer.await?,
                    Err(rest) => {
                        background.take(rest, &context);
                        match select(answer, pin!(late(&context))).await {
                            Either::Left((answer, _)) => answer?,
                            Either::Right(((), _)) => {
                                return Err(self.no_answer(Ended::Broken(Cause::DeadlineExceeded)));
                            }
                        }
                    }
                };
                response.body_mut().settle(&mut pending::<()>()).await;
                return Ok(response);
            }
        };
        match end {
            Some(Ok(_over)) => {}
            Some(Err(rest)) => background.take(rest, &context),
            None => {
                let context = Arc::clone(&context);
                tokio::spawn(async move {
                    if let Err(rest) = task.await {
                        background.take(rest, &context);
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
        retirements: &[(Arc<str>, u64)],
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
        let bundles = context.bundles.tell();
        if let Some(sunset) = bundles.as_deref().and_then(|bundles| sunset(retirements, bundles)) {
            // A component may know more of its own end.
            head.headers.entry(SUNSET).or_insert(sunset);
        }
        if let Some(bundles) = bundles.and_then(|names| HeaderValue::try_from(names).ok()) {
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

/// When the first of the versions that answered stops answering, where that is decided.
fn sunset(retirements: &[(Arc<str>, u64)], bundles: &str) -> Option<HeaderValue> {
    let used = |(bundle, _): &&(Arc<str>, u64)| bundles.split(", ").any(|used| *used == **bundle);
    let first = retirements.iter().filter(used).map(|(_, at)| *at).min()?;
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(first))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_when_the_first_of_its_versions_will_be_gone() {
        let retirements = [("s@1.0.0".into(), 1_801_353_600), ("s@1.1.0".into(), 1_801_353_601), ("t@1.0.0".into(), 0)];
        let sunset = |bundles: &str| sunset(&retirements, bundles).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(sunset("s@1.1.0, s@1.0.0").as_deref(), Some("Sun, 31 Jan 2027 00:00:00 GMT"));
        assert_eq!(sunset("s@1.1.0").as_deref(), Some("Sun, 31 Jan 2027 00:00:01 GMT"));
        assert_eq!(sunset("s@1.0.00"), None);
    }
}
