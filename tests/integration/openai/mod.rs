//! OpenAI's API, as its public reference describes it, and with the clients that people have.

#![allow(clippy::indexing_slicing, reason = "a key that is not there is null, which no comparison expects")]

mod answers;
mod bad_input;
mod chats;
mod clients;
mod document;
mod keys;
mod leaving;
mod tools;
mod wrong_fields;

use bobbin_tests::{Result, TestHost};
use serde_json::{Value, json};

/// The repository's application, which serves the API under `/v1`.
async fn example() -> Result<TestHost> {
    TestHost::example().start().await
}

/// A chat with one message of a user, and more fields.
fn chat(more: &Value) -> Value {
    with(json!({ "model": "storyteller", "messages": [{ "role": "user", "content": "Once upon a time" }] }), more)
}

/// A prompt, and more fields.
fn prompt(more: &Value) -> Value {
    with(json!({ "model": "storyteller", "prompt": "Once upon a time" }), more)
}

fn with(mut body: Value, more: &Value) -> Value {
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";
const EMBEDDINGS: &str = "/v1/embeddings";
