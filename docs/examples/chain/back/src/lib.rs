//! Greets whom its path names. Nobody outside of the application reaches it.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle_back(request: Request) -> anyhow::Result<impl IntoResponse> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    Ok(format!("hello, {name}\n"))
}
