//! Spin's own protocol. An error is problem+json with its status; Spin itself says only that no answer came.

use crate::{embed as vectors, open};
use bobbin_wasi_nn::Options;
use bobbin_wasi_nn::http::{self, Response};
use serde::{Deserialize, Serialize};
use spin_sdk::http::{Request, Result};

/// What Spin sends, and nothing else: who writes `max_tokens` beside the prompt should not get a hundred of them in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a \"model\", a \"prompt\" and \"options\"")]
struct Infer {
    model: String,
    prompt: String,
    #[serde(default)]
    options: Params,
}

/// Spin sends each of them; what somebody else leaves out is what a component of Spin's gets that says nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Params {
    max_tokens: u32,
    repeat_penalty: f64,
    repeat_penalty_last_n_token_count: u32,
    temperature: f64,
    top_k: u32,
    top_p: f64,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            max_tokens: 100,
            repeat_penalty: 1.1,
            repeat_penalty_last_n_token_count: 64,
            temperature: 0.8,
            top_k: 40,
            top_p: 0.9,
        }
    }
}

impl Params {
    fn options(&self) -> Options {
        let last = i32::try_from(self.repeat_penalty_last_n_token_count).unwrap_or(i32::MAX);
        Options::new()
            .with("max_tokens", self.max_tokens)
            .with("repeat_penalty", self.repeat_penalty)
            .with("repeat_last_n", last)
            .with("temperature", self.temperature)
            .with("top_k", self.top_k)
            .with("top_p", self.top_p)
    }
}

#[derive(Serialize)]
struct Inferred {
    text: String,
    usage: InferUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InferUsage {
    prompt_token_count: u32,
    generated_token_count: u32,
}

pub(crate) async fn infer(request: Request) -> Result<Response> {
    let ask: Infer = http::read_json(request).await?;
    let answer = open(&ask.model)?.generate(&ask.prompt, &ask.options.options())?;
    let usage =
        InferUsage { prompt_token_count: answer.usage.input_tokens, generated_token_count: answer.usage.output_tokens };
    http::json(&Inferred { text: answer.text, usage })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a \"model\" and the texts \"input\"")]
struct Embed {
    model: String,
    input: Vec<String>,
}

#[derive(Serialize)]
struct Embedded {
    embeddings: Vec<Vec<f32>>,
    usage: EmbedUsage,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedUsage {
    prompt_token_count: u32,
}

pub(crate) async fn embed(request: Request) -> Result<Response> {
    let ask: Embed = http::read_json(request).await?;
    let (embeddings, tokens) = vectors(&ask.model, &ask.input)?;
    http::json(&Embedded { embeddings, usage: EmbedUsage { prompt_token_count: tokens } })
}
