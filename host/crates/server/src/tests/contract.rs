//! The admin API against its own OpenAPI document: the listener has what the document lists and nothing else, and
//! whatever these tests ask, the answer is one that the document knows.

use super::host::{Fake, Host, get, json, send, text};
use super::schema::Schemas;
use crate::admin::endpoints::Endpoint;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;
use std::net::SocketAddr;

/// A client that holds every answer against the document.
pub(super) struct Api {
    addr: SocketAddr,
    document: Value,
    token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Got {
    /// The status and the code of a problem.
    pub(super) fn problem(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }
}

impl Api {
    pub(super) async fn new(host: &Host) -> Self {
        Self::with_token(host, None).await
    }

    pub(super) async fn with_token(host: &Host, token: Option<&str>) -> Self {
        let mut api = Self { addr: host.admin, document: Value::Null, token: token.map(str::to_owned) };
        let response = send(host.admin, api.request("GET", "/admin/v1/openapi.json", "")).await;
        api.document = json(response).await;
        api
    }

    pub(super) fn builder(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub(super) fn request(&self, method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
        self.builder(method, path).body(Full::from(body.to_owned())).unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.call("GET", path, "").await
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: &str) -> Got {
        self.ask(self.request(method, path, body)).await
    }

    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Got {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let response = send(self.addr, request).await;
        let (status, kind) = (response.status(), kind(&response));
        let body = text(response).await;
        let body = if kind.ends_with("json") { serde_json::from_str(&body).unwrap() } else { Value::from(body) };
        let known = Endpoint::find(&path).filter(|(endpoint, _)| endpoint.allowed().contains(&method));
        let content = match known {
            Some((endpoint, _)) => {
                let call = &self.document["paths"][endpoint.path()][method.to_lowercase()];
                self.followed(&call["responses"][status.as_str()])["content"].clone()
            }
            // What the listener does not have has no place in the document.
            None => self.document["components"]["responses"]["Problem"]["content"].clone(),
        };
        let schema = &content[&kind]["schema"];
        assert!(
            schema.is_object(),
            "{method} {path} answers {status} {kind}, which the document does not know: {body}"
        );
        let errors = Schemas(&self.document).errors(schema, &body);
        assert!(errors.is_empty(), "{method} {path} answers {status} {body}: {errors:#?}");
        Got { status, body }
    }

    /// Holds the data of an event against the document.
    pub(super) fn check_event(&self, kind: &str, data: &Value) {
        let schemas = Schemas(&self.document);
        let errors = schemas.errors(schemas.named(&format!("Event.{kind}")), data);
        assert!(errors.is_empty(), "event {kind} {data}: {errors:#?}");
    }

    fn followed<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            None => value,
        }
    }
}

/// The media type of an answer.
fn kind(response: &Response<Incoming>) -> String {
    let kind = response.headers()["content-type"].to_str().unwrap();
    kind.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_document_lists_the_paths_and_methods_that_the_listener_has_and_no_others() {
    let host = Host::with(Fake::text("x")).await;
    let document = json(get(host.admin, "/admin/v1/openapi.json").await).await;
    let mut written: Vec<(String, String)> = Vec::new();
    for (path, calls) in document["paths"].as_object().unwrap() {
        let methods = calls.as_object().unwrap().keys().filter(|key| *key != "parameters");
        written.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
    }
    // HEAD is GET without its body.
    let methods = |endpoint: Endpoint| endpoint.allowed().split(", ").filter(|method| *method != "HEAD");
    let mut had: Vec<(String, String)> = Endpoint::ALL
        .into_iter()
        .flat_map(|endpoint| methods(endpoint).map(move |method| (endpoint.path().to_owned(), method.to_owned())))
        .collect();
    written.sort();
    had.sort();
    assert_eq!(written, had);
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &"1.2.3".into()));
}

#[tokio::test]
async fn every_method_of_every_path_is_answered_as_the_document_says() {
    let host = Host::builder().release("http:/story:tales", "story", "storyteller@1.0.0").alive().start().await;
    let api = Api::new(&host).await;
    for endpoint in Endpoint::ALL.into_iter().filter(|endpoint| *endpoint != Endpoint::Events) {
        for id in ["story", "http:/story:tales:story", "http%3A%2Fstory%3Atales%3Astory", "unknown"] {
            let path = endpoint.path().replace("{id}", id);
            for method in ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
                let got = api.call(method, &path, r#"{"expected_generation":1}"#).await;
                let allowed = endpoint.allowed().contains(method);
                assert_eq!(got.status == StatusCode::METHOD_NOT_ALLOWED, !allowed, "{method} {path}");
                // Of keys there are none yet.
                let unknown = if endpoint == Endpoint::Key { "unknown_key" } else { "unknown_release" };
                let missing = path.contains("unknown") || endpoint == Endpoint::Key;
                assert_eq!(got.problem().1 == unknown, allowed && missing, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_is_answered_with_those_that_are() {
    let host = Host::with(Fake::text("x")).await;
    for endpoint in Endpoint::ALL {
        let path = endpoint.path().replace("{id}", "story");
        let request = Request::patch(path).header("host", "localhost").body(Full::default()).unwrap();
        let refused = send(host.admin, request).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()["allow"], endpoint.allowed());
    }
}

#[tokio::test]
async fn the_index_leads_to_the_document_and_to_every_path() {
    let host = Host::with(Fake::text("x")).await;
    let index = Api::new(&host).await.get("/").await.body;
    assert_eq!(index["openapi"], "/admin/v1/openapi.json");
    let listed: Vec<&String> = index["endpoints"].as_object().unwrap().keys().collect();
    assert_eq!(listed.len(), Endpoint::ALL.len());
    for endpoint in Endpoint::ALL {
        assert!(listed.iter().any(|path| *path == endpoint.path()), "{endpoint:?}");
    }
}
