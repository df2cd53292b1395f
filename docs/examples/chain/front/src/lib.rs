//! Asks the component `back`, and says what it heard.

use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{IntoResponse, Request, get};
use spin_sdk::http_service;

#[http_service]
async fn handle_front(request: Request) -> anyhow::Result<impl IntoResponse> {
    let answer = get(format!("http://back.spin.internal{}", request.uri().path())).await?;
    let heard = answer.into_body().bytes().await?;
    Ok(format!("back says: {}", String::from_utf8_lossy(&heard)))
}
