//! What the admin listener refuses, and with which status.

use crate::problem::Problem;
use bobbin_release::ChangeError;
use http::StatusCode;

impl Problem {
    /// A change of a release that is not made.
    pub(crate) fn of_change(error: &ChangeError) -> Self {
        let status = match error {
            ChangeError::UnknownRelease { .. } => StatusCode::NOT_FOUND,
            ChangeError::Stale { .. }
            | ChangeError::InProgress { .. }
            | ChangeError::Superseded { .. }
            | ChangeError::NothingToPromote { .. }
            | ChangeError::NothingToRollBack { .. }
            | ChangeError::NothingPending { .. } => StatusCode::CONFLICT,
            ChangeError::UnknownBundle { .. }
            | ChangeError::Invalid { .. }
            | ChangeError::VersionFailed { .. }
            | ChangeError::DoesNotFit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ChangeError::NotPersisted { .. } => StatusCode::INSUFFICIENT_STORAGE,
            ChangeError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        let problem = Self::new(status, error.code(), error.to_string());
        let problem = if status == StatusCode::SERVICE_UNAVAILABLE { problem.retry(1) } else { problem };
        Self { current_generation: error.current_generation(), ..problem }
    }

    pub(super) fn no_endpoint(path: &str) -> Self {
        let detail = format!("the admin listener has no {path}; GET / lists what it has");
        Self::new(StatusCode::NOT_FOUND, "no_endpoint", detail)
    }

    pub(super) fn method_not_allowed(path: &str, method: &http::Method, allowed: &str) -> Self {
        let detail = format!("{path} answers {allowed}, not {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "send the admin token as \"Authorization: Bearer <token>\"";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// A browser brings the request of a page that is not ours.
    pub(super) fn cross_site(why: &str) -> Self {
        let detail = format!(
            "{why}, so a page of another site may have sent the request: what changes releases is taken from this \
             listener's own pages, and from programs, which send neither header"
        );
        Self::new(StatusCode::FORBIDDEN, "cross_site", detail)
    }

    /// A name that may have been pointed at this machine to get past a browser's rules.
    pub(super) fn unexpected_host(host: &str) -> Self {
        let detail = format!(
            "the request is for host {host:?}, and without a token this listener answers to localhost and loopback \
             addresses alone, since any other name could be a web page's trick; use http://localhost, or give \
             --admin-token a secret"
        );
        Self::new(StatusCode::FORBIDDEN, "unexpected_host", detail)
    }

    pub(super) fn invalid_body(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", format!("the body cannot be read: {why}"))
    }

    pub(super) fn invalid_query(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", format!("the query cannot be read: {why}"))
    }

    pub(super) fn invalid_header(name: &str, why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_header", format!("the header {name} cannot be read: {why}"))
    }

    pub(super) fn invalid_change(why: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_change", why)
    }

    pub(super) fn slow_body(seconds: u64) -> Self {
        let detail = format!("the body did not arrive within {seconds} seconds; send it at once");
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail)
    }

    pub(super) fn too_many_subscribers(limit: usize) -> Self {
        let detail = format!("{limit} clients follow the events already, as many as may; close one, or try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_subscribers", detail).retry(5)
    }

    pub(super) fn playground_full(limit: usize) -> Self {
        let detail = format!("{limit} prompts are being tried out, as many as may be; try again when one has ended");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "playground_full", detail).retry(1)
    }

    pub(super) fn invalid_prompt(why: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_prompt", why)
    }

    /// The version has no role in which it could answer.
    pub(super) fn not_live(release: &str, bundle: &str) -> Self {
        let detail = format!(
            "{bundle:?} is not live in {release}: what can be tried out is its stable version, its candidate, and the \
             previous version while it is kept warm"
        );
        Self::new(StatusCode::CONFLICT, "version_not_live", detail)
    }

    pub(super) fn version_unavailable(why: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "version_unavailable", why).retry(1)
    }

    pub(super) fn stopping() -> Self {
        Self::of_change(&ChangeError::Stopping)
    }

    pub(super) fn unreadable_repository(why: &str) -> Self {
        let detail = format!("the repository of bundles cannot be listed: {why}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_repository", detail)
    }

