//! Answers without a model: the shortest way through the host.

use spin_sdk::http::{Request, Response, Result};
use spin_sdk::http_service;

#[http_service]
async fn hello(_request: Request) -> Result<Response<String>> {
    let response = Response::builder().header("content-type", "text/plain; charset=utf-8");
    Ok(response.body("Hello from a component!\n".to_owned())?)
}
