//! A request's body on its way to its component.
//!
//! hyper looks at a connection only while somebody reads from it: with a body that nobody reads, it would never
//! notice that the client left. So a task of the server always reads, into a buffer that the component reads from
//! when it likes. The buffer holds at most a whole body within its limit, and is charged to the request.

use crate::body::read_off;
use crate::limits::Limits;
use crate::problem::Problem;
use bobbin_inference::{Cause, Charge, RequestContext};
use bobbin_runtime::RequestBodyError;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Small chunks are put together up to this size: kept one by one they would cost far more than their bytes.
const BLOCK: usize = 16 << 10;

/// Why a body did not arrive whole.
#[derive(Debug)]
enum Fault {
    TooLarge {
        limit: u64,
    },
    /// What arrived is no whole body; whoever sent it may still read an answer.
    Malformed(String),
    /// Nothing of it came for so long.
    Silent {
        patience: Duration,
    },
    /// The connection failed.
    Gone,
}

/// What the server sees of a body while it arrives.
pub(crate) struct Upload(Arc<Shared>);

/// The component's end.
pub(crate) struct Outlet(Arc<Shared>);

/// The reading task's end.
pub(crate) struct Inlet {
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    limit: u64,
    patience: Duration,
}

#[derive(Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    fault: OnceLock<Fault>,
    failed: CancellationToken,
    /// The component has begun to answer.
    answering: AtomicBool,
}

#[derive(Default)]
struct Buffer {
    blocks: VecDeque<BytesMut>,
    held: u64,
    charge: Option<Charge>,
    trailers: Option<HeaderMap>,
    error: Option<RequestBodyError>,
    /// Nothing follows what is here.
    ended: bool,
    /// The component dropped its end.
    unwanted: bool,
    /// Bytes that the component has not read yet, where the head named their number.
    expected: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The ends of a way for `body`; more bytes than may be are an error, and so is a client that sends none for as long as it
/// may take for a head.
pub(crate) fn channel<B: Body>(context: &Arc<RequestContext>, body: &B, limits: &Limits) -> (Upload, Inlet, Outlet) {
    // Nothing is charged yet, so this cannot be refused; without a charge the buffer would hold one block.
    let charge = context.account.charge(0).ok();
    let buffer =
        Buffer { charge, expected: body.size_hint().exact(), ended: body.is_end_stream(), ..Buffer::default() };
    let shared = Arc::new(Shared { buffer: Mutex::new(buffer), ..Shared::default() });
    let (limit, patience) = (limits.body_bytes, limits.header_timeout);
    let inlet = Inlet { shared: Arc::clone(&shared), context: Arc::clone(context), limit, patience };
    (Upload(Arc::clone(&shared)), inlet, Outlet(shared))
}

impl Upload {
    /// Returns once the body is known not to arrive whole; never for one that does.
    pub(crate) async fn failed(&self) -> Problem {
        self.0.failed.cancelled().await;
        self.problem().unwrap_or_else(|| Problem::of_cause(&Cause::ClientGone))
    }

    /// The component answers: from here on the two may talk, and a client that listens is silent.
    pub(crate) fn is_answered(&self) {
        self.0.answering.store(true, Ordering::Release);
    }

    /// What the client is told where its body did not arrive whole.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.0.fault.get().map(|fault| match fault {
            Fault::TooLarge { limit } => Problem::body_too_large(None, *limit),
            Fault::Malformed(reason) => Problem::broken_body(reason),
            Fault::Silent { patience } => Problem::body_timeout(*patience),
            Fault::Gone => Problem::of_cause(&Cause::ClientGone),
        })
    }
}

impl Inlet {
    /// Reads `body` to its end, or for as long as the request needs it; `over` ends with the request.
    pub(crate) async fn pump<B>(self, mut body: B, over: CancellationToken)
    where
        B: Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Send + Unpin + 'static,
    {
        let read = tokio::select! {
            biased;
            () = over.cancelled() => Ok(false),
            () = self.context.cancel.cancelled() => Ok(false),
            read = self.fill(&mut body) => read.map(|()| true),
        };
        match read {
            Ok(true) => return,
            Ok(false) => {}
            Err((fault @ Fault::TooLarge { .. }, error)) => self.fail(fault, error),
            Err((fault, error)) => {
                tracing::debug!(request_id = %self.context.id, "the request's body broke off: {error}");
                self.fail(fault, error);
                self.context.end(Cause::ClientGone);
                return;
            }
        }
        if !read_off(body).await {
            // From here on nobody reads this connection, so nobody would notice when its client leaves.
            self.context.end(Cause::ClientGone);
        }
    }

