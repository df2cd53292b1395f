//! A host on free ports, and clients for it.

use super::workshop::Bench;
use crate::{
    Access, Answerer, AppInfo, Drained, FixedAnswer, Handle, Ledger, Limits, Listeners, Metrics, RouteEntry, RoutePath,
    Served, Server, Subscriber,
};
use bobbin_inference::Cause;
use bobbin_keys::Keys;
use bobbin_release::{Declared, ReleaseId, Releases, Spec, Store};
use bobbin_runtime::{BrokenAnswer, Call, Calls, Failure};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) type Answer = Result<Response<Pieces>, Failure>;
type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A component made of a closure.
#[derive(Clone)]
pub(super) struct Fake(Arc<dyn Fn(Call) -> Answering + Send + Sync>);

impl Fake {
    pub(super) fn new<F, A>(answer: F) -> Self
    where
        F: Fn(Call) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self(Arc::new(move |call| Box::pin(answer(call))))
    }

    /// Answers everything with this text.
    pub(super) fn text(text: &'static str) -> Self {
        Self::new(move |_| async move { Ok(Response::new(Pieces::of(text))) })
    }
}

impl Handle for Fake {
    type Body = Pieces;

    async fn handle(&self, call: Call) -> Answer {
        (self.0)(call).await
    }
}

/// A body whose pieces a test sends one by one. Dropping the sender ends it cleanly.
pub(super) struct Pieces {
    first: Box<dyn Iterator<Item = Result<&'static str, Cause>> + Send>,
    then: mpsc::UnboundedReceiver<Result<&'static str, Cause>>,
}

pub(super) type Sender = mpsc::UnboundedSender<Result<&'static str, Cause>>;

impl Pieces {
    pub(super) fn new() -> (Sender, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self { first: Box::new(std::iter::empty()), then: receiver })
    }

    /// Puts pieces before those that are sent.
    pub(super) fn before(self, pieces: impl Iterator<Item = Result<&'static str, Cause>> + Send + 'static) -> Self {
        Self { first: Box::new(pieces), ..self }
    }

    pub(super) fn of(text: &'static str) -> Self {
        let (sender, body) = Self::new();
        sender.send(Ok(text)).unwrap();
        body
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BrokenAnswer;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenAnswer>>> {
        let piece = |piece: Result<&'static str, Cause>| piece.map(|p| Frame::data(p.into())).map_err(BrokenAnswer);
        match self.first.next() {
            Some(first) => Poll::Ready(Some(piece(first))),
            None => self.then.poll_recv(cx).map(|received| received.map(piece)),
        }
    }
}

/// A server under test.
pub(super) struct Host {
    pub(super) app: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
    pub(super) keys: Arc<Keys>,
    pub(super) served: JoinHandle<Drained>,
    pub(super) releases: Arc<Releases>,
    pub(super) bench: Arc<Bench>,
    _state: TempDir,
}

pub(super) struct Builder {
    routes: Vec<RouteEntry<Fake>>,
    subscribers: Vec<Subscriber>,
    limits: Limits,
    declared: Vec<Declared>,
    token: Option<String>,
    alive: bool,
}

impl Host {
    pub(super) fn builder() -> Builder {
        let (routes, subscribers, declared) = (Vec::new(), Vec::new(), Vec::new());
        Builder { routes, subscribers, limits: Limits::default(), declared, token: None, alive: false }
    }

    /// One component for every path.
    pub(super) async fn with(fake: Fake) -> Self {
        Self::builder().route("/...", fake).start().await
    }

    pub(super) async fn metrics(&self) -> String {
        text(get(self.admin, "/metrics").await).await
    }
}

pub(super) fn entry<H>(route: &str, handler: H) -> RouteEntry<H> {
    RouteEntry {
        trigger_id: format!("trigger {route}").into(),
        route: RoutePath::Public(route.to_owned()),
        access: Access::default(),
        answerer: Answerer::Component { id: "component".into(), handler, calls: Calls::default(), plain: false },
    }
}

impl Builder {
    pub(super) fn route(mut self, route: &str, fake: Fake) -> Self {
        self.routes.push(entry(route, fake));
        self
    }

    /// A component behind a route with this access.
    pub(super) fn guarded(self, route: &str, access: Access, fake: Fake) -> Self {
        self.component(RouteEntry { access, ..entry(route, fake) })
    }

    pub(super) fn subscriber(mut self, subscriber: Subscriber) -> Self {
        self.subscribers.push(subscriber);
        self
    }

    pub(super) fn component(mut self, entry: RouteEntry<Fake>) -> Self {
        self.routes.push(entry);
        self
    }

