//! A request to the application becomes an answer: routed, admitted, given its context and its pins, handed to
//! its component, and watched to its end.

use crate::access::{self, ErrorStyle, KeyPolicy};
use crate::admission::{Admission, Permit};
use crate::asker::{Asking, VERSION};
use crate::body::{AnswerBody, Promised, Watched, content_length, discard, promised};
use crate::connection::Connection;
use crate::exchange::{Exchange, InFlight};
use crate::fresh_keys::FreshKeys;
use crate::handle::Handle;
use crate::inside::Inside;
use crate::limits::Limits;
use crate::messages::Subscribed;
use crate::metrics::{Metrics, NO_ROUTE};
use crate::problem::{Problem, REQUEST_ID, X_REQUEST_ID};
use crate::routes::{Answers, Component, RouteTable, WELL_KNOWN};
use crate::server::AppInfo;
use crate::spin_headers;
use crate::upload::{self, Upload};
use bobbin_inference::{Account, BundleLog, Cause, CauseSlot, Deadlines, RequestContext, RequestId, TraceParent};
use bobbin_keys::{Admitted, Key, Levels};
use bobbin_release::{Asker, Releases};
use bobbin_runtime::{Application, Call, Failure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, EXPECT, HOST, HeaderValue};
use http::uri::Scheme;
use http::{Request, Response, StatusCode, Version, request};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the application's listener serves, and what takes the messages of its channels.
pub(crate) struct App<H> {
    pub(crate) info: AppInfo,
    pub(crate) table: RouteTable<H>,
    /// Who takes messages.
    pub(crate) subscribed: Vec<Arc<Subscribed>>,
    pub(crate) releases: Arc<Releases>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) keys: Arc<FreshKeys>,
    /// The listener is on a loopback address, so where there are no keys it may be open. False until that is known.
    pub(crate) loopback: Arc<AtomicBool>,
    pub(crate) admission: Arc<Admission>,
    /// Calls between components.
    pub(crate) calls: Arc<Admission>,
    pub(crate) limits: Limits,
    pub(crate) in_flight: Arc<InFlight>,
    /// Parent of the cancel tokens of what comes over no connection.
    pub(crate) cancel: CancellationToken,
    /// Connections, and what outlives them for a moment.
    pub(crate) tasks: TaskTracker,
}

type Answer<H> = Response<AnswerBody<<H as Handle>::Body>>;

/// A request that has just arrived, as far as it is known.
struct Arrived {
    id: RequestId,
    started: Instant,
    /// Id of the trigger that takes it, once one does.
    route: Arc<str>,
    /// How that route says no.
    errors: ErrorStyle,
    /// How the limits of its key stand.
    levels: Levels,
}

impl Arrived {
    fn now() -> Self {
        let (id, started, route) = (RequestId::new(), Instant::now(), Arc::from(NO_ROUTE));
        Self { id, started, route, errors: ErrorStyle::default(), levels: Levels::default() }
    }
}

/// A request that may go to its component.
struct Ticket<'app, H> {
    component: &'app Component<H>,
    head: request::Parts,
    context: Arc<RequestContext>,
    permit: Permit,
    exchange: Exchange,
    /// The key that it came with, where one was asked for.
    key: Option<Admitted>,
    /// The route has to do with keys: what is sent as one is for the host alone.
    keyed: bool,
    errors: ErrorStyle,
}

enum Decided<'app, H> {
    /// The host answers itself.
    Own(Response<Full<Bytes>>),
    Component(Box<Ticket<'app, H>>),
}

impl<H: Handle> App<H> {
    /// Answers one request. Every answer names the request.
    pub(crate) async fn answer(self: Arc<Self>, connection: Arc<Connection>, request: Request<Incoming>) -> Answer<H> {
        connection.begin();
        let mut arrived = Arrived::now();
        let (head, body) = request.into_parts();
        let waits_for_continue = head.headers.contains_key(EXPECT);
        let mut response = match self.admit(&mut arrived, head, &connection).await {
            Ok(Decided::Component(ticket)) => self.call(*ticket, body, &connection, &mut arrived.levels).await,
            Ok(Decided::Own(response)) => {
                self.own(&arrived, response.status());
                self.unread(response, body, waits_for_continue)
            }
            Err(problem) => {
                self.refused(&arrived, &problem);
                self.unread(problem.styled(arrived.errors, &arrived.id), body, waits_for_continue)
            }
        };
        if let Ok(id) = HeaderValue::from_str(arrived.id.as_str()) {
            if arrived.errors == ErrorStyle::OpenAi {
                response.headers_mut().insert(X_REQUEST_ID, id.clone());
            }
            response.headers_mut().insert(REQUEST_ID, id);
        }
        access::tell(&arrived.levels, response.headers_mut());
        response
    }

    /// An answer of the host's own, to a request whose body nobody reads.
    fn unread(&self, response: Response<Full<Bytes>>, body: Incoming, waits_for_continue: bool) -> Answer<H> {
        // Reading on would ask a client that waits for "100 Continue" to send what nobody wants.
        if !waits_for_continue {
            discard(body, &self.tasks);
        }
        response.map(AnswerBody::Host)
    }

