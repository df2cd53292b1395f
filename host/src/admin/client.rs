//! The calls.

use super::error::{AdminError, Problem};
use super::events::Event;
use super::sse::{SseEvent, SseReader};
use clap::Args;
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a host on the same node, or on a node across the world, may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest name of who changes a release, in characters.
const MAX_ACTOR: usize = 100;

/// Where the host is, and what lets us in.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connection {
    /// The admin listener of the host
    #[arg(
        long, global = true, value_name = "URL", env = "BOBBIN_ADMIN", hide_env_values = true, default_value = "http://127.0.0.1:3001",
        value_parser = admin_url
    )]
    pub(crate) admin: Url,
    /// The bearer token of the admin listener
    #[arg(long, global = true, value_name = "TOKEN", env = "BOBBIN_ADMIN_TOKEN", hide_env_values = true)]
    pub(crate) admin_token: Option<String>,
}

pub(crate) fn admin_url(text: &str) -> Result<Url, String> {
    // Nothing else is spoken there.
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url: Url = whole.parse().map_err(|error| format!("{error}; write it as http://127.0.0.1:3001"))?;
    if url.scheme() != "http" || url.host().is_none() {
        return Err("the admin listener speaks plain HTTP; write it as http://127.0.0.1:3001".into());
    }
    Ok(url)
}

/// What to change of a release. What is absent stays as it is.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Edit {
    pub(crate) expected_generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stable: Option<String>,
    /// `Some(None)` removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) candidate: Option<Option<Value>>,
    /// `Some(None)` removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shadow: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keep_warm_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version_header: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// What the host answered: read, and as it came.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) document: Value,
}

/// The admin API of one host.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    client: Client,
    base: Url,
    token: Option<HeaderValue>,
    actor: Option<HeaderValue>,
}

impl Admin {
    pub(crate) fn new(connection: &Connection) -> Result<Self, AdminError> {
        // No proxy and no redirect: a token goes to the host that was named and to nobody else.
        // The admin listener speaks plain HTTP: a machine without certificates that it trusts has one, too.
        let builder = Client::builder().no_proxy().tls_certs_only([]);
        let client = builder.redirect(redirect::Policy::none()).connect_timeout(CONNECT).build();
        let client = client.map_err(|error| AdminError::transport(connection.admin.as_str(), error))?;
        let token = connection.admin_token.as_deref().filter(|token| !token.is_empty()).map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_no_cause| {
                AdminError::Request("--admin-token has characters that no token can have".into())
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { client, base: connection.admin.clone(), token: token.transpose()?, actor: actor() })
    }

