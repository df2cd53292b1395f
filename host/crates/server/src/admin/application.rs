//! `GET /admin/v1/application`: what is served, and under which routes.

use super::answer::{Answer, json};
use super::edit;
use crate::access::KeyPolicy;
use crate::admission::Admission;
use crate::problem::Problem;
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

/// The application as it is served now.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ApplicationView {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) host_version: String,
    /// When this host started to serve.
    pub(crate) since: String,
    pub(crate) routes: Vec<RouteView>,
}

/// A trigger and who answers it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RouteView {
    /// Id of the trigger.
    pub(crate) trigger: Arc<str>,
    /// What the trigger listens to: `http` for requests, `redis` for messages.
    pub(crate) kind: &'static str,
    /// The route as the manifest writes it, or the channel; `None` where only other components may ask.
    pub(crate) path: Option<String>,
    /// The component; `None` where the host answers itself.
    pub(crate) component: Option<Arc<str>>,
    /// Whether it demands a key.
    pub(crate) keys: &'static str,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    application: &'a ApplicationView,
    in_flight: usize,
    in_flight_limit: usize,
}

/// The word for a policy.
pub(crate) fn keys(policy: KeyPolicy) -> &'static str {
    match policy {
        KeyPolicy::None => "none",
        KeyPolicy::Required => "required",
        KeyPolicy::LoopbackOpen => "loopback_open",
    }
}

pub(super) fn show(
    application: &ApplicationView,
    admission: &Admission,
    query: Option<&str>,
) -> Result<Answer, Problem> {
    edit::nothing(query)?;
    let (in_flight, in_flight_limit) = (admission.in_flight(), admission.limit());
    Ok(json(StatusCode::OK, &Shown { application, in_flight, in_flight_limit }))
}
