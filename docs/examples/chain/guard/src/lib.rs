//! Middleware: it lets pass who has a key, and answers everybody else itself.

use spin_sdk::http::{IntoResponse, Request, Result, StatusCode, next};
use spin_sdk::http_service;

#[http_service]
async fn handle_guard(request: Request) -> Result<impl IntoResponse> {
    if request.headers().contains_key("x-key") {
        return Ok(next(request).await?.into_response()?);
    }
    Ok((StatusCode::FORBIDDEN, "no key, no greeting\n".to_owned()).into_response()?)
}
