//! Answers with what it was asked: method and URL, a line for each header, an empty one, and the body.

use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{Request, Response, Result};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> Result<Response<String>> {
    let (head, body) = request.into_parts();
    let mut told = format!("{} {}\n", head.method, head.uri);
    for (name, value) in &head.headers {
        told += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    told += &format!("\n{}", String::from_utf8_lossy(&body.bytes().await?));
    Ok(Response::new(told))
}
