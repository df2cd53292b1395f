//! What a generation answers.

use crate::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a generation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended its text, or a stop string was reached.
    Stop,
    /// `max_tokens`, or the end of the context.
    Length,
    /// The model called tools.
    ToolCalls,
    /// A reason that is younger than this crate.
    #[serde(untagged)]
    Other(String),
}

/// Tokens of one answer, so far where it is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u32,
    /// Tokens sampled.
    pub output_tokens: u32,
    /// Tokens of the prompt that were not computed again.
    pub cached_tokens: u32,
}

/// A call of a tool that the model wants made, in the form of OpenAI's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call: the message with its result says it as `tool_call_id`.
    pub id: String,
    /// The function.
    pub name: String,
    /// JSON text of an object that the function's `parameters` describe.
    pub arguments: String,
}

/// A whole answer. As JSON: `{"text", "finish_reason", "usage", "bundle"}`, with `logprobs` where asked for, and
/// `tool_calls` where there are any.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The generated text.
    pub text: String,
    /// Why it ended.
    #[serde(rename = "finish_reason")]
    pub finish: Finish,
    /// Tokens.
    pub usage: Usage,
    /// The version that answered, `name@version`.
    pub bundle: String,
    /// `sha256:<hex>` of that version.
    #[serde(skip)]
    pub digest: String,
    /// Log-probabilities token by token, as the host's JSON, where `logprobs` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Value>,
    /// The calls of tools that the model wants made; `text` is what it said before them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A part of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// New text; whole characters, and never a part of a stop string.
    pub text: String,
    /// Why the answer ended; `None` while more is to come.
    pub finish: Option<Finish>,
    /// Tokens so far.
    pub usage: Usage,
    /// The version that answers, `name@version`.
    pub bundle: String,
    /// `sha256:<hex>` of that version.
    pub digest: String,
    /// Log-probabilities of this piece's tokens, as the host's JSON, where `logprobs` was asked for.
    pub logprobs: Option<Value>,
    /// The calls of tools that the model wants made; they come whole, with the last piece.
    pub tool_calls: Vec<ToolCall>,
}

/// Vectors, one for each text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// In the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts.
    pub usage: Usage,
    /// The version that answered, `name@version`.
    pub bundle: String,
    /// `sha256:<hex>` of that version.
    pub digest: String,
}

#[derive(Deserialize)]
pub(crate) struct Metadata {
    input_tokens: u32,
    output_tokens: u32,
    cached_tokens: u32,
    #[serde(default)]
    finish_reason: Option<Finish>,
    bundle: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(default)]
    tool_calls: Vec<ToolCall>,
}

impl Metadata {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(json)
            .map_err(|error| Error::unexpected(format!("the host's metadata is not what was expected: {error}")))
    }

    fn usage(&self) -> Usage {
        Usage { input_tokens: self.input_tokens, output_tokens: self.output_tokens, cached_tokens: self.cached_tokens }
    }

    pub(crate) fn into_piece(self, text: String) -> Piece {
        let usage = self.usage();
        let Self { finish_reason: finish, bundle, digest, logprobs, tool_calls, .. } = self;
        Piece { text, finish, usage, bundle, digest, logprobs, tool_calls }
    }

    pub(crate) fn into_answer(self, text: String) -> Result<Answer, Error> {
        let Piece { text, finish, usage, bundle, digest, logprobs, tool_calls } = self.into_piece(text);
        let finish = finish.ok_or_else(|| Error::unexpected("the host's answer has no finish reason".to_owned()))?;
        Ok(Answer { text, finish, usage, bundle, digest, logprobs, tool_calls })
    }

    pub(crate) fn into_embeddings(self, vectors: Vec<Vec<f32>>) -> Embeddings {
        Embeddings { vectors, usage: self.usage(), bundle: self.bundle, digest: self.digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"input_tokens": 4, "output_tokens": 2, "cached_tokens": 1, "finish_reason": "stop",
        "bundle": "storyteller@1.0.0", "digest": "sha256:00", "younger_than_this_crate": true}"#;

    #[test]
    fn an_answer_has_the_fields_of_its_json() {
        let answer = Metadata::parse(METADATA.as_bytes()).unwrap().into_answer("a story".into()).unwrap();
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"text":"a story","finish_reason":"stop","usage":{"input_tokens":4,"output_tokens":2,"cached_tokens":1},"bundle":"storyteller@1.0.0"}"#
        );
    }

    #[test]
    fn calls_of_tools_come_with_the_answer() {
        let calls =
            r#""tool_calls": [{"id": "call_1", "name": "weather", "arguments": "{\"city\":\"Prague\"}"}], "digest""#;
        let metadata = METADATA.replace(r#""stop""#, r#""tool_calls""#).replace(r#""digest""#, calls);
        let answer = Metadata::parse(metadata.as_bytes()).unwrap().into_answer(String::new()).unwrap();
        assert_eq!(answer.finish, Finish::ToolCalls);
        let arguments = r#"{"city":"Prague"}"#.to_owned();
        assert_eq!(answer.tool_calls, [ToolCall { id: "call_1".into(), name: "weather".into(), arguments }]);
        assert!(serde_json::to_string(&answer).unwrap().contains(r#""tool_calls":[{"id":"call_1","name":"weather""#));
    }

    #[test]
    fn a_piece_without_a_finish_reason_is_no_answer() {
        let metadata = METADATA.replace(r#""stop""#, "null");
        let metadata = || Metadata::parse(metadata.as_bytes()).unwrap();
        assert_eq!(metadata().into_piece("a".into()).finish, None);
        assert!(metadata().into_answer("a".into()).is_err());
    }

    #[test]
    fn an_unknown_finish_reason_keeps_its_name() {
        let metadata = Metadata::parse(METADATA.replace("stop", "bored").as_bytes()).unwrap();
        assert_eq!(metadata.into_piece(String::new()).finish, Some(Finish::Other("bored".into())));
    }
}
