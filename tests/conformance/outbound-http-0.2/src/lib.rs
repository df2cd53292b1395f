//! `wasi:http/outgoing-handler@0.2`, by spin-sdk 5.
//!
//! The path is `/METHOD`, and the body is the URL; `PORT` in it stands for the variable `web_port`. The request has a header
//! `x-own` and, for POST, the body `hello`. The answer is the status and the body that came, or status 400 and the error.

use spin_sdk::http::{Request, Response, send};
use spin_sdk::http_component;

#[http_component]
async fn handle(request: Request) -> anyhow::Result<Response> {
    let port = spin_sdk::variables::get("web_port").unwrap_or_default();
    let url = String::from_utf8_lossy(request.body()).replace("PORT", &port);
    let mut asked = match request.path().rsplit('/').next() {
        Some("POST") => Request::post(url, "hello"),
        _ => Request::get(url),
    };
    Ok(match send::<_, Response>(asked.header("x-own", "1").build()).await {
        Ok(told) => Response::new(200, format!("{} {}", told.status(), String::from_utf8_lossy(told.body()))),
        Err(error) => Response::new(400, format!("{error:?}")),
    })
}
