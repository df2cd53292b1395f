//! The admin listener: health, readiness, metrics, and the API that changes releases and keys.
//!
//! `GET /` lists what it has, and is the console for a browser; `openapi.json` beside this file is its contract. With a token, every request needs
//! `Authorization: Bearer <token>`; who is answered without one is decided in `auth`. Errors are problem details
//! (RFC 9457).

mod answer;
pub(crate) mod application;
mod auth;
mod bundles;
mod console;
mod edit;
pub(crate) mod endpoints;
mod events;
mod keys;
mod listing;
mod openapi;
pub(crate) mod playground;
mod problems;
mod releases;
mod series;
mod workers;

use crate::admission::Admission;
use crate::app::App;
use crate::body::discard;
use crate::connection::{Connection, Held};
use crate::messages::Unsubscribed;
use crate::metrics::Metrics;
use crate::problem::{Problem, REQUEST_ID};
use answer::{AdminBody, Answer};
use application::ApplicationView;
use auth::Gate;
use bobbin_inference::{RequestContext, RequestId};
use bobbin_keys::{Keys, Known};
use bobbin_release::Releases;
use endpoints::Endpoint;
use events::{KEEP_ALIVE, SUBSCRIBERS, Stream, Subscriber};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPECT, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use releases::Action;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use workers::written;

/// Bytes of a request's body: many times what any change takes.
const BODY_BYTES: usize = 64 << 10;

/// Says which routes and models there are now.
type Inventory = Box<dyn Fn() -> Known + Send + Sync>;

/// What the listener knows of the application through others.
pub(crate) struct Outside {
    /// Which routes and models there are now.
    pub(crate) known: Inventory,
    /// The triggers that no message comes to.
    pub(crate) unsubscribed: Box<dyn Fn() -> Vec<Unsubscribed> + Send + Sync>,
    /// What is served now.
    pub(crate) application: Box<dyn Fn() -> ApplicationView + Send + Sync>,
    /// Makes the context of a prompt that somebody tries out.
    pub(crate) context: Box<dyn Fn(RequestId) -> RequestContext + Send + Sync>,
}

/// What the admin listener serves.
pub(crate) struct Admin {
    releases: Arc<Releases>,
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
    keys: Arc<Keys>,
    outside: Outside,
    gate: Gate,
    /// For clients that follow the events.
    places: Arc<Semaphore>,
    /// For prompts that somebody tries out.
    playground: Arc<Semaphore>,
    body_timeout: Duration,
    tasks: TaskTracker,
    /// Cancelled once the host stops.
    stop: CancellationToken,
    /// Cancelled once the listener closes, which is later.
    closing: CancellationToken,
}

/// A request, as far as its body is not concerned.
struct Asked<'a> {
    id: &'a RequestId,
    peer: IpAddr,
    head: &'a request::Parts,
    /// Keeps the connection while the request is being answered.
    held: Held,
}

impl Admin {
    pub(crate) fn new<H>(
        app: &App<H>,
        token: Option<Arc<str>>,
        outside: Outside,
        tasks: TaskTracker,
        stop: CancellationToken,
        closing: CancellationToken,
    ) -> Self {
        Self {
            releases: Arc::clone(&app.releases),
            metrics: Arc::clone(&app.metrics),
            admission: Arc::clone(&app.admission),
            keys: Arc::clone(app.keys.last()),
            outside,
            gate: Gate::new(token),
            places: Arc::new(Semaphore::new(SUBSCRIBERS)),
            playground: Arc::new(Semaphore::new(playground::PLACES)),
            body_timeout: app.limits.header_timeout,
            tasks,
            stop,
            closing,
        }
    }