    pub(super) fn fixed(mut self, route: &str, answer: FixedAnswer) -> Self {
        let trigger_id = format!("trigger {route}").into();
        let route = RoutePath::Public(route.to_owned());
        let (access, answerer) = (Access::default(), Answerer::Fixed(answer));
        self.routes.push(RouteEntry { trigger_id, route, access, answerer });
        self
    }

    /// The same, for a fixed answer.
    pub(super) fn fixed_guarded(self, route: &str, access: Access, answer: FixedAnswer) -> Self {
        let trigger_id = format!("trigger {route}").into();
        let (route, answerer) = (RoutePath::Public(route.to_owned()), Answerer::Fixed(answer));
        self.component(RouteEntry { trigger_id, route, access, answerer })
    }

    /// The same, for a component that may ask the whole application.
    pub(super) fn asking(self, route: &str, access: Access, handler: Fake) -> Self {
        let calls = Calls { any: true, ..Calls::default() };
        let answerer = Answerer::Component { id: format!("component {route}").into(), handler, calls, plain: false };
        let (trigger_id, route) = (format!("trigger {route}").into(), RoutePath::Public(route.to_owned()));
        self.component(RouteEntry { trigger_id, route, access, answerer })
    }

    pub(super) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(super) fn release(mut self, trigger: &str, graph: &str, bundle: &str) -> Self {
        let id = ReleaseId { trigger: trigger.into(), graph: graph.into() };
        self.declared.push(Declared { id, digest: "sha256:00".to_owned(), spec: Spec::of(bundle.into()) });
        self
    }

    /// Every declared version answers before the host is started.
    pub(super) fn alive(mut self) -> Self {
        self.alive = true;
        self
    }

    pub(super) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(super) async fn start(self) -> Host {
        let metrics = Arc::new(Metrics::new("1.2.3"));
        let (bench, state) = (Bench::new(), tempfile::tempdir().unwrap());
        let keys = Arc::new(Keys::open(state.path().join(bobbin_keys::FILE_NAME)).unwrap());
        let ledger = Arc::new(Ledger::new(Arc::clone(&metrics), Arc::clone(&keys)));
        let recorder: Arc<Ledger> = Arc::clone(&ledger);
        let store = Store::open(state.path()).unwrap();
        let releases = Releases::open(store, Arc::clone(&bench) as _, recorder, self.declared).unwrap().releases;
        if self.alive {
            releases.bring_to_life().await;
        }
        let info = AppInfo { name: "tales".into(), version: Some("0.1.0".into()) };
        let served = Served { info, routes: self.routes, subscribers: self.subscribers };
        let server = Server::new(served, Arc::clone(&releases), &ledger, self.limits).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners::bind(Some(any), any, self.token).await.unwrap();
        let (app, admin) = (listeners.app_addr().unwrap(), listeners.admin_addr());
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.serve(listeners, stop.clone()));
        Host { app, admin, stop, metrics, keys, served, releases, bench, _state: state }
    }
}

/// One request on a connection of its own, over HTTP/1.1.
pub(super) async fn send(addr: SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// One request on a connection of its own, over HTTP/2.
pub(super) async fn send_h2(addr: SocketAddr, path: &str) -> Response<Incoming> {
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://tales.test{path}")).body(Full::<Bytes>::default()).unwrap();
    sender.send_request(request).await.unwrap()
}

pub(super) fn request(path: &str) -> http::request::Builder {
    Request::get(path).header("host", "tales.test")
}

pub(super) async fn get(addr: SocketAddr, path: &str) -> Response<Incoming> {
    send(addr, Request::get(path).header("host", addr.to_string()).body(Full::default()).unwrap()).await
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

pub(super) async fn json(response: Response<Incoming>) -> serde_json::Value {
    serde_json::from_str(&text(response).await).unwrap()
}

/// The next piece of a body; `None` at its clean end. Empty frames are HTTP/2's way to end.
pub(super) async fn piece(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let piece = body.frame().await?.map(|frame| frame.into_data().unwrap());
        if !matches!(&piece, Ok(empty) if empty.is_empty()) {
            return Some(piece);
        }
    }
}

/// Sends bytes as they are, and reads until the connection ends.
pub(super) async fn raw(addr: SocketAddr, bytes: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

/// What is logged on this thread, one line per event.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Listens until the guard is dropped.
    pub(super) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let on = tracing::subscriber::set_default(log.clone());
        (log, on)
    }

    /// The lines so far that hold this.
    pub(super) fn lines(&self, part: &str) -> Vec<String> {
        self.0.lock().iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line.push_str(&format!("{field}={value:?} "));
        });
        self.0.lock().push(line);
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}
