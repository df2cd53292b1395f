//! Finds what means the same: `POST /similar` with `{"text": "Where is my parcel?", "among": ["...", "..."]}`.
//!
//! Answers with the texts of `among`, the nearest first, or with the first `top` of them.

use bobbin_wasi_nn::http::{self, Response};
use bobbin_wasi_nn::{Error, Graph, Usage};
use serde::{Deserialize, Serialize};
use spin_sdk::http::{Method, Request, Result};
use spin_sdk::http_service;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a \"text\" and the texts \"among\" which to look")]
struct Ask {
    text: String,
    among: Vec<String>,
    top: Option<usize>,
}

#[derive(Serialize)]
struct Answer<'a> {
    matches: Vec<Match<'a>>,
    usage: Usage,
    bundle: String,
}

#[derive(Serialize)]
struct Match<'a> {
    /// Where it stands in `among`.
    index: usize,
    text: &'a str,
    /// The cosine of the two vectors, -1 to 1.
    score: f32,
}

#[http_service]
async fn similar(request: Request) -> Result<Response> {
    if request.method() != Method::POST {
        return http::method_not_allowed("POST");
    }
    let ask: Ask = http::read_json(request).await?;
    http::json(&rank(&ask)?)
}

fn rank(ask: &Ask) -> std::result::Result<Answer<'_>, Error> {
    let texts: Vec<&str> = ask.among.iter().chain([&ask.text]).map(String::as_str).collect();
    let embeddings = Graph::load("sentence")?.session()?.embed(&texts, None)?;
    let Some((text, among)) = embeddings.vectors.split_last() else {
        return Err(Error::invalid_input("no vector came back"));
    };
    let matches = among.iter().zip(&ask.among).enumerate();
    let mut matches: Vec<_> =
        matches.map(|(index, (vector, among))| Match { index, text: among, score: cosine(text, vector) }).collect();
    matches.sort_by(|a, b| b.score.total_cmp(&a.score));
    matches.truncate(ask.top.unwrap_or(usize::MAX));
    Ok(Answer { matches, usage: embeddings.usage, bundle: embeddings.bundle })
}

/// The vectors of the bundle have length one.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