    /// Answers one request. Every answer names it.
    pub(crate) async fn answer(self: Arc<Self>, connection: Arc<Connection>, request: Request<Incoming>) -> Answer {
        connection.begin();
        let (head, mut body) = request.into_parts();
        let (id, peer) = (RequestId::new(), connection.peer.ip().to_canonical());
        let waits_for_continue = head.headers.contains_key(EXPECT);
        let asked = Asked { id: &id, peer, head: &head, held: connection.hold() };
        let mut response = match self.route(asked, &mut body).await {
            Ok(response) => response,
            Err(problem) => refuse(problem, &head, &id),
        };
        log(&id, peer, &head, response.status());
        // Reading on would ask a client that waits for "100 Continue" to send what nobody wants.
        if !waits_for_continue {
            discard(body, &self.tasks);
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }

    async fn route(&self, asked: Asked<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
        if let Some(page) = console::find(asked.head) {
            self.gate.check_page(asked.head)?;
            return Ok(page.answer());
        }
        self.gate.check(asked.head)?;
        let (path, query, method) = (asked.head.uri.path(), asked.head.uri.query(), &asked.head.method);
        let (endpoint, id) = Endpoint::find(path).ok_or_else(|| Problem::no_endpoint(path))?;
        if !endpoint.allows(method) {
            return Err(Problem::method_not_allowed(path, method, endpoint.allowed()));
        }
        match endpoint {
            Endpoint::Index => Ok(listing::index()),
            Endpoint::Healthz => Ok(listing::healthz()),
            Endpoint::Readyz => {
                let (readiness, unsubscribed) = (self.releases.readiness(), (self.outside.unsubscribed)());
                Ok(listing::readyz(&readiness, &unsubscribed, self.stop.is_cancelled()))
            }
            Endpoint::Metrics => {
                let metrics = listing::metrics(&self.metrics, &self.admission, &self.releases, &self.keys).await;
                metrics.map_err(|error| internal(asked.id, "the metrics could not be written", &error))
            }
            Endpoint::Release if method == Method::PUT => self.change(&asked, &id, Action::Put, body).await,
            Endpoint::Promote => self.change(&asked, &id, Action::Promote, body).await,
            Endpoint::Rollback => self.change(&asked, &id, Action::Rollback, body).await,
            Endpoint::History => self.show_history(&id, query).await,
            Endpoint::Events => self.follow(asked),
            Endpoint::Bundles => bundles::list(&self.releases, query).await,
            Endpoint::Releases => self.list_releases(query).await,
            Endpoint::Release => self.show_release(&id, query).await,
            Endpoint::Pending => self.give_up_pending(&asked, &id).await,
            Endpoint::Application => application::show(&(self.outside.application)(), &self.admission, query),
            Endpoint::Workers => workers::list(&self.releases, &self.metrics, query),
            Endpoint::Series => series::show(&self.metrics, query),
            Endpoint::Playground => self.play(asked, body).await,
            Endpoint::Keys if method == Method::POST => self.create_key(&asked, body).await,
            Endpoint::Keys => self.list_keys(query).await,
            Endpoint::Key => self.revoke_key(&asked, &id).await,
            Endpoint::OpenApi => openapi::answer(self.metrics.version())
                .map_err(|error| internal(asked.id, "the OpenAPI document could not be written", &error)),
        }
    }

    fn follow(&self, asked: Asked<'_>) -> Result<Answer, Problem> {
        let after = events::after(&asked.head.headers, asked.head.uri.query())?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_all_taken| Problem::too_many_subscribers(SUBSCRIBERS))?;
        let stream = Stream::new(Subscriber {
            subscription: self.releases.subscribe(after),
            closing: self.closing.clone(),
            keep_alive: KEEP_ALIVE,
            held: asked.held,
            _place: place,
        });
        let mut response = Response::new(AdminBody::Events(stream));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }

    /// The body of a change, within bounds of size and time.
    async fn read(&self, body: &mut Incoming) -> Result<Vec<u8>, Problem> {
        let too_large = |length| Problem::body_too_large(length, BODY_BYTES as u64);
        if let Some(length) = body.size_hint().exact().filter(|length| *length > BODY_BYTES as u64) {
            return Err(too_large(Some(length)));
        }
        let reading = async {
            let mut bytes = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| Problem::broken_body(&error.to_string()))?;
                let Some(data) = frame.data_ref() else { continue };
                if bytes.len() + data.len() > BODY_BYTES {
                    return Err(too_large(None));
                }
                bytes.extend_from_slice(data);
            }
            Ok(bytes)
        };
        let read = tokio::time::timeout(self.body_timeout, reading).await;
        read.unwrap_or_else(|_elapsed| Err(Problem::slow_body(self.body_timeout.as_secs())))
    }
}

/// The log's half of an error; the client's half is what this returns.
fn internal(id: &RequestId, what: &str, error: &dyn Display) -> Problem {
    tracing::error!(request_id = %id, %error, "{what}");
    Problem::internal(what)
}

fn refuse(problem: Problem, head: &request::Parts, id: &RequestId) -> Answer {
    let status = problem.status;
    let mut response = problem.into_response(id).map(AdminBody::Whole);
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let found = Endpoint::find(head.uri.path()).filter(|_| status == StatusCode::METHOD_NOT_ALLOWED);
    if let Some((endpoint, _)) = found {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(endpoint.allowed()));
    }
    response
}

/// What reads is of no interest; what means to change something leaves a line, whatever became of it.
fn log(id: &RequestId, peer: IpAddr, head: &request::Parts, status: StatusCode) {
    if head.method != Method::GET && head.method != Method::HEAD {
        let (method, path) = (&head.method, head.uri.path());
        tracing::info!(target: "bobbin::admin", request_id = %id, %peer, %method, path, status = status.as_u16(), "request");
    }
}
