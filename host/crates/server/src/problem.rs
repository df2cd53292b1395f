//! Answers that the host gives itself, as problem details (RFC 9457).
//!
//! Two audiences read an error: the client gets what it can act on and a request id; the log gets the rest under
//! the same id. What a component did wrong inside is for the log alone. Every status that the host decides is
//! decided here, but for those of the admin API, which are in `admin::problems`.

use crate::spin_headers::TargetError;
use bobbin_inference::{Cause, RequestId};
use bobbin_runtime::Failure;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

/// Names the request in every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("bobbin-request-id");

/// An error, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// The machine-readable reason.
    pub(crate) code: &'static str,
    /// What, why, and the next step.
    pub(crate) detail: String,
    /// The same request may succeed after so many seconds.
    pub(crate) retry_after: Option<u32>,
    /// What a change of a release collided with.
    pub(crate) current_generation: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None, current_generation: None }
    }

    pub(crate) fn retry(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_route", format!("no route of this application matches {path}"))
    }

    pub(crate) fn bad_target(error: &TargetError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_target", error.to_string())
    }

    pub(crate) fn over_capacity(limit: usize) -> Self {
        let detail = format!("the host is working on {limit} requests, as many as it may; try again soon");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "over_capacity", detail).retry(1)
    }

    pub(crate) fn body_too_large(length: Option<u64>, limit: u64) -> Self {
        let detail = match length {
            Some(length) => format!("the body has {length} bytes; the limit is {limit} bytes"),
            None => format!("the body has more than {limit} bytes, which is the limit"),
        };
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(crate) fn broken_body(reason: &str) -> Self {
        let detail = format!("the request's body could not be read: {reason}; send it again, whole");
        Self::new(StatusCode::BAD_REQUEST, "broken_body", detail)
    }

    pub(crate) fn many_hosts(count: usize) -> Self {
        let detail = format!("the request has {count} host headers; send one");
        Self::new(StatusCode::BAD_REQUEST, "many_hosts", detail)
    }

    pub(crate) fn target_too_long(length: usize, limit: usize) -> Self {
        let detail = format!("the request's target has {length} bytes; the limit is {limit} bytes");
        Self::new(StatusCode::URI_TOO_LONG, "target_too_long", detail)
    }

    pub(crate) fn headers_too_large(length: usize, limit: usize) -> Self {
        let detail = format!("the request's headers have {length} bytes; the limit is {limit} bytes");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail)
    }

    /// The answer to a request that a component did not answer.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::NoInstance { .. } => {
                let detail = "the host has no room for another instance of the component; try again soon";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_instance", detail).retry(1)
            }
            Failure::NoAnswer { cause, .. } => Self::of_cause(cause),
        }
    }

    pub(crate) fn of_cause(cause: &Cause) -> Self {
        let code = cause_code(cause);
        match cause {
            // Nobody reads this one: the connection is gone. Its status is for the log.
            Cause::ClientGone => Self::new(client_closed(), code, "the client closed its connection"),
            Cause::DeadlineExceeded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, code, "the component did not answer before the deadline")
            }
            Cause::CpuBudgetExceeded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, code, "the component used more CPU time than it may")
            }
            Cause::GuestTrapped(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                code,
                "the component crashed; the host's log says more under this request id",
            ),
            Cause::GuestFailed(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                code,
                "the component gave no answer; the host's log says more under this request id",
            ),
            Cause::HostStopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, "the host is stopping; try again soon").retry(1)
            }
            Cause::VersionRetired => {
                let detail = "the model version that was answering has retired; ask again, and its successor answers";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry(1)
            }
        }
    }

    /// As a response.
    pub(crate) fn into_response(self, id: &RequestId) -> Response<Full<Bytes>> {
        let mut json = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Client Closed Request"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": id.as_str(),
        });
        if let (Some(current), Some(json)) = (self.current_generation, json.as_object_mut()) {
            json.insert("current_generation".to_owned(), current.into());
        }
        let mut response = Response::new(Full::new(Bytes::from(json.to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The status by which access logs name a client that left: it has no standard name.
pub(crate) fn client_closed() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// A cause without its message: a label in metrics, a `code` in answers.
pub(crate) fn cause_code(cause: &Cause) -> &'static str {
    match cause {
        Cause::ClientGone => "client_gone",
        Cause::DeadlineExceeded => "deadline_exceeded",
        Cause::CpuBudgetExceeded => "cpu_budget_exceeded",
        Cause::GuestTrapped(_) => "guest_trapped",
        Cause::GuestFailed(_) => "guest_failed",
        Cause::HostStopping => "host_stopping",
        Cause::VersionRetired => "version_retired",
    }
}
