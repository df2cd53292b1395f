//! The calls below `/admin/v1/releases`.

use super::answer::{Answer, json};
use super::edit::{self, Said};
use super::{Admin, Asked};
use crate::problem::Problem;
use bobbin_release::{Accepted, Change, ChangeError, ChangeView, Command, Outcome, ReleaseId, ReleaseView};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use hyper::body::Incoming;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

/// Who says that they ask: free text for the history, proof of nothing.
const ACTOR: HeaderName = HeaderName::from_static("bobbin-actor");

/// Characters of it that are kept.
const ACTOR_LENGTH: usize = 100;

#[derive(Serialize)]
struct Listed {
    releases: Vec<ReleaseView>,
}

#[derive(Serialize)]
struct History {
    history: Vec<ChangeView>,
}

/// One of the changes that an endpoint makes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Put,
    Promote,
    Rollback,
}

impl Admin {
    pub(super) async fn list_releases(&self, query: Option<&str>) -> Result<Answer, Problem> {
        edit::nothing(query)?;
        Ok(json(StatusCode::OK, &Listed { releases: self.releases.views() }))
    }

    pub(super) async fn show_release(&self, id: &str, query: Option<&str>) -> Result<Answer, Problem> {
        edit::nothing(query)?;
        let id = self.find(id)?;
        shown(self.releases.view(&id))
    }

    pub(super) async fn show_history(&self, id: &str, query: Option<&str>) -> Result<Answer, Problem> {
        let id = self.find(id)?;
        let history = self.releases.history(&id, edit::limit(query)?).await;
        let history = history.map_err(|error| Problem::of_change(&error))?;
        Ok(json(StatusCode::OK, &History { history }))
    }

    pub(super) async fn give_up_pending(&self, asked: &Asked<'_>, id: &str) -> Result<Answer, Problem> {
        edit::nothing(asked.head.uri.query())?;
        let id = self.find(id)?;
        tracing::info!(request_id = %asked.id, release = %id, who = %who(&asked.head.headers, asked.peer)?, "cancel");
        shown(self.releases.cancel(&id).await)
    }

    pub(super) async fn change(
        &self,
        asked: &Asked<'_>,
        id: &str,
        action: Action,
        body: &mut Incoming,
    ) -> Result<Answer, Problem> {
        let id = self.find(id)?;
        let waits = edit::waits(asked.head.uri.query())?;
        let who = who(&asked.head.headers, asked.peer)?;
        let body = self.read(body).await?;
        let (Said { expected_generation, why }, command) = match action {
            Action::Put => edit::put(&body).map(|(said, edit)| (said, Command::Put(edit)))?,
            Action::Promote => (edit::step(&body)?, Command::Promote),
            Action::Rollback => (edit::step(&body)?, Command::Rollback),
        };
        let change = Change { expected_generation, command, who, why };
        // On a task of its own: a client that leaves in the middle leaves no half of a change behind.
        let releases = Arc::clone(&self.releases);
        let accepted = self.tasks.spawn(async move { releases.change(&id, change).await }).await;
        match accepted.unwrap_or(Err(ChangeError::Stopping)) {
            Ok(Accepted::Committed(view)) => Ok(json(StatusCode::OK, &view)),
            Ok(Accepted::Pending(_, outcome)) if waits => self.wait(outcome).await,
            Ok(Accepted::Pending(view, _)) => Ok(json(StatusCode::ACCEPTED, &view)),
            Err(error) => Err(Problem::of_change(&error)),
        }
    }

    /// Waits for a change's end. Whoever stops waiting gives up nothing.
    async fn wait(&self, outcome: Outcome) -> Result<Answer, Problem> {
        tokio::select! {
            ended = outcome.wait() => shown(ended),
            () = self.closing.cancelled() => Err(Problem::stopping()),
        }
    }

    fn find(&self, id: &str) -> Result<ReleaseId, Problem> {
        self.releases.find(id).map_err(|error| Problem::of_change(&error))
    }
}

fn shown(view: Result<ReleaseView, ChangeError>) -> Result<Answer, Problem> {
    view.map(|view| json(StatusCode::OK, &view)).map_err(|error| Problem::of_change(&error))
}

/// Who asks, as the history says it: what they say of themselves, and where they are.
pub(super) fn who(headers: &HeaderMap, peer: IpAddr) -> Result<String, Problem> {
    let Some(actor) = headers.get(ACTOR) else { return Ok(peer.to_string()) };
    let refused = |why| Problem::invalid_header(ACTOR.as_str(), why);
    let actor = std::str::from_utf8(actor.as_bytes()).map_err(|_no_text| refused("it is not UTF-8"))?.trim();
    if actor.chars().any(char::is_control) {
        return Err(refused("it holds control characters; give one line of text"));
    }
    let cut: String = actor.chars().take(ACTOR_LENGTH).collect();
    match cut.trim_end() {
        "" => Ok(peer.to_string()),
        actor => Ok(format!("{actor} ({peer})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn named(actor: &[u8]) -> Result<String, &'static str> {
        let headers = [(ACTOR, HeaderValue::from_bytes(actor).unwrap())].into_iter().collect();
        who(&headers, IpAddr::from([127, 0, 0, 1])).map_err(|problem| problem.code)
    }

    #[test]
    fn who_asks_is_a_name_and_an_address() {
        assert_eq!(who(&HeaderMap::new(), IpAddr::from([127, 0, 0, 1])).unwrap(), "127.0.0.1");
        assert_eq!(named(b"alice").unwrap(), "alice (127.0.0.1)");
        assert_eq!(named("  Zoë of ops ".as_bytes()).unwrap(), "Zoë of ops (127.0.0.1)");
        assert_eq!(named(b"   ").unwrap(), "127.0.0.1");
        assert_eq!(named("ä".repeat(150).as_bytes()).unwrap(), format!("{} (127.0.0.1)", "ä".repeat(100)));
        for bad in [&b"a\tb"[..], "a\u{85}b".as_bytes(), b"\xff"] {
            assert_eq!(named(bad), Err("invalid_header"), "{bad:?}");
        }
    }
}
