//! `fermyon:spin/http`, the interface of older components: a request and its answer, each as a whole.

use super::Outbound;
use bindings::fermyon::spin::http::{Host, HttpError, Request, Response};
use bindings::fermyon::spin::http_types::Method;
use bobbin_inference::{Account, OverAccount};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, WasiBody};

use crate::state::State;

mod bindings {
    //! Generated from the vendored WIT.

    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]

    wasmtime::component::bindgen!({
        path: "../../wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:host; world http { import fermyon:spin/http; }",
        world: "bobbin:host/http",
        imports: { default: async },
    });
}

impl HasData for Outbound {
    type Data<'a> = &'a mut Self;
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    bindings::fermyon::spin::http::add_to_linker::<State, Outbound>(linker, State::outbound)
}

impl bindings::fermyon::spin::http_types::Host for Outbound {}

impl Host for Outbound {
    async fn send_request(&mut self, request: Request) -> Result<Response, HttpError> {
        let request = to_http(request)?;
        let account = self.request.account.clone();
        let answer = self.clone().send(request, None).await.map_err(|error| self.failed(&error))?;
        let (head, body) = answer.into_parts();
        let body = whole(body, &account).await.map_err(|error| self.failed(&error))?;
        let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
        let headers = head.headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
        Ok(Response { status: head.status.as_u16(), headers: Some(headers.collect()), body: Some(body) })
    }
}

impl Outbound {
    /// Spin's error says little, so the log says the rest.
    fn failed(&self, error: &Error) -> HttpError {
        match error {
            Error::HttpRequestDenied => HttpError::DestinationNotAllowed,
            Error::HttpRequestUriInvalid => HttpError::InvalidUrl,
            Error::ConnectionLimitReached => HttpError::TooManyRequests,
            other => {
                let (component, request) = (&self.exit.component, &self.request.id);
                tracing::warn!(%component, %request, "an outbound request failed: {other}");
                HttpError::RuntimeError
            }
        }
    }
}

fn to_http(request: Request) -> Result<http::Request<WasiBody>, HttpError> {
    let body = Full::from(request.body.unwrap_or_default()).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut made = http::Request::builder().method(method(request.method)).uri(request.uri);
    for (name, value) in request.headers {
        made = made.header(name, value);
    }
    let mut made = made.body(body).map_err(|error| {
        tracing::debug!("a component made no request that HTTP knows: {error}");
        HttpError::InvalidUrl
    })?;
    // The body's length is known here, and how it is sent is the host's to say.
    for name in DEFAULT_FORBIDDEN_HEADERS.iter().chain([&http::header::CONTENT_LENGTH]) {
        made.headers_mut().remove(name);
    }
    Ok(made)
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Patch => http::Method::PATCH,
        Method::Head => http::Method::HEAD,
        Method::Options => http::Method::OPTIONS,
    }
}

/// All of a body, charged as it grows.
async fn whole(mut body: WasiBody, account: &Account) -> Result<Vec<u8>, Error> {
    let full = |over: OverAccount| Error::InternalError(Some(over.to_string()));
    let mut charge = account.charge(0).map_err(full)?;
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let needed = bytes.len().saturating_add(data.len());
        if needed > bytes.capacity() {
            let room = needed.max(bytes.capacity().saturating_mul(2));
            charge.resize(room as u64).map_err(full)?;
            bytes.reserve_exact(room - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    fn body(pieces: usize) -> WasiBody {
        let piece = || Ok(Frame::data(Bytes::from(vec![b'x'; 1000])));
        StreamBody::new(stream::iter((0..pieces).map(move |_| piece()))).boxed_unsync()
    }

    #[tokio::test]
    async fn a_body_is_held_as_far_as_the_account_goes() {
        let account = Account::new(20_000);
        assert_eq!(whole(body(10), &account).await.unwrap().len(), 10_000);
        assert_eq!(account.held(), 0);
        let over = whole(body(30), &account).await.unwrap_err();
        assert!(over.to_string().contains("limit of 20000"), "{over}");
    }

    #[test]
    fn how_a_request_is_sent_is_the_hosts_to_say() {
        let headers = [("Transfer-Encoding", "chunked"), ("content-length", "7"), ("host", "evil"), ("x-own", "1")];
        let request = Request {
            method: Method::Post,
            uri: "http://example.com/".into(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            params: Vec::new(),
            body: Some(b"body".to_vec()),
        };
        let made = to_http(request).unwrap();
        assert_eq!(made.headers().keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-own"]);
    }

    #[test]
    fn what_is_no_url_or_no_header_is_said() {
        let request = |uri: &str, name: &str| Request {
            method: Method::Get,
            uri: uri.into(),
            headers: vec![(name.into(), "x".into())],
            params: Vec::new(),
            body: None,
        };
        for bad in [request("http://exa mple.com", "a"), request("http://a/", "no header")] {
            assert!(matches!(to_http(bad), Err(HttpError::InvalidUrl)));
        }
    }
}
