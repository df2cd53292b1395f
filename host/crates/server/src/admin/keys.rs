//! The calls below `/admin/v1/keys`.
//!
//! They change the same file that `bobbin key` changes, in the same way. The answer to a POST is the one place where a
//! key is ever shown.

use super::answer::{Answer, json};
use super::edit;
use super::releases::who;
use super::{Admin, Asked};
use crate::problem::Problem;
use bobbin_keys::{ChangeError, FileError, KeyId, View, Wanted};
use http::StatusCode;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Serialize)]
struct Listed {
    keys: Vec<View>,
}

#[derive(Serialize)]
struct Created<'a> {
    key: &'a View,
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

#[derive(Serialize)]
struct Revoked<'a> {
    #[serde(flatten)]
    key: &'a View,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// Tells whoever runs the host, and whoever asked, that a change which was made may be lost.
fn warning(unsynced: Option<&FileError>) -> Option<String> {
    let error = unsynced?;
    tracing::warn!("{error}");
    Some(error.to_string())
}

impl Admin {
    pub(super) async fn list_keys(&self, query: Option<&str>) -> Result<Answer, Problem> {
        edit::nothing(query)?;
        let keys = Arc::clone(&self.keys);
        let views = blocking(move || keys.views()).await?.map_err(|error| Problem::unreadable_keys(&error))?;
        Ok(json(StatusCode::OK, &Listed { keys: views }))
    }

    pub(super) async fn create_key(&self, asked: &Asked<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
        edit::nothing(asked.head.uri.query())?;
        let who = who(&asked.head.headers, asked.peer)?;
        let wanted = wanted(&self.read(body).await?)?;
        let (keys, known) = (Arc::clone(&self.keys), (self.outside.known)());
        let created = blocking(move || keys.create(wanted, Some(&known))).await?;
        let created = created.map_err(|error| Problem::of_keys(&error))?;
        tracing::info!(target: "bobbin::admin", request_id = %asked.id, key = %created.key.id, %who, "a key was made");
        let warning = warning(created.unsynced.as_ref());
        Ok(json(StatusCode::CREATED, &Created { key: &created.key, token: created.token.reveal(), warning }))
    }

    pub(super) async fn revoke_key(&self, asked: &Asked<'_>, id: &str) -> Result<Answer, Problem> {
        edit::nothing(asked.head.uri.query())?;
        let who = who(&asked.head.headers, asked.peer)?;
        let id: KeyId = id.parse().map_err(|_no_id| Problem::no_key())?;
        let (keys, revoked) = (Arc::clone(&self.keys), id.clone());
        let revoked = blocking(move || keys.revoke(&revoked)).await?.map_err(|error| Problem::of_keys(&error))?;
        tracing::info!(target: "bobbin::admin", request_id = %asked.id, key = %id, %who, "a key was revoked");
        let warning = warning(revoked.unsynced.as_ref());
        Ok(json(StatusCode::OK, &Revoked { key: &revoked.key, warning }))
    }
}

/// What waits for the disk does it on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|lost| {
        tracing::error!(%lost, "the keys could not be looked at");
        Problem::internal("the keys could not be looked at")
    })
}

fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    let refused = |why: &dyn std::fmt::Display| {
        Problem::invalid_body(&format!(r#"{why}; send JSON such as {{"name":"a team"}}"#))
    };
    let wanted = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    // serde takes an array for the values of an object's keys, in an order that is nobody's contract.
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.is_array() => Err(refused(&"an array stands where an object should")),
        _ => Ok(wanted),
    }
}

impl Problem {
    fn of_keys(error: &ChangeError) -> Self {
        match error {
            ChangeError::Unreadable(error) => Self::unreadable_keys(error),
            ChangeError::NotPersisted(error) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "not_persisted", error.to_string())
            }
            ChangeError::Wanted(error) => Self::invalid_change(&error.to_string()),
            ChangeError::Full(_) => Self::invalid_change(&error.to_string()),
            ChangeError::Unknown { .. } => Self::new(StatusCode::NOT_FOUND, "unknown_key", error.to_string()),
            ChangeError::Random(error) => {
                tracing::error!(%error, "no random bytes");
                Self::internal("the system gives no random bytes")
            }
        }
    }

    /// What was asked for has not the form of an id. It is not repeated: it may be a secret.
    pub(super) fn no_key() -> Self {
        let detail = "there is no such key: an id is eight characters; GET /admin/v1/keys lists those that there are";
        Self::new(StatusCode::NOT_FOUND, "unknown_key", detail)
    }

    pub(super) fn unreadable_keys(error: &FileError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable_keys", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_keys::WantedError;

    #[test]
    fn each_reason_not_to_change_keys_has_its_status() {
        let file = || FileError::Busy { path: "keys.json".into() };
        let id: KeyId = "abcd2345".parse().unwrap();
        for (error, status, code) in [
            (ChangeError::Unreadable(file()), 500, "unreadable_keys"),
            (ChangeError::NotPersisted(file()), 507, "not_persisted"),
            (ChangeError::Wanted(WantedError::Name), 422, "invalid_change"),
            (ChangeError::Full(3), 422, "invalid_change"),
            (ChangeError::Unknown { id, help: "why".into() }, 404, "unknown_key"),
        ] {
            let problem = Problem::of_keys(&error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code), "{error}");
        }
    }

    #[test]
    fn a_body_that_is_not_understood_is_refused_with_its_place() {
        for (body, part) in [
            ("", "EOF"),
            ("[]", "an object with a name"),
            (r#"["a team"]"#, "an array stands where an object should"),
            ("{}", "missing field `name`"),
            (r#"{"name":"a","modles":["story"]}"#, "unknown field `modles`"),
            (r#"{"name":"a","models":"story"}"#, "line 1"),
            (r#"{"name":"a","requests_per_minute":-1}"#, "expected u32"),
            (r#"{"name":"a","expires":"soon"}"#, "is no moment"),
        ] {
            let problem = wanted(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code, "invalid_body", "{body}");
            assert!(problem.detail.contains(part), "{body}: {}", problem.detail);
        }
        assert_eq!(wanted(br#"{"name":"a team"}"#).unwrap().name, "a team");
    }
}
