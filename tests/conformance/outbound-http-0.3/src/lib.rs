//! `wasi:http/client@0.3`, by spin-sdk 7.
//!
//! The path is `/METHOD`, and the body is the URL; `PORT` in it stands for the variable `web_port`. The request has a header
//! `x-own` and, for POST, the body `hello`. The answer is the status and the body that came, or status 400 and the error.

use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{Request, Response, Result};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::ErrorCode;

#[http_service]
async fn handle(request: Request) -> Result<Response<String>> {
    let port = spin_sdk::variables::get("web_port").await.unwrap_or_default();
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let url = String::from_utf8_lossy(&request.into_body().bytes().await?).replace("PORT", &port);
    let body = if method == "POST" { "hello".to_owned() } else { String::new() };
    let asked = Request::builder().method(method.as_str()).uri(url).header("x-own", "1").body(body)?;
    let (status, told) = match send(asked).await {
        Ok(told) => (200, told),
        Err(error) => (400, format!("{error:?}")),
    };
    Ok(Response::builder().status(status).body(told)?)
}

async fn send(asked: Request<String>) -> std::result::Result<String, ErrorCode> {
    let told = spin_sdk::http::send(asked).await?;
    let status = told.status().as_u16();
    Ok(format!("{status} {}", String::from_utf8_lossy(&told.into_body().bytes().await?)))
}
