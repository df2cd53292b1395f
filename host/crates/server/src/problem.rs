//! Answers that the host gives itself, as problem details (RFC 9457).
//!
//! Two audiences read an error: the client gets what it can act on and a request id; the log gets the rest under
//! the same id. What a component did wrong inside is for the log alone. Every status that the host decides is
//! decided here, but for those of the admin API, which are in `admin::problems`.

use crate::access::ErrorStyle;
use crate::spin_headers::TargetError;
use bobbin_inference::{Cause, RequestId};
use bobbin_runtime::Failure;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::time::Duration;

/// Names the request in every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("bobbin-request-id");

/// Names it once more where OpenAI's clients look for it.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The same as `retry-after`, more exactly; OpenAI's clients look at it first.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

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
    /// The same in milliseconds, where it is known so well.
    pub(crate) retry_after_ms: Option<u64>,
    /// How a client may prove who it is.
    pub(crate) challenge: Option<&'static str>,
    /// What a change of a release collided with.
    pub(crate) current_generation: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (retry_after, retry_after_ms, challenge, current_generation) = (None, None, None, None);
        Self { status, code, detail: detail.into(), retry_after, retry_after_ms, challenge, current_generation }
    }

    /// The same request may succeed after this time.
    pub(crate) fn retry_in(self, wait: Duration) -> Self {
        let milliseconds = wait.as_nanos().div_ceil(1_000_000).max(1);
        let seconds = u32::try_from(milliseconds.div_ceil(1000)).unwrap_or(u32::MAX);
        Self { retry_after_ms: u64::try_from(milliseconds).ok(), ..self.retry(seconds) }
    }

    pub(crate) fn challenged(self, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..self }
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

    pub(crate) fn body_timeout(patience: Duration) -> Self {
        let seconds = patience.as_secs_f64();
        let detail = format!("nothing of the request's body came for {seconds} s; send it again, without pauses");
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
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

    /// As a response, in the form that programs of today read.
    pub(crate) fn into_response(self, id: &RequestId) -> Response<Full<Bytes>> {
        self.styled(ErrorStyle::Problem, id)
    }

    /// As a response of a route that says no in this form.
    pub(crate) fn styled(self, style: ErrorStyle, id: &RequestId) -> Response<Full<Bytes>> {
        let (kind, text) = match style {
            ErrorStyle::Problem => ("application/problem+json", self.details(id).to_string()),
            ErrorStyle::OpenAi => ("application/json", self.openai().to_string()),
            ErrorStyle::Plain => ("text/plain; charset=utf-8", format!("{}\n", self.detail)),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(milliseconds) = self.retry_after_ms {
            headers.insert(RETRY_AFTER_MS, milliseconds.into());
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    fn details(&self, id: &RequestId) -> Value {
        let mut json = json!({
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
        json
    }

    /// OpenAI's error object. Its clients go by the status, and people by the words that they know from there.
    fn openai(&self) -> Value {
        let (kind, code) = match (self.status, self.code) {
            (StatusCode::UNAUTHORIZED, _) => ("invalid_request_error", "invalid_api_key"),
            (StatusCode::TOO_MANY_REQUESTS, "tokens_per_minute") => ("tokens", "rate_limit_exceeded"),
            (StatusCode::TOO_MANY_REQUESTS, _) => ("requests", "rate_limit_exceeded"),
            (status, code) if status.is_server_error() => ("server_error", code),
            (_, code) => ("invalid_request_error", code),
        };
        json!({ "error": { "message": self.detail, "type": kind, "param": null, "code": code } })
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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn told(problem: Problem, style: ErrorStyle) -> (http::response::Parts, String) {
        let (head, body) = problem.styled(style, &RequestId::new()).into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (head, text)
    }

    #[tokio::test]
    async fn a_refusal_says_the_same_in_every_form() {
        let problem = || {
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "tokens_per_minute", "not so fast");
            problem.retry_in(Duration::from_micros(1_500_100)).challenged("Bearer")
        };
        for (style, kind) in [
            (ErrorStyle::Problem, "application/problem+json"),
            (ErrorStyle::OpenAi, "application/json"),
            (ErrorStyle::Plain, "text/plain; charset=utf-8"),
        ] {
            let (head, text) = told(problem(), style).await;
            assert_eq!(head.status, 429);
            let headers = ["content-type", "retry-after", "retry-after-ms", "www-authenticate"];
            assert_eq!(headers.map(|name| head.headers[name].to_str().unwrap()), [kind, "2", "1501", "Bearer"]);
            assert!(text.contains("not so fast"), "{text}");
        }
        assert_eq!(told(problem(), ErrorStyle::Plain).await.1, "not so fast\n");
    }

    #[tokio::test]
    async fn openais_error_has_its_four_keys_and_the_words_of_its_clients() {
        for (status, code, kind, told_code) in [
            (401, "missing_key", "invalid_request_error", "invalid_api_key"),
            (401, "revoked_key", "invalid_request_error", "invalid_api_key"),
            (403, "key_out_of_scope", "invalid_request_error", "key_out_of_scope"),
            (413, "body_too_large", "invalid_request_error", "body_too_large"),
            (429, "requests_per_minute", "requests", "rate_limit_exceeded"),
            (429, "tokens_per_minute", "tokens", "rate_limit_exceeded"),
            (503, "over_capacity", "server_error", "over_capacity"),
        ] {
            let problem = Problem::new(StatusCode::from_u16(status).unwrap(), code, "why");
            let text = told(problem, ErrorStyle::OpenAi).await.1;
            let error: Value = serde_json::from_str(&text).unwrap();
            let wanted = json!({ "error": { "message": "why", "type": kind, "param": null, "code": told_code } });
            assert_eq!(error, wanted);
        }
    }
}
