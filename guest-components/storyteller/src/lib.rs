//! Tells stories: `POST /story` with `{"prompt": "Once upon a time"}`, and any sampling option beside it.
//!
//! Answers in one JSON object, or with `"stream": true` in server-sent events.

use bobbin_wasi_nn::http::{self, Response};
use bobbin_wasi_nn::{Graph, Options, sse};
use serde::Deserialize;
use spin_sdk::http::{Method, Request, Result};
use spin_sdk::http_service;

#[derive(Deserialize)]
#[serde(expecting = "an object with a \"prompt\"")]
struct Ask {
    prompt: String,
    #[serde(default)]
    stream: bool,
    #[serde(flatten)]
    options: Options,
}

#[http_service]
async fn story(request: Request) -> Result<Response> {
    if request.method() != Method::POST {
        return http::method_not_allowed("POST");
    }
    let Ask { prompt, stream, options } = http::read_json(request).await?;
    let mut session = Graph::load("story")?.session()?;
    if stream {
        sse::respond(session.into_stream(&prompt, &options)?)
    } else {
        http::json(&session.generate(&prompt, &options)?)
    }
}
