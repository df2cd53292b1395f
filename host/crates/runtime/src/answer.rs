//! What comes back from a component: an answer that cannot end cleanly unless it is whole.

use crate::background::late;
use crate::guard::CancelGuard;
use bobbin_inference::Cause;
use bytes::Bytes;
use futures::future::{BoxFuture, poll_immediate};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// Over the limit.
    #[error("the request body is over the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The client sent nothing for too long.
    #[error("nothing of the request body came for {patience:?}")]
    Silent {
        /// How long it had.
        patience: Duration,
    },
    /// The client's connection failed.
    #[error("the request body could not be read")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a component reads.
pub type RequestBody = UnsyncBoxBody<Bytes, RequestBodyError>;

/// An answer broke off after its head was sent. A server that sees this must abort the connection: ending the
/// body would make a broken answer look whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BrokenAnswer(
    /// Why.
    pub Cause,
);

/// No answer came at all.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No instance could be made: the pool is exhausted.
    #[error("no instance of component \"{component}\" could be made: {reason}")]
    NoInstance {
        /// The component.
        component: String,
        /// Why.
        reason: String,
    },
    /// The request ended before the component answered.
    #[error("component \"{component}\" gave no answer: {cause}")]
    NoAnswer {
        /// The component.
        component: String,
        /// Why.
        cause: Cause,
    },
}

/// How a store ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The guest did all it meant to do.
    Whole,
    /// There was never an instance.
    NoInstance(String),
    /// It trapped, ran out of time, or nobody wanted its answer any more.
    Broken(Cause),
}

/// The task that drove the store is gone without a word: a panic in the host.
pub(crate) fn task_lost() -> Cause {
    Cause::GuestTrapped("the host lost the task that ran it".into())
}

/// Turns of others to wait for the end of an answer whose first part is there. Most short answers are whole after one
/// or two.
const TURNS: u32 = 3;

/// The body of an answer. It ends cleanly only after the store behind it did.
pub struct AnswerBody {
    /// Parts that were there before anybody asked for them.
    early: VecDeque<Result<Frame<Bytes>, BrokenAnswer>>,
    inner: WasiBody,
    ended: oneshot::Receiver<Ended>,
    /// Bytes still owed, where the head said how many there are.
    owed: Option<u64>,
    guard: CancelGuard,
    /// Fires past the request's deadline, to which a guest that computes for long may come later; `None` until the guest is
    /// waited for. It is looked at when it fires, and not with every part of an answer: that takes a lock.
    late: Option<FuturesUnordered<BoxFuture<'static, ()>>>,
    state: Progress,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Streaming,
    /// The guest's stream ended; whether that is the answer's end is the store's to say.
    Ending,
    Over,
}

impl AnswerBody {
    pub(crate) fn new(
        first: Option<Frame<Bytes>>,
        inner: WasiBody,
        ended: oneshot::Receiver<Ended>,
        length: Option<u64>,
        guard: CancelGuard,
    ) -> Self {
        let state = if first.is_some() { Progress::Streaming } else { Progress::Over };
        let early = first.into_iter().map(Ok).collect();
        let mut body = Self { early, inner, ended, owed: length, guard, late: None, state };
        if body.state == Progress::Over {
            body.guard.disarm();
        }
        body
    }

    /// Lets a short answer become whole, so that it leaves in one piece, with its length; one that goes on is not
    /// kept waiting for longer than a few turns of the scheduler. `store` is what makes it, and is driven meanwhile;
    /// what that came to is returned, where it came to its end.
    pub(crate) async fn settle<S: Future + Unpin>(&mut self, store: &mut S) -> Option<S::Output> {
        let mut end = None;
        for _ in 0..TURNS {
            if end.is_none() {
                end = poll_immediate(&mut *store).await;
            }
            match poll_immediate(poll_fn(|cx| self.poll_next(cx))).await {
                Some(Some(next)) => {
                    self.early.push_back(next);
                    break;
                }
                Some(None) => break,
                None => tokio::task::yield_now().await,
            }
        }
        end
    }

