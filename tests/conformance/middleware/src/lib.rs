//! HTTP middleware of spin-sdk 7: it answers `/closed` itself, with status 403, and stamps every other answer with the
//! environment variable `STAMP`, or `none`.

use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{HeaderValue, Request, Response, Result, next};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> Result<Response<String>> {
    if request.uri().path().ends_with("/closed") {
        return Ok(Response::builder().status(403).body("closed".to_owned())?);
    }
    let (mut head, body) = next(request).await?.into_parts();
    let stamp = std::env::var("STAMP").unwrap_or_else(|_unset| "none".to_owned());
    head.headers.append("x-stamp", HeaderValue::try_from(stamp).expect("a value for a header"));
    // Its length may stay as it is: so does the body.
    Ok(Response::from_parts(head, String::from_utf8_lossy(&body.bytes().await?).into_owned()))
}
