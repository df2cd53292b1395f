//! `GET /admin/v1/openapi.json`: the contract of the admin listener.

use super::answer::{Answer, json};
use http::StatusCode;
use serde_json::Value;

/// Written by hand; tests hold real answers against it.
const DOCUMENT: &str = include_str!("openapi.json");

/// The document, for a host of this version.
pub(super) fn document(version: &str) -> Result<Value, serde_json::Error> {
    let mut document: Value = serde_json::from_str(DOCUMENT)?;
    if let Some(written) = document.pointer_mut("/info/version") {
        *written = version.into();
    }
    Ok(document)
}

pub(super) fn answer(version: &str) -> Result<Answer, serde_json::Error> {
    document(version).map(|document| json(StatusCode::OK, &document))
}
