//! `GET /`, health, readiness and metrics.

use super::answer::{AdminBody, Answer, JSON, json, respond};
use super::endpoints::Endpoint;
use crate::admission::Admission;
use crate::key_metrics;
use crate::messages::{Standing, Unsubscribed};
use crate::metrics::Metrics;
use crate::release_metrics;
use crate::versions::{self, Snapshot};
use bobbin_keys::Keys;
use bobbin_release::{Readiness, Releases, Unready};
use http::{HeaderValue, StatusCode};
use prometheus_client::encoding::text::encode_eof;
use std::fmt;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

pub(super) fn index() -> Answer {
    let endpoints = Endpoint::ALL.map(|endpoint| (endpoint.path().to_owned(), endpoint.summary().into()));
    let endpoints: serde_json::Map<String, serde_json::Value> = endpoints.into_iter().collect();
    let index = serde_json::json!({
        "service": "bobbin",
        "openapi": Endpoint::OpenApi.path(),
        "endpoints": endpoints,
    });
    json(StatusCode::OK, &index)
}

pub(super) fn healthz() -> Answer {
    respond(StatusCode::OK, TEXT, "ok\n").map(AdminBody::Whole)
}

pub(super) fn readyz(readiness: &Readiness, unsubscribed: &[Unsubscribed], draining: bool) -> Answer {
    let unready = |unready: &Unready| {
        serde_json::json!({
            "trigger": unready.release.trigger,
            "graph": unready.release.graph,
            "bundle": unready.bundle,
            "state": unready.state,
            "reason": unready.reason,
        })
    };
    let deaf = |one: &Unsubscribed| {
        let (state, reason) = match &one.standing {
            Standing::Connecting(why) => ("connecting", why.as_deref()),
            Standing::Subscribed => ("subscribed", None),
            Standing::Lost(why) => ("lost", Some(why.as_str())),
        };
        serde_json::json!({
            "trigger": one.trigger,
            "server": one.server,
            "channel": one.channel,
            "state": state,
            "reason": reason,
        })
    };
    let ready = readiness.is_ready() && !draining && !unsubscribed.iter().any(Unsubscribed::is_unready);
    let json = serde_json::json!({
        "ready": ready,
        "draining": draining,
        "unready": readiness.0.iter().map(unready).collect::<Vec<_>>(),
        "unsubscribed": unsubscribed.iter().map(deaf).collect::<Vec<_>>(),
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond(status, JSON, json.to_string()).map(AdminBody::Whole)
}

pub(super) async fn metrics(
    metrics: &Metrics,
    admission: &Admission,
    releases: &Releases,
    keys: &Keys,
) -> Result<Answer, fmt::Error> {
    let views = releases.views();
    let versions: Vec<_> = releases.versions().iter().map(|version| Snapshot::of(version)).collect();
    let mut text = String::new();
    metrics.encode(&mut text)?;
    key_metrics::encode(&mut text, keys)?;
    versions::encode(&mut text, admission, &versions)?;
    release_metrics::encode(&mut text, &views, releases.flips())?;
    encode_eof(&mut text)?;
    Ok(respond(StatusCode::OK, OPEN_METRICS, text).map(AdminBody::Whole))
}
