//! Helpers for HTTP components built with spin-sdk 7 (WASI 0.3).

use crate::Error;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{FullBody, IntoResponse, Request, Result};
use spin_sdk::wasip3::http::types::{self, ErrorCode, Fields};
use spin_sdk::wasip3::http_compat::BodyWriter;

/// A response of this host, streamed or not.
pub type Response = types::Response;

/// Reads a JSON request body.
///
/// # Errors
/// [`Error`]: 400 with serde's reason for a body that is not of the type's form, 413 for one over the host's
/// bound.
pub async fn read_json<T: DeserializeOwned>(request: Request) -> Result<T> {
    let body = match request.into_body().bytes().await {
        Ok(body) => body,
        Err(ErrorCode::HttpRequestBodySize(limit)) => {
            let limit = limit.map_or(String::new(), |bytes| format!(" of {bytes} bytes"));
            return Err(Error::too_large(format!("the request body is over the limit{limit}; send less")).into());
        }
        Err(code) => return Err(code.into()),
    };
    let value = serde_json::from_slice(&body)
        .map_err(|error| Error::invalid_input(format!("the request body is not the JSON expected here: {error}")))?;
    Ok(value)
}

/// An answer in JSON, status 200.
///
/// # Errors
/// Where the value cannot be serialised, or the host refuses the response.
pub fn json(value: &impl Serialize) -> Result<Response> {
    json_with_status(200, value)
}

/// An answer in JSON with another status than 200, for a component that has its own form of errors.
///
/// # Errors
/// Where the value cannot be serialised, or the host refuses the status.
pub fn json_with_status(status: u16, value: &impl Serialize) -> Result<Response> {
    json_with_headers(status, &[], value)
}

/// As [`json_with_status`], with further headers.
///
/// # Errors
/// Where the value cannot be serialised, or the host refuses the status or a header.
pub fn json_with_headers(status: u16, headers: &[(&str, &str)], value: &impl Serialize) -> Result<Response> {
    let body = serde_json::to_vec(value).map_err(|error| spin_sdk::http::Error::other(error.to_string()))?;
    respond(status, "application/json", headers, body)
}

/// The answer to a method that is not among `allowed` (such as `"GET, POST"`): problem+json, status 405.
///
/// # Errors
/// Where the host refuses the response.
pub fn method_not_allowed(allowed: &str) -> Result<Response> {
    let detail = format!("this route takes {allowed}");
    let body = problem(405, "method_not_allowed", &detail, false);
    respond(405, PROBLEM, &[("allow", allowed)], body.to_string().into_bytes())
}

/// An error as problem+json, with the error's own status.
///
/// # Errors
/// Where the host refuses the response.
pub fn error(error: &Error) -> Result<Response> {
    let status = error.status();
    let mut body = problem(status, &error.reason, &error.message, error.retryable);
    if let Some(object) = body.as_object_mut() {
        object.insert("wasi_nn".to_owned(), error.code_name().into());
    }
    let headers: &[_] = if status == 503 { &[("retry-after", "1")] } else { &[] };
    respond(status, PROBLEM, headers, body.to_string().into_bytes())
}

/// So that `?` in a handler answers the client with the error.
impl From<Error> for spin_sdk::http::Error {
    fn from(failed: Error) -> Self {
        match error(&failed) {
            Ok(response) => response.into(),
            Err(refused) => refused,
        }
    }
}

/// A response whose body is written piece by piece, as the iterator makes them.
///
/// `compute` blocks the component, so the host sees a piece only when the component waits for something. Here
/// it waits for the write itself: a piece is taken before the next one is asked for, and a client that does not
/// read stops the iterator instead of filling a queue.
///
/// # Errors
/// Where the host refuses the response's headers.
pub fn streamed(content_type: &str, pieces: impl Iterator<Item = String> + 'static) -> Result<Response> {
    let headers = [("content-type", content_type), ("cache-control", "no-store")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    let headers = Fields::from_list(&headers)
        .map_err(|error| spin_sdk::http::Error::other(format!("response headers: {error}")))?;
    let (BodyWriter { mut stream_writer, result_writer, .. }, body, result) = BodyWriter::new();
    // What became of the transmission concerns the host alone.
    let (response, _transmission) = types::Response::new(headers, Some(body), result);
    spin_sdk::wasip3::spawn(async move {
        // A write of nothing would wait for the reader without telling it anything.
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let unwritten = stream_writer.write_all(piece.into_bytes()).await;
            if !unwritten.is_empty() {
                // Nobody reads any more; what is left of the answer is given up with the iterator.
                return;
            }
        }
        drop(stream_writer);
        // Without this the host takes the body for broken off. That it is no longer wanted is no error here.
        let _ = result_writer.write(Ok(None)).await;
    });
    Ok(response)
}

const PROBLEM: &str = "application/problem+json";

fn problem(status: u16, code: &str, detail: &str, retryable: bool) -> Value {
    let title = spin_sdk::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
    })
}

fn respond(status: u16, content_type: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Response> {
    let mut response = spin_sdk::wasip3::http_compat::Response::builder().status(status);
    response = response.header("content-type", content_type).header("cache-control", "no-store");
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(FullBody::new(Bytes::from(body)))?.into_response()?)
}
