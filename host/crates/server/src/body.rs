//! Bodies on their way through: those of refused requests are read off, answers are watched to their end.

use crate::exchange::Exchange;
use bobbin_runtime::BrokenAnswer;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// What is still read of a refused request, so that its client gets to read the refusal: closing at once with
/// bytes unread would reset the connection under the answer.
const DISCARDED_BYTES: usize = 8 << 20;
const DISCARDED_FOR: Duration = Duration::from_secs(3);

/// Reads and forgets in the background, within bounds.
pub(crate) fn discard<B>(body: B, tasks: &TaskTracker)
where
    B: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    if !body.is_end_stream() {
        tasks.spawn(read_off(body));
    }
}

/// Reads and forgets, within bounds. Whether the body came to an end.
pub(crate) async fn read_off<B>(mut body: B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARDED_BYTES {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DISCARDED_FOR, reading).await.unwrap_or(false)
}

/// The body of an answer: the host's own, or a component's.
pub(crate) enum AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BrokenAnswer> + Send + 'static,
{
    Host(Full<Bytes>),
    Component(Watched<B>),
}

/// A component's body, watched until it is whole or broken.
pub(crate) struct Watched<B>
where
    B: Body<Data = Bytes, Error = BrokenAnswer> + Send + 'static,
{
    inner: Option<Pin<Box<B>>>,
    exchange: Option<Exchange>,
    /// What is still to come of what the head promised.
    promised: Promised,
    broken: Option<BrokenAnswer>,
    tasks: TaskTracker,
}

impl<B> Watched<B>
where
    B: Body<Data = Bytes, Error = BrokenAnswer> + Send + 'static,
{
    pub(crate) fn new(inner: B, exchange: Exchange, promised: Promised, tasks: TaskTracker) -> Self {
        Self { inner: Some(Box::pin(inner)), exchange: Some(exchange), promised, broken: None, tasks }
    }

    /// The head is the whole answer, and it is sent. A body that nobody reads is no reason to go on.
    fn give_up_rest(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.whole();
        }
        self.inner = None;
    }

    fn poll_watched(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        if self.promised == Promised::HeadOnly {
            self.give_up_rest();
        }
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        match ready!(inner.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Promised::Bytes(promised) = &mut self.promised {
                    *promised = promised.saturating_sub(length);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(broken)) => {
                self.inner = None;
                if let Some(mut exchange) = self.exchange.take() {
                    exchange.broke(&broken.0);
                }
                // An error makes hyper drop what it has not sent yet. One turn later, the pieces that were whole
                // are on their way.
                self.broken = Some(broken);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.inner = None;
                if let Some(mut exchange) = self.exchange.take() {
                    exchange.whole();
                }
                Poll::Ready(None)
            }
        }
    }
}

impl<B> Drop for Watched<B>
where
    B: Body<Data = Bytes, Error = BrokenAnswer> + Send + 'static,
{
    fn drop(&mut self) {
        if self.promised == Promised::HeadOnly {
            self.give_up_rest();
        }
        let (Some(mut inner), Some(mut exchange)) = (self.inner.take(), self.exchange.take()) else { return };
        if inner.is_end_stream() {
            exchange.whole();
            return;
        }
        if self.promised != Promised::Bytes(0) {
            return;
        }
        // The client has all that was promised, so hyper asks for no more; the component may still be at work
        // after its last byte, and dropping its body now would cut it.
        exchange.whole();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let rest = async move {
                while let Some(frame) = poll_fn(|cx| inner.as_mut().poll_frame(cx)).await {
                    if let Err(broken) = frame {
                        exchange.broke_after_its_end(&broken.0);
                        break;
                    }
                }
                drop(exchange);
            };
            self.tasks.spawn_on(rest, &runtime);
        }
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes, Error = BrokenAnswer> + Send + 'static,
{
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        match self.get_mut() {
            Self::Host(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Self::Component(watched) => watched.poll_watched(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Host(full) => full.is_end_stream(),
            Self::Component(watched) => {
                watched.broken.is_none() && watched.inner.as_ref().is_none_or(Body::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Host(full) => full.size_hint(),
            Self::Component(watched) => watched.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint),
        }
    }
}

/// What the head of an answer promises of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promised {
    /// There is none, whatever the component makes.
    HeadOnly,
    Bytes(u64),
    Unknown,
}

pub(crate) fn promised(method: &Method, status: StatusCode, headers: &HeaderMap) -> Promised {
    let bodyless = *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    match bodyless {
        true => Promised::HeadOnly,
        false => content_length(headers).map_or(Promised::Unknown, Promised::Bytes),
    }
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
