//! What Spin sends with `api_type = "open_ai"`: one message of a user, whose answer it reads, or whose error it shows.

use crate::{embed, open};
use bobbin_wasi_nn::http::{self, Response};
use bobbin_wasi_nn::{Error, Options, Prompt};
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{Request, Result};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const EMBEDDINGS: &str = "/v1/embeddings";

#[derive(Deserialize)]
#[serde(expecting = "an object with a \"model\" and \"messages\"")]
struct Chat {
    model: String,
    messages: Value,
    max_completion_tokens: Option<u32>,
    /// Spin puts its repeat penalty here.
    frequency_penalty: Option<f64>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with a \"model\" and the texts \"input\"")]
struct Embed {
    model: String,
    input: Vec<String>,
}

pub(crate) async fn chat(request: Request) -> Result<Response> {
    answer(request, |ask: &Chat| {
        let mut options = Options::new();
        if let Some(tokens) = ask.max_completion_tokens {
            options = options.with("max_tokens", tokens);
        }
        if let Some(penalty) = ask.frequency_penalty {
            options = options.with("frequency_penalty", penalty);
        }
        let answer = open(&ask.model)?.generate(Prompt::Messages(&ask.messages, None), &options)?;
        Ok(json!({
            "object": "chat.completion",
            "model": ask.model,
            "choices": [{
                "index": 0,
                "message": { "role": "assistant", "content": answer.text },
                "finish_reason": answer.finish,
            }],
            "usage": {
                "prompt_tokens": answer.usage.input_tokens,
                "completion_tokens": answer.usage.output_tokens,
                "total_tokens": answer.usage.input_tokens.saturating_add(answer.usage.output_tokens),
            },
        }))
    })
    .await
}

pub(crate) async fn embeddings(request: Request) -> Result<Response> {
    answer(request, |ask: &Embed| {
        let (vectors, tokens) = embed(&ask.model, &ask.input)?;
        let rows = vectors.iter().enumerate();
        let data: Vec<Value> =
            rows.map(|(index, row)| json!({ "object": "embedding", "index": index, "embedding": row })).collect();
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        Ok(json!({ "object": "list", "model": ask.model, "data": data, "usage": usage }))
    })
    .await
}

/// Errors have OpenAI's form, which Spin looks into.
async fn answer<T: for<'de> Deserialize<'de>>(
    request: Request,
    compute: impl FnOnce(&T) -> std::result::Result<Value, Error>,
) -> Result<Response> {
    let body = request.into_body().bytes().await?;
    let ask = serde_json::from_slice(&body)
        .map_err(|error| Error::invalid_input(format!("the request body is not the JSON expected here: {error}")));
    match ask.and_then(|ask| compute(&ask)) {
        Ok(answer) => http::json(&answer),
        Err(error) => {
            let told = json!({ "error": { "message": error.message, "type": error.reason, "code": error.reason } });
            http::json_with_status(error.status(), &told)
        }
    }
}
