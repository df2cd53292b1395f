//! One connection: HTTP/1.1, or HTTP/2 with prior knowledge, with bounds on how long a silent client keeps it.

use crate::limits::Limits;
use crate::spin_headers;
use crate::wire::Wire;
use bobbin_inference::RequestContext;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use socket2::SockRef;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// What a connection may hold of an answer that its client does not read. Small, so that a slow reader is felt
/// by the component at once and a piece never waits for a buffer to fill.
const SEND_BUFFER: usize = 64 << 10;

/// How long answers that were cut get to say so before their connections are dropped.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often a connection is looked at within the time that a silent client has.
const LOOKS: u32 = 8;

const PING_EVERY: Duration = Duration::from_secs(20);

/// What the tasks of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// The same as components are told it.
    pub(crate) told: HeaderValue,
    /// The address alone: requests of one client go to one version by it.
    pub(crate) client: Arc<str>,
    /// Parent of the cancel tokens of its requests.
    pub(crate) cancel: CancellationToken,
    /// Whether nobody reads along.
    pub(crate) encrypted: bool,
    begun: AtomicU64,
    open: Mutex<Vec<Arc<RequestContext>>>,
    held: Mutex<Vec<Arc<Promise>>>,
    reset: AtomicBool,
}

/// Keeps a connection on which no request of the application is open: an answer is being made, or a stream goes on.
pub(crate) struct Held {
    connection: Arc<Connection>,
    promise: Arc<Promise>,
}

/// When the client will have taken something; `None` while it has nothing to take.
#[derive(Debug, Default)]
struct Promise(Mutex<Option<Instant>>);

impl Held {
    /// A client that has not taken anything by then does not read, and its connection is dropped.
    pub(crate) fn read_by(&self, time: Instant) {
        *self.promise.0.lock() = Some(time);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.held.lock().retain(|held| !Arc::ptr_eq(held, &self.promise));
    }
}

/// How a listener's connections end.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// No further requests; those in flight finish.
    pub(crate) stop: CancellationToken,
    /// The drain is over.
    pub(crate) abort: CancellationToken,
}

/// What a connection is told: by its listener, and by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stop,
    Abort,
    /// It is time to look at it.
    Look,
}

/// What it will be told. None of these is looked at whenever the connection moves a byte: only when it fires.
type Tellers = FuturesUnordered<BoxFuture<'static, Told>>;

fn look_after(pause: Duration) -> BoxFuture<'static, Told> {
    tokio::time::sleep(pause).map(|()| Told::Look).boxed()
}

impl Ends {
    fn tellers(self) -> Tellers {
        let Self { stop, abort } = self;
        let stop = stop.cancelled_owned().map(|()| Told::Stop).boxed();
        let abort = abort.cancelled_owned().map(|()| Told::Abort).boxed();
        FuturesUnordered::from_iter([stop, abort])
    }
}

/// What is seen when looking at a connection now and then.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Alive,
    Silent,
    Stuck,
}

impl Connection {
    /// `parent` ends its requests when it is cancelled.
    pub(crate) fn new(peer: SocketAddr, encrypted: bool, parent: &CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            peer,
            told: spin_headers::client(peer),
            client: peer.ip().to_canonical().to_string().into(),
            cancel: parent.child_token(),
            encrypted,
            begun: AtomicU64::new(0),
            open: Mutex::default(),
            held: Mutex::default(),
            reset: AtomicBool::new(false),
        })
    }

    /// Keeps the connection until the guard is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        let promise = Arc::<Promise>::default();
        self.held.lock().push(Arc::clone(&promise));
        Held { connection: Arc::clone(self), promise }
    }

    /// A request's head arrived.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn open(&self, context: &Arc<RequestContext>) {
        self.open.lock().push(Arc::clone(context));
    }

    pub(crate) fn close(&self, context: &Arc<RequestContext>) {
        self.open.lock().retain(|open| !Arc::ptr_eq(open, context));
    }

    /// Whether closing the connection now would make an answer look whole: without chunks or a length, its end is
    /// the connection's end. Such a connection is reset instead.
    pub(crate) fn end_is_the_answers_end(&self, yes: bool) {
        self.reset.store(yes, Ordering::Release);
    }

    /// Whether anybody still needs the connection. `begun` is what it had begun at the last look.
    fn look(&self, begun: &mut u64, period: Duration) -> Seen {
        let open = self.open.lock();
        let now = self.begun.load(Ordering::Relaxed);
        let new = std::mem::replace(begun, now) != now;
        // Past its end for a whole period, and still here: the client does not read.
        let stuck = |context: &Arc<RequestContext>| Instant::now() > context.deadlines.hard + period;
        let held = self.held.lock();
        let late = |held: &Arc<Promise>| held.0.lock().is_some_and(|time| Instant::now() > time);
        match open.iter().any(stuck) || held.iter().any(late) {
            true => Seen::Stuck,
            false if open.is_empty() && held.is_empty() && !new => Seen::Silent,
            false => Seen::Alive,
        }
    }
}

