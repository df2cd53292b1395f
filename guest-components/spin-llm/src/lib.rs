//! Serves models to a Spin that runs elsewhere, whose runtime configuration says `type = "remote_http"` in
//! `[llm_compute]`: `POST /infer` and `POST /embed`, or `POST /v1/chat/completions` and `POST /v1/embeddings` with
//! `api_type = "open_ai"`.
//!
//! Spin sends a token in `authorization: bearer ..`, and no content type with its own protocol. This component looks at
//! neither: whether a token is right is for the host to say, before any component runs.

mod open_ai;
mod own;

use bobbin_wasi_nn::http::{self, Response};
use bobbin_wasi_nn::{Error, Graph, Session};
use spin_sdk::http::{Method, Request, Result};
use spin_sdk::http_service;

#[http_service]
async fn serve(request: Request) -> Result<Response> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let known = ["/infer", "/embed", open_ai::CHAT, open_ai::EMBEDDINGS];
    if !known.contains(&path.as_str()) {
        return http::error(&Error::not_found(format!("{path:.100} is none of {}", known.join(", "))));
    }
    if request.method() != Method::POST {
        return http::method_not_allowed("POST");
    }
    match path.as_str() {
        "/infer" => own::infer(request).await,
        "/embed" => own::embed(request).await,
        open_ai::CHAT => open_ai::chat(request).await,
        _ => open_ai::embeddings(request).await,
    }
}

/// A session on a model that this component is granted.
fn open(model: &str) -> std::result::Result<Session, Error> {
    Graph::load(model)?.session()
}

/// Vectors, and the tokens of all texts.
fn embed(model: &str, texts: &[String]) -> std::result::Result<(Vec<Vec<f32>>, u32), Error> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embeddings = open(model)?.embed(&texts, None)?;
    Ok((embeddings.vectors, embeddings.usage.input_tokens))
}