    /// Records what the host answered without asking anybody.
    fn own(&self, arrived: &Arrived, status: StatusCode) {
        let took = arrived.started.elapsed();
        self.metrics.request(&arrived.route, None, status, took);
        if &*arrived.route == NO_ROUTE {
            // Whoever asks for health asks often.
            return;
        }
        tracing::info!(
            target: "bobbin::access",
            request_id = %arrived.id,
            route = %arrived.route,
            status = status.as_u16(),
            took_ms = took.as_secs_f64() * 1e3,
            "request"
        );
    }

    fn refused(&self, arrived: &Arrived, problem: &Problem) {
        self.metrics.refused(problem.code);
        self.metrics.request(&arrived.route, None, problem.status, arrived.started.elapsed());
        // At debug: overload must not become overload of the log.
        tracing::debug!(
            target: "bobbin::access",
            request_id = %arrived.id,
            route = %arrived.route,
            status = problem.status.as_u16(),
            code = problem.code,
            "refused: {}",
            problem.detail
        );
    }

    /// Decides everything that is decided before a component is asked. Nothing here waits, unless somebody has changed the
    /// keys.
    async fn admit(
        &self,
        arrived: &mut Arrived,
        mut head: request::Parts,
        connection: &Arc<Connection>,
    ) -> Result<Decided<'_, H>, Problem> {
        self.check_head(&head)?;
        let path = head.uri.path().to_owned();
        if path.starts_with(WELL_KNOWN) {
            return self.own_path(&path).map(Decided::Own).ok_or_else(|| Problem::no_route(&path));
        }
        let route = self.table.find(&path).ok_or_else(|| Problem::no_route(&path))?;
        let target = route.target;
        arrived.route = Arc::clone(&target.trigger_id);
        arrived.errors = target.access.errors;
        let open = self.loopback.load(Ordering::Relaxed);
        let keys = match target.access.keys {
            KeyPolicy::None => self.keys.last(),
            KeyPolicy::Required | KeyPolicy::LoopbackOpen => self.keys.now().await,
        };
        let checked = access::check(keys, open, target.door(), &head);
        arrived.levels = checked.levels;
        let key = checked.key?;
        let limit = self.limits.body_bytes;
        if let Some(length) = content_length(&head.headers).filter(|length| *length > limit) {
            return Err(Problem::body_too_large(Some(length), limit));
        }
        let scheme = if connection.encrypted { Scheme::HTTPS } else { Scheme::HTTP };
        spin_headers::prepare(&mut head, &route, connection.told.clone(), scheme)
            .map_err(|error| Problem::bad_target(&error))?;
        let component = match &target.answers {
            Answers::Component(component) => component,
            Answers::Fixed(answer) => return Ok(Decided::Own(answer.response())),
        };
        let Some(permit) = self.admission.admit() else {
            arrived.levels = self.give_back(key);
            return Err(Problem::over_capacity(self.admission.limit()));
        };
        let context = Arc::new(self.context(arrived, &head, connection, key.as_ref().map(Admitted::key)));
        let exchange =
            Exchange::begin(&context, head.method.clone(), arrived.started, connection, &self.in_flight, &self.metrics);
        let (keyed, errors) = (target.access.keys != KeyPolicy::None, target.access.errors);
        Ok(Decided::Component(Box::new(Ticket { component, head, context, permit, exchange, key, keyed, errors })))
    }

    /// A host that has no place for a request does not use up what its key may ask. Returns how its limits stand.
    fn give_back(&self, key: Option<Admitted>) -> Levels {
        key.map(|key| self.keys.last().give_back(key)).unwrap_or_default()
    }

    fn check_head(&self, head: &request::Parts) -> Result<(), Problem> {
        let target = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        if target > self.limits.target_bytes {
            return Err(Problem::target_too_long(target, self.limits.target_bytes));
        }
        let headers: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if headers > self.limits.header_bytes {
            return Err(Problem::headers_too_large(headers, self.limits.header_bytes));
        }
        // Whoever is before or behind this host may go by the other one.
        let hosts = head.headers.get_all(HOST).iter().count();
        if hosts > 1 {
            return Err(Problem::many_hosts(hosts));
        }
        Ok(())
    }

    /// Spin's own paths.
    pub(crate) fn own_path(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        match path.strip_prefix(WELL_KNOWN)? {
            "health" => Some(Response::new(Full::new(Bytes::from_static(b"OK")))),
            "info" => {
                let json = serde_json::json!(self.info).to_string();
                let mut response = Response::new(Full::new(Bytes::from(json)));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Some(response)
            }
            _ => None,
        }
    }

    fn context(
        &self,
        arrived: &Arrived,
        head: &request::Parts,
        connection: &Connection,
        key: Option<&Key>,
    ) -> RequestContext {
        let trace = head.headers.get("traceparent").and_then(|header| TraceParent::parse(header.to_str().ok()?));
        let trace = trace.unwrap_or_else(TraceParent::start);
        RequestContext {
            principal: key.map(|key| key.id().shared()),
            sticky_key: Some(Arc::clone(&connection.client)),
            ..self.new_context(arrived.id.clone(), trace, Arc::clone(&arrived.route), &connection.cancel)
        }
    }

    /// The context of a request or a message that begins now, and that nobody has shown a key for. It ends with `parent`.
    pub(crate) fn new_context(
        &self,
        id: RequestId,
        trace: TraceParent,
        trigger: Arc<str>,
        parent: &CancellationToken,
    ) -> RequestContext {
        RequestContext {
            id,
            trace,
            trigger,
            principal: None,
            sticky_key: None,
            deadlines: Deadlines::after(self.limits.request_timeout, self.limits.timeout_grace),
            account: Account::new(self.limits.account_bytes),
            cancel: parent.child_token(),
            cause: CauseSlot::default(),
            bundles: BundleLog::default(),
        }
    }

    /// Lets the component answer. Dropping this future gives the request up, record included.
    async fn call(
        self: &Arc<Self>,
        ticket: Ticket<'_, H>,
        body: Incoming,
        connection: &Connection,
        levels: &mut Levels,
    ) -> Answer<H> {
        let Ticket { component, mut head, context, permit, mut exchange, key, keyed, errors } = ticket;
        let client = context.sticky_key.as_deref().unwrap_or_default();
        let asking = Asking { headers: &head.headers, client, key: key.as_ref().map(Admitted::key) };
        let pins = self.releases.pin(&context, &asking);
        let application = self.inside(&component.reaches, &context, &asking);
        head.headers.remove(VERSION);
        if keyed {
            head.headers.remove(AUTHORIZATION);
        }
        let (method, version) = (head.method.clone(), head.version);
        let (upload, body) = if body.is_end_stream() {
            (None, Empty::new().map_err(|never| match never {}).boxed_unsync())
        } else {
            let (upload, inlet, outlet) = upload::channel(&context, &body, &self.limits);
            self.tasks.spawn(inlet.pump(body, exchange.over()));
            (Some(upload), outlet.boxed_unsync())
        };
        let call = Call {
            request: Request::from_parts(head, body),
            context: Arc::clone(&context),
            pins,
            permit: Box::new(permit),
            application,
            chained: false,
        };
        let failed = async {
            match &upload {
                Some(upload) => upload.failed().await,
                None => pending().await,
            }
        };
        let mut full = false;
        let answered = tokio::select! {
            biased;
            problem = failed => Err(problem),
            answered = component.handler.handle(call) => match upload.as_ref().and_then(Upload::problem) {
                // Whatever the component made of a body that was cut: the client can still learn the truth.
                Some(problem) => Err(problem),
                None => answered.map_err(|failure| {
                    full = matches!(failure, Failure::NoInstance { .. });
                    log_failure(&context, &component.id, &failure);
                    Problem::of_failure(&failure)
                }),
            },
        };
        if full {
            *levels = self.give_back(key);
        } else {
            drop(key);
        }
        let problem = match answered {
            Err(problem) => problem,
            Ok(response) => {
                if let Some(upload) = &upload {
                    upload.is_answered();
                }
                let status = response.status();
                let promised = promised(&method, status, response.headers());
                connection.end_is_the_answers_end(version < Version::HTTP_11 && promised == Promised::Unknown);
                exchange.sending(status);
                let watch = |body| AnswerBody::Component(Watched::new(body, exchange, promised, self.tasks.clone()));
                return response.map(watch);
            }
        };
        exchange.sending(problem.status);
        exchange.whole();
        problem.styled(errors, &context.id).map(AnswerBody::Host)
    }
}

impl<H: Handle> App<H> {
    /// What the component may ask of its own application, if anything. The versions behind it are decided here, with
    /// the request's own.
    pub(crate) fn inside(
        self: &Arc<Self>,
        reaches: &[Arc<str>],
        context: &Arc<RequestContext>,
        asker: &dyn Asker,
    ) -> Option<Arc<dyn Application>> {
        if reaches.is_empty() {
            return None;
        }
        let pin = |trigger: &Arc<str>| (Arc::clone(trigger), self.releases.pin_trigger(trigger, asker));
        let pins = reaches.iter().map(pin).collect();
        Some(Arc::new(Inside::new(self, context, pins)))
    }
}

/// The log's half of a failure; the client's half is a [`Problem`].
pub(crate) fn log_failure(context: &RequestContext, component: &str, failure: &Failure) {
    let (request_id, route) = (&context.id, &context.trigger);
    match failure {
        Failure::NoAnswer { cause: Cause::ClientGone, .. } => {
            tracing::debug!(%request_id, %route, component, "{failure}");
        }
        Failure::NoInstance { .. } | Failure::NoAnswer { .. } => {
            tracing::warn!(%request_id, %route, component, "{failure}");
        }
    }
}