/// Sends each piece at once, and holds little of what the client does not read.
pub(crate) fn tune(stream: &TcpStream) {
    let tuned = stream.set_nodelay(true).and_then(|()| SockRef::from(stream).set_send_buffer_size(SEND_BUFFER));
    if let Err(error) = tuned {
        tracing::debug!(%error, "an accepted socket kept its defaults");
    }
}

/// Serves a connection until it ends.
pub(crate) async fn drive<S, B>(stream: Wire, service: S, connection: Arc<Connection>, limits: &Limits, ends: Ends)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let builder = builder(limits);
    let socket = Socket { stream: TokioIo::new(stream), connection: Arc::clone(&connection) };
    let mut served = pin!(builder.serve_connection(socket, service));
    let period = limits.header_timeout.max(Duration::from_millis(LOOKS.into()));
    let mut tellers = ends.tellers();
    tellers.push(look_after(period / LOOKS));
    let (mut ending, mut begun, mut silent, mut most_silent) = (false, 0, 0, 2 * LOOKS);
    loop {
        tokio::select! {
            biased;
            result = served.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(peer = %connection.peer, error = &*error, "a connection ended early");
                }
                return;
            }
            Some(told) = tellers.next() => if told != Told::Look {
                if !ending {
                    (ending, most_silent) = (true, most_silent.min(silent + LOOKS));
                    served.as_mut().graceful_shutdown();
                }
                if told == Told::Abort {
                    // What is still unsent after its last words is lost either way.
                    let _ = tokio::time::timeout(LAST_WORDS, served).await;
                    return;
                }
            } else {
                tellers.push(look_after(period / LOOKS));
                let seen = connection.look(&mut begun, period);
                silent = if seen == Seen::Silent { silent + 1 } else { 0 };
                if seen == Seen::Stuck || silent >= most_silent {
                    tracing::debug!(peer = %connection.peer, "a silent connection was dropped");
                    return;
                }
                if silent == LOOKS && !ending {
                    ending = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The buffer also bounds the head of a request: over it hyper answers 431.
    let head = (limits.header_bytes + limits.target_bytes).max(16 << 10);
    // `half_close` stays off: with it hyper does not notice a client that leaves while its component works. A client
    // that only closes its half after a whole request looks the same, and gets no answer.
    builder.http1().timer(SeenByLooks).header_read_timeout(limits.header_timeout).max_buf_size(head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    builder
}

/// Times that are noticed when the connection is looked at. hyper waits for each head with a timer of its own: set and
/// taken back for each request, they cost more than a look now and then, which there is anyhow.
#[derive(Debug, Clone, Copy)]
struct SeenByLooks;

struct Until(Instant);

impl Timer for SeenByLooks {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until(deadline))
    }
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    /// Wakes nobody: the connection polls it after each of its looks.
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The socket, which knows whether its end may look like an answer's end.
struct Socket {
    stream: TokioIo<Wire>,
    connection: Arc<Connection>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever is still open here is cut: nothing writes to this socket any more.
        if self.connection.reset.load(Ordering::Acquire) {
            let reset = SockRef::from(self.stream.inner().socket()).set_linger(Some(Duration::ZERO));
            if let Err(error) = reset {
                tracing::debug!(peer = %self.connection.peer, %error, "a cut connection could not be reset");
            }
        }
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    #[test]
    fn a_connection_is_kept_for_an_answer_that_is_being_made_and_silent_after_it() {
        let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), false, &CancellationToken::new());
        let held = connection.hold();
        assert_eq!(connection.look(&mut 0, PERIOD), Seen::Alive);
        drop(held);
        assert_eq!(connection.look(&mut 0, PERIOD), Seen::Silent);
    }

    #[test]
    fn a_client_that_does_not_read_its_stream_is_stuck() {
        let connection = Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), false, &CancellationToken::new());
        let held = connection.hold();
        held.read_by(Instant::now() + PERIOD);
        assert_eq!(connection.look(&mut 0, PERIOD), Seen::Alive);
        held.read_by(Instant::now().checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(connection.look(&mut 0, PERIOD), Seen::Stuck);
    }
}
