//! The admin listener.
//!
//! | endpoint | answers |
//! |---|---|
//! | `GET /` | this list, as JSON |
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 when every declared release answers; else 503, with each that does not and why |
//! | `GET /metrics` | metrics in the OpenMetrics text format |
//!
//! With a token, every request needs `Authorization: Bearer <token>`. Errors are problem details (RFC 9457).

use crate::admission::Admission;
use crate::app::App;
use crate::metrics::Metrics;
use crate::problem::{Problem, REQUEST_ID};
use crate::versions::{self, Snapshot};
use bobbin_inference::RequestId;
use bobbin_release::{Readiness, Releases};
use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use prometheus_client::encoding::text::encode_eof;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the admin listener serves.
pub(crate) struct Admin {
    releases: Arc<Releases>,
    metrics: Arc<Metrics>,
    admission: Arc<Admission>,
    token: Option<Arc<str>>,
    /// Cancelled once the host stops.
    stop: CancellationToken,
}

impl Admin {
    pub(crate) fn new<H>(app: &App<H>, token: Option<Arc<str>>, stop: CancellationToken) -> Self {
        Self {
            releases: Arc::clone(&app.releases),
            metrics: Arc::clone(&app.metrics),
            admission: Arc::clone(&app.admission),
            token,
            stop,
        }
    }

    /// Answers one request; its body is of no interest.
    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let id = RequestId::new();
        let mut response = match self.allowed(request.headers()) {
            true => self.route(request, &id),
            false => unauthorized(&id),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }

    fn route<B>(&self, request: &Request<B>, id: &RequestId) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let endpoint: fn(&Self, &RequestId) -> Response<Full<Bytes>> = match path {
            "/" => |_, _| index(),
            "/healthz" => |_, _| respond(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => |admin, _| readyz(&admin.releases.readiness(), admin.stop.is_cancelled()),
            "/metrics" => Self::metrics,
            _ => {
                let detail = format!("the admin listener has no {path}; GET / lists what it has");
                return Problem::new(StatusCode::NOT_FOUND, "no_endpoint", detail).into_response(id);
            }
        };
        if request.method() == Method::GET || request.method() == Method::HEAD {
            return endpoint(self, id);
        }
        let detail = format!("{path} answers GET and HEAD, not {}", request.method());
        let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response(id);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        response
    }

    fn metrics(&self, id: &RequestId) -> Response<Full<Bytes>> {
        match self.render() {
            Ok(text) => respond(StatusCode::OK, OPEN_METRICS, text),
            Err(error) => {
                tracing::error!(request_id = %id, %error, "the metrics could not be written");
                let detail = "the metrics could not be written; the host's log says more under this request id";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response(id)
            }
        }
    }

    fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let versions: Vec<_> = self.releases.versions().iter().map(|version| Snapshot::of(version)).collect();
        self.metrics.encode(&mut text)?;
        versions::encode(&mut text, &self.admission, &versions)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    fn allowed(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let given = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        given.is_some_and(|given| same(given, token.as_bytes()))
    }
}

/// The token of `Bearer <token>`; the scheme's name is not case-sensitive.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Compares in a time that does not tell where the first difference is.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given.iter().zip(wanted).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    given.len() == wanted.len() && differences == 0
}

fn unauthorized(id: &RequestId) -> Response<Full<Bytes>> {
    let detail = "send the admin token as \"Authorization: Bearer <token>\"";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response(id);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn index() -> Response<Full<Bytes>> {
    let index = serde_json::json!({
        "service": "bobbin",
        "endpoints": {
            "/healthz": "200 while the process lives",
            "/readyz": "200 when every declared release answers",
            "/metrics": "metrics in the OpenMetrics text format",
        },
    });
    respond(StatusCode::OK, JSON, index.to_string())
}

pub(crate) fn readyz(readiness: &Readiness, draining: bool) -> Response<Full<Bytes>> {
    let unready = |unready: &bobbin_release::Unready| {
        serde_json::json!({
            "trigger": unready.release.trigger,
            "graph": unready.release.graph,
            "bundle": unready.bundle,
            "state": unready.state,
            "reason": unready.reason,
        })
    };
    let ready = readiness.is_ready() && !draining;
    let json = serde_json::json!({
        "ready": ready,
        "draining": draining,
        "unready": readiness.0.iter().map(unready).collect::<Vec<_>>(),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(status, JSON, json.to_string())
}

fn respond(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