    /// All releases.
    pub(crate) async fn list<T: DeserializeOwned>(&self) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::GET, &["releases"], None)).await
    }

    /// One release.
    pub(crate) async fn release<T: DeserializeOwned>(&self, id: &str) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::GET, &["releases", id], None)).await
    }

    /// The newest generations of a release.
    pub(crate) async fn history<T: DeserializeOwned>(&self, id: &str, limit: u32) -> Result<Answer<T>, AdminError> {
        let limit = format!("limit={limit}");
        self.call(self.request(Method::GET, &["releases", id, "history"], Some(&limit))).await
    }

    /// Changes a release.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        id: &str,
        edit: &Edit,
        wait: bool,
    ) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::PUT, &["releases", id], waiting(wait)).json(edit)).await
    }

    /// Does `promote` or `rollback`.
    pub(crate) async fn act<T: DeserializeOwned>(
        &self,
        id: &str,
        action: &str,
        edit: &Edit,
        wait: bool,
    ) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::POST, &["releases", id, action], waiting(wait)).json(edit)).await
    }

    /// Gives up a pending change.
    pub(crate) async fn cancel<T: DeserializeOwned>(&self, id: &str) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::DELETE, &["releases", id, "pending"], None)).await
    }

    /// All API keys.
    pub(crate) async fn keys<T: DeserializeOwned>(&self) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::GET, &["keys"], None)).await
    }

    /// Makes an API key.
    pub(crate) async fn create_key<T: DeserializeOwned>(
        &self,
        wanted: &impl Serialize,
    ) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::POST, &["keys"], None).json(wanted)).await
    }

    /// Revokes an API key.
    pub(crate) async fn revoke_key<T: DeserializeOwned>(&self, id: &str) -> Result<Answer<T>, AdminError> {
        self.call(self.request(Method::DELETE, &["keys", id], None)).await
    }

    /// What happens from now on.
    pub(crate) async fn events(&self) -> Result<EventStream, AdminError> {
        let request = self.request(Method::GET, &["events"], None).header(ACCEPT, "text/event-stream");
        let response = self.send(request).await?;
        if !has_type(&response, "text/event-stream") {
            return Err(self.strange(&response));
        }
        let chunks = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec())).boxed();
        Ok(EventStream { chunks, reader: SseReader::default(), ready: VecDeque::new() })
    }

    fn request(&self, method: Method, path: &[&str], query: Option<&str>) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // A release's id has slashes; as one segment they are escaped.
            segments.pop_if_empty().extend(["admin", "v1"]).extend(path);
        }
        url.set_query(query);
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        if let Some(actor) = &self.actor {
            request = request.header("bobbin-actor", actor);
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, AdminError> {
        let response = request.send().await.map_err(|error| self.transport(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let strange = self.strange(&response);
        if !has_type(&response, "application/problem+json") {
            return Err(strange);
        }
        let document = response.json().await.map_err(|error| self.transport(error))?;
        Err(Problem::read(status, document).map_or(strange, |problem| AdminError::Refused(Box::new(problem))))
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Answer<T>, AdminError> {
        let response = self.send(request).await?;
        let strange = self.strange(&response);
        let bytes = response.bytes().await.map_err(|error| self.transport(error))?;
        let Ok(document) = serde_json::from_slice::<Value>(&bytes) else { return Err(strange) };
        match T::deserialize(&document) {
            Ok(value) => Ok(Answer { value, document }),
            Err(error) => Err(AdminError::Strange { url: self.base.to_string(), what: error.to_string() }),
        }
    }

    fn transport(&self, error: reqwest::Error) -> AdminError {
        AdminError::transport(self.base.as_str(), error.without_url())
    }

    fn strange(&self, response: &Response) -> AdminError {
        let kind =
            response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type");
        let what = format!("HTTP status {}, {kind}", response.status().as_u16());
        AdminError::Strange { url: self.base.to_string(), what }
    }
}

fn waiting(wait: bool) -> Option<&'static str> {
    wait.then_some("wait=ready")
}

fn has_type(response: &Response, wanted: &str) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

/// Who we are; the host adds the address.
fn actor() -> Option<HeaderValue> {
    let user = std::env::var("USER").or_else(|_unset| std::env::var("LOGNAME")).ok()?;
    let user: String = user.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_ACTOR).collect();
    let user = user.trim();
    if user.is_empty() { None } else { HeaderValue::try_from(user).ok() }
}

/// Events as they come.
pub(crate) struct EventStream {
    chunks: BoxStream<'static, Result<Vec<u8>, reqwest::Error>>,
    reader: SseReader,
    ready: VecDeque<SseEvent>,
}

impl EventStream {
    /// The next event; `None` where the stream has ended or makes no sense. Nothing is lost where the future is
    /// dropped.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event.into());
            }
            let chunk = self.chunks.next().await?.ok()?;
            let mut events = Vec::new();
            self.reader.push(&chunk, &mut events).ok()?;
            self.ready.extend(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(url: &str) -> Admin {
        bobbin_images::provide_tls();
        Admin::new(&Connection { admin: admin_url(url).unwrap(), admin_token: Some("secret".into()) }).unwrap()
    }

    #[test]
    fn a_release_is_one_segment_of_the_path_whatever_is_in_its_name() {
        for (base, prefix) in [("http://127.0.0.1:3001", ""), ("http://node/behind/", "/behind")] {
            let request = admin(base).request(Method::GET, &["releases", "http:/story/..:a:b"], None).build().unwrap();
            assert_eq!(request.url().path(), format!("{prefix}/admin/v1/releases/http:%2Fstory%2F..:a:b"));
        }
    }

    #[test]
    fn the_token_goes_with_every_request_and_is_not_shown() {
        let request = admin("http://127.0.0.1:3001").request(Method::GET, &["events"], None).build().unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
    }

    #[test]
    fn an_address_that_is_not_plain_http_is_refused_with_one_that_is() {
        assert_eq!(admin_url("127.0.0.1:3001").unwrap().as_str(), "http://127.0.0.1:3001/");
        for wrong in ["https://127.0.0.1:3001", "", "a b:3001", "http://"] {
            assert!(admin_url(wrong).unwrap_err().contains("http://127.0.0.1:3001"), "{wrong}");
        }
    }

    #[test]
    fn an_edit_says_only_what_it_changes_and_null_where_it_removes() {
        let edit = Edit { expected_generation: 3, candidate: Some(None), ..Edit::default() };
        assert_eq!(serde_json::to_string(&edit).unwrap(), r#"{"expected_generation":3,"candidate":null}"#);
    }
}
