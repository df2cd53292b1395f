//! What a compute answers.

use crate::ToolCall;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its text, or a stop string was reached.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
    /// The model called tools.
    ToolCalls,
}

impl FinishReason {
    /// The name in metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// Tokens of one compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u32,
    /// Tokens sampled so far.
    pub output_tokens: u32,
    /// Tokens of the prompt that were not computed again.
    pub cached_tokens: u32,
}

/// The log-probability of one sampled token, natural logarithm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token's id.
    pub id: i32,
    /// The token's bytes; not always UTF-8 by themselves.
    pub bytes: Vec<u8>,
    /// Its log-probability before sampling options were applied.
    pub logprob: f32,
    /// The most likely alternatives: id, bytes, log-probability.
    pub top: Vec<(i32, Vec<u8>, f32)>,
}

/// A part of a generated answer, or all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// New text. Never splits a character, never holds part of a stop string.
    pub text: String,
    /// What is known so far.
    pub metadata: Metadata,
}

/// The `metadata` output of the contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Tokens so far.
    pub usage: Usage,
    /// `None` while more is to come.
    pub finish_reason: Option<FinishReason>,
    /// `name@version`.
    pub bundle: Arc<str>,
    /// `sha256:<hex>`.
    pub digest: Arc<str>,
    /// Log-probabilities of the tokens of this part, when asked for.
    pub logprobs: Option<Vec<TokenLogprob>>,
    /// Calls of tools, with the last part.
    pub tool_calls: Vec<ToolCall>,
}

/// Vectors, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// FP32, `rows x dimensions`.
    pub values: Vec<f32>,
    /// Length of each vector.
    pub dimensions: u32,
    /// Tokens used, and which version answered.
    pub metadata: Metadata,
}

/// Numbers, and the tokens that they took.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// FP32.
    pub values: Vec<f32>,
    /// Tokens used.
    pub usage: Usage,
}

/// What a compute returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Text.
    Generated(Generated),
    /// FP32 [n_vocab] after the last token.
    Logits(Values),
    /// Log-probabilities of the tokens that were scored, in order.
    Scores(Values),
    /// Vectors.
    Embeddings(Embeddings),
}

impl Metadata {
    /// The JSON of the contract.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cached_tokens": self.usage.cached_tokens,
            "finish_reason": self.finish_reason.map(FinishReason::as_str),
            "bundle": &*self.bundle,
            "digest": &*self.digest,
        });
        if let (Some(logprobs), Some(object)) = (&self.logprobs, json.as_object_mut()) {
            object.insert("logprobs".into(), logprobs.iter().map(TokenLogprob::to_json).collect());
        }
        if let (false, Some(object)) = (self.tool_calls.is_empty(), json.as_object_mut()) {
            object.insert("tool_calls".into(), self.tool_calls.iter().map(ToolCall::to_json).collect());
        }
        json
    }
}

impl TokenLogprob {
    fn to_json(&self) -> serde_json::Value {
        let entry = |id: i32, bytes: &[u8], logprob: f32| {
            serde_json::json!({
                "id": id,
                "token": String::from_utf8_lossy(bytes),
                "bytes": bytes,
                "logprob": logprob,
            })
        };
        let mut json = entry(self.id, &self.bytes, self.logprob);
        if let Some(object) = json.as_object_mut() {
            let top = self.top.iter().map(|(id, bytes, logprob)| entry(*id, bytes, *logprob)).collect();
            object.insert("top".into(), top);
        }
        json
    }
}
