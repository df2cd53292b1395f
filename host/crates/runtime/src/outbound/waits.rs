//! How long a guest waits for the answer to its request: what it says itself, and never beyond its own deadline, so that
//! it can still say what it waited for.

use super::config::DEFAULT_TIMEOUT;
use bobbin_inference::{Charge, RequestContext};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// The time limits of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    begun: Instant,
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
    deadline: Instant,
}

impl Waits {
    pub(super) fn new(options: Option<RequestOptions>, context: &RequestContext) -> Self {
        let options = options.unwrap_or_default();
        Self {
            begun: Instant::now(),
            connect: options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT),
            first_byte: options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT),
            between_bytes: options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT),
            deadline: Instant::from_std(context.deadlines.soft),
        }
    }

    /// A request that has a minute for everything.
    #[cfg(test)]
    pub(super) fn a_minute() -> Self {
        let (begun, minute) = (Instant::now(), Duration::from_secs(60));
        Self { begun, connect: minute, first_byte: minute, between_bytes: minute, deadline: begun + minute }
    }

    /// Until when a new connection must be there.
    pub(super) fn connected_by(&self) -> Instant {
        self.until(self.begun, self.connect)
    }

    /// Waits for an answer's head.
    pub(super) async fn head<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match timeout_at(self.until(self.begun, self.first_byte), answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Error::ConnectionReadTimeout),
        }
    }

    /// A guest may say any number of nanoseconds.
    fn until(&self, since: Instant, wait: Duration) -> Instant {
        since.checked_add(wait).map_or(self.deadline, |until| until.min(self.deadline))
    }
}

/// The body of an answer, whose reader does not wait for ever, and what the host holds for it.
pub(super) struct Waited {
    /// `None` once it is given up: what is behind it ends then, and not when the guest lets go.
    body: Option<WasiBody>,
    waits: Waits,
    sleep: Option<Pin<Box<Sleep>>>,
    _charge: Charge,
}

impl Waited {
    pub(super) fn new(body: WasiBody, waits: Waits, charge: Charge) -> Self {
        Self { body: Some(body), waits, sleep: None, _charge: charge }
    }
}

impl Body for Waited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            this.sleep = None;
            return Poll::Ready(frame);
        }
        let until = this.waits.until(Instant::now(), this.waits.between_bytes);
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(sleep.as_mut().poll(cx));
        this.body = None;
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(WasiBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), WasiBody::size_hint)
    }
}