    /// The client's half of an error whose other half is in the log.
    pub(super) fn internal(what: &str) -> Self {
        let detail = format!("{what}; the host's log says more under this request id");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::openapi::document;
    use crate::tests::schema::Schemas;
    use bobbin_inference::RequestId;
    use bobbin_keys::FileError;
    use bobbin_release::{Refusal, ReleaseId, StoreError};
    use http_body_util::BodyExt;
    use std::collections::BTreeSet;

    fn changes() -> Vec<(ChangeError, u16)> {
        let id = ReleaseId { trigger: "http:/story:tales".into(), graph: "story".into() };
        let (bundle, reason) = (|| "s@1.0.0".into(), || "why".to_owned());
        let invalid = Refusal::IsStable { bundle: bundle(), role: "shadow" };
        let source = StoreError::Unfit { path: "releases.sqlite".into(), what: "is full".to_owned() };
        vec![
            (ChangeError::UnknownRelease { asked: reason(), known: reason() }, 404),
            (ChangeError::Stale { id: id.clone(), expected: 1, current: 2 }, 409),
            (ChangeError::InProgress { id: id.clone(), who: reason(), current: 2 }, 409),
            (ChangeError::Superseded { id: id.clone(), why: "why", current: 2 }, 409),
            (ChangeError::NothingToPromote { id: id.clone(), refusal: Refusal::NothingToPromote }, 409),
            (ChangeError::NothingToRollBack { id: id.clone(), refusal: Refusal::NothingToRollBack }, 409),
            (ChangeError::NothingPending { id: id.clone() }, 409),
            (ChangeError::UnknownBundle { bundle: bundle(), reason: reason() }, 422),
            (ChangeError::Invalid { id: id.clone(), refusal: invalid }, 422),
            (ChangeError::VersionFailed { id: id.clone(), bundle: bundle(), reason: reason() }, 422),
            (ChangeError::DoesNotFit { id: id.clone(), bundle: bundle(), reason: reason() }, 422),
            (ChangeError::NotPersisted { id, current: 2, source: Box::new(source) }, 507),
            (ChangeError::Stopping, 503),
        ]
    }

    fn ours() -> Vec<Problem> {
        vec![
            Problem::no_endpoint("/x"),
            Problem::method_not_allowed("/", &http::Method::PUT, "GET, HEAD"),
            Problem::unauthorized(),
            Problem::cross_site("Origin is null"),
            Problem::unexpected_host("evil.test"),
            Problem::invalid_body("why"),
            Problem::invalid_query("why"),
            Problem::invalid_header("bobbin-actor", "why"),
            Problem::invalid_change("why"),
            Problem::slow_body(30),
            Problem::too_many_subscribers(64),
            Problem::playground_full(8),
            Problem::invalid_prompt("why"),
            Problem::not_live("http:/story:tales:story", "s@1.0.0"),
            Problem::version_unavailable("why"),
            Problem::over_capacity(64),
            Problem::unreadable_repository("why"),
            Problem::internal("what"),
            Problem::no_key(),
            Problem::unreadable_keys(&FileError::Busy { path: "keys.json".into() }),
            Problem::body_too_large(None, 7),
            Problem::broken_body("why"),
        ]
    }

    #[test]
    fn each_reason_not_to_change_a_release_has_its_status() {
        for (error, status) in changes() {
            let problem = Problem::of_change(&error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, error.code()), "{error}");
            assert_eq!(problem.retry_after.is_some(), status == 503, "{error}");
            let collided = matches!(error.code(), "stale_generation" | "change_in_progress" | "superseded");
            assert_eq!(problem.current_generation == Some(2), collided || status == 507, "{error}");
        }
    }

    #[tokio::test]
    async fn the_document_knows_every_problem_and_no_others() {
        let document = document("1.2.3").unwrap();
        let schemas = Schemas(&document);
        let schema = schemas.named("Problem");
        let mut codes = BTreeSet::new();
        for problem in changes().iter().map(|(error, _)| Problem::of_change(error)).chain(ours()) {
            codes.insert(problem.code);
            let body = problem.into_response(&RequestId::new()).into_body().collect().await.unwrap().to_bytes();
            let errors = schemas.errors(schema, &serde_json::from_slice(&body).unwrap());
            assert!(errors.is_empty(), "{errors:#?}");
        }
        let known = schema["properties"]["code"]["enum"].as_array().unwrap();
        let known: BTreeSet<&str> = known.iter().map(|code| code.as_str().unwrap()).collect();
        assert_eq!(codes, known);
    }
}