    async fn fill<B>(&self, body: &mut B) -> Result<(), (Fault, RequestBodyError)>
    where
        B: Body<Data = Bytes, Error: Error + Send + Sync + 'static> + Unpin,
    {
        let mut left = self.limit;
        while let Some(frame) = self.next(body).await? {
            let frame = frame.map_err(|error| (fault(&error), RequestBodyError::Connection(Box::new(error))))?;
            match frame.into_data() {
                Ok(data) => {
                    let limit = self.limit;
                    let rest = left.checked_sub(data.len() as u64);
                    left = rest.ok_or((Fault::TooLarge { limit }, RequestBodyError::TooLarge { limit }))?;
                    poll_fn(|cx| self.shared.buffer.lock().poll_push(&data, cx)).await;
                }
                Err(frame) => self.shared.buffer.lock().trailers = frame.into_trailers().ok(),
            }
        }
        self.shared.buffer.lock().end(None);
        Ok(())
    }

    /// The next piece, for which the client has only so long.
    async fn next<B>(&self, body: &mut B) -> Result<Option<Result<Frame<Bytes>, B::Error>>, (Fault, RequestBodyError)>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let patience = self.patience;
        let silent = async {
            tokio::time::sleep(patience).await;
            if self.shared.answering.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            frame = body.frame() => Ok(frame),
            () = silent => Err((Fault::Silent { patience }, RequestBodyError::Silent { patience })),
        }
    }

    fn fail(&self, fault: Fault, error: RequestBodyError) {
        // The only one to set it: there is one inlet, and it fails once.
        let _ = self.shared.fault.set(fault);
        self.shared.buffer.lock().end(Some(error));
        self.shared.failed.cancel();
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        let mut buffer = self.shared.buffer.lock();
        if !buffer.ended {
            let over = io::Error::new(ErrorKind::ConnectionAborted, "the request was over before its body was read");
            buffer.end(Some(RequestBodyError::Connection(Box::new(over))));
        }
    }
}

/// hyper says only in the kind of the error below its own whether bytes were wrong or missing, or the socket failed.
fn fault(error: &(dyn Error + 'static)) -> Fault {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let io = chain.filter_map(|error| error.downcast_ref::<io::Error>()).last();
    match io.map(|io| (io.kind(), io)) {
        Some((ErrorKind::UnexpectedEof, _)) => Fault::Malformed("it ended before it was complete".into()),
        Some((ErrorKind::InvalidInput | ErrorKind::InvalidData, io)) => Fault::Malformed(io.to_string()),
        _ => Fault::Gone,
    }
}

impl Buffer {
    /// Takes `data` in, or waits until the component has read enough for the request to afford it.
    fn poll_push(&mut self, data: &[u8], cx: &Context<'_>) -> Poll<()> {
        if self.unwanted {
            return Poll::Ready(());
        }
        let held = self.held + data.len() as u64;
        let charged = self.charge.as_mut().is_some_and(|charge| charge.resize(held).is_ok());
        // A component that waits for this piece gets it in any case, or it would wait for ever.
        if !charged && self.held > 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.held = held;
        match self.blocks.back_mut().filter(|block| block.len() + data.len() <= BLOCK) {
            Some(block) => block.extend_from_slice(data),
            None => self.blocks.push_back(BytesMut::from(data)),
        }
        wake(&mut self.reader);
        Poll::Ready(())
    }

    fn pop(&mut self) -> Option<Bytes> {
        let block = self.blocks.pop_front()?;
        let length = block.len() as u64;
        self.held = self.held.saturating_sub(length);
        self.expected = self.expected.map(|expected| expected.saturating_sub(length));
        self.give_back();
        Some(block.freeze())
    }

    fn give_back(&mut self) {
        if let Some(charge) = self.charge.as_mut() {
            // Downwards, which is always granted.
            let _ = charge.resize(self.held.min(charge.bytes()));
        }
        wake(&mut self.writer);
    }

    fn end(&mut self, error: Option<RequestBodyError>) {
        (self.error, self.ended) = (error, true);
        wake(&mut self.reader);
    }

    fn is_empty(&self) -> bool {
        self.ended && self.blocks.is_empty() && self.trailers.is_none() && self.error.is_none()
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut buffer = self.0.buffer.lock();
        if let Some(data) = buffer.pop() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !buffer.ended {
            buffer.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match (buffer.error.take(), buffer.trailers.take()) {
            (Some(error), _) => Poll::Ready(Some(Err(error))),
            (None, trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.buffer.lock().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.buffer.lock().expected.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut buffer = self.0.buffer.lock();
        buffer.unwanted = true;
        buffer.blocks.clear();
        buffer.held = 0;
        buffer.give_back();
    }
}