    /// What comes next from the guest.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        if self.state == Progress::Streaming {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(error)) => {
                    // A store that is dropped also breaks its stream; why it was is noted before that.
                    let noted = self.guard.0.as_ref().and_then(|context| context.cause.get().cloned());
                    return self.break_off(noted.unwrap_or_else(|| Cause::GuestFailed(format!("{error:?}"))));
                }
                None => self.state = Progress::Ending,
            }
        }
        if self.state == Progress::Ending {
            match ready!(Pin::new(&mut self.ended).poll(cx)) {
                Ok(Ended::Whole) => {
                    self.state = Progress::Over;
                    self.guard.disarm();
                }
                Ok(Ended::Broken(cause)) => return self.break_off(cause),
                Ok(Ended::NoInstance(reason)) => return self.break_off(Cause::GuestFailed(reason)),
                Err(_task_lost) => return self.break_off(task_lost()),
            }
        }
        Poll::Ready(None)
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(context) = &self.guard.0 else { return Poll::Pending };
        let late = self.late.get_or_insert_with(|| {
            let context = Arc::clone(context);
            FuturesUnordered::from_iter([async move { late(&context).await }.boxed()])
        });
        late.poll_next_unpin(cx).map(|_fired| ())
    }

    /// Counts what goes out.
    fn pass(&mut self, frame: &Frame<Bytes>) {
        if let (Some(owed), Some(data)) = (&mut self.owed, frame.data_ref()) {
            *owed = owed.saturating_sub(data.len() as u64);
            if *owed == 0 {
                // The client has all that the head promised, and hyper will not ask for more.
                self.guard.disarm();
            }
        }
    }

    fn break_off(&mut self, cause: Cause) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        self.state = Progress::Over;
        if let Some(context) = &self.guard.0 {
            context.end(cause.clone());
        }
        self.guard.disarm();
        Poll::Ready(Some(Err(BrokenAnswer(cause))))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let next = match self.early.pop_front() {
            Some(next) => Some(next),
            None => match self.poll_next(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    ready!(self.poll_late(cx));
                    ready!(self.break_off(Cause::DeadlineExceeded))
                }
            },
        };
        if let Some(Ok(frame)) = &next {
            self.pass(frame);
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.early.is_empty() && self.state == Progress::Over
    }

    fn size_hint(&self) -> SizeHint {
        let length = |part: &Result<Frame<Bytes>, BrokenAnswer>| Some(part.as_ref().ok()?.data_ref()?.len() as u64);
        let whole = || self.early.iter().map(length).sum::<Option<u64>>();
        let known = if self.state == Progress::Over { whole() } else { None };
        known.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::background::tests::context;
    use http_body_util::{BodyExt, StreamBody};

    #[tokio::test]
    async fn an_answer_whose_guest_does_not_notice_its_deadline_ends_there() {
        let context = context();
        let (_guest, ended) = oneshot::channel();
        let first = Frame::data(Bytes::from_static(b"once"));
        let rest = StreamBody::new(futures::stream::pending()).boxed_unsync();
        let guard = CancelGuard(Some(Arc::clone(&context)));
        let mut answer = AnswerBody::new(Some(first), rest, ended, None, guard);
        assert!(matches!(answer.frame().now_or_never(), Some(Some(Ok(_)))));
        assert!(answer.frame().now_or_never().is_none(), "there is time left");
        context.end(Cause::DeadlineExceeded);
        let end = answer.frame().now_or_never();
        assert!(matches!(end, Some(Some(Err(BrokenAnswer(Cause::DeadlineExceeded))))), "{end:?}");
        assert!(answer.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_answer_that_ends_otherwise_waits_for_its_store() {
        let context = context();
        let (guest, ended) = oneshot::channel();
        let first = Frame::data(Bytes::from_static(b"once"));
        let rest = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        let guard = CancelGuard(Some(Arc::clone(&context)));
        let mut answer = AnswerBody::new(Some(first), rest, ended, None, guard);
        assert!(matches!(answer.frame().now_or_never(), Some(Some(Ok(_)))));
        context.end(Cause::ClientGone);
        assert!(answer.frame().now_or_never().is_none(), "its store is not gone");
        guest.send(Ended::Broken(Cause::ClientGone)).unwrap();
        let end = answer.frame().await;
        assert!(matches!(end, Some(Err(BrokenAnswer(Cause::ClientGone)))), "{end:?}");
    }
}
