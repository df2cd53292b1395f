//! What all parts of one answer have in common.

use bobbin_wasi_nn::{Finish, ToolCall, Usage};
use serde_json::{Value, json};

/// Constant over an answer, streamed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    fingerprint: Option<String>,
}

impl Head {
    /// Of an answer that begins now: `random` tells it from others, `created` is in seconds since 1970.
    pub(crate) fn new(kind: &str, object: &'static str, random: u128, created: u64) -> Self {
        Self { id: format!("{kind}-{random:032x}"), object, created, model: String::new(), fingerprint: None }
    }

    /// Names the version that answers, `name@version`, and its digest, `sha256:<hex>`. The first one counts.
    pub(crate) fn answered_by(&mut self, bundle: &str, digest: &str) {
        if self.model.is_empty() {
            bundle.clone_into(&mut self.model);
            let hex = digest.rsplit_once(':').map_or(digest, |(_, hex)| hex);
            self.fingerprint = hex.get(..12).map(|short| format!("fp_{short}"));
        }
    }

    /// The answer, or a chunk of it.
    pub(crate) fn with(&self, choices: &[Value]) -> Value {
        let Self { id, object, created, model, fingerprint } = self;
        json!({
            "id": id, "object": object, "created": created, "model": model,
            "choices": choices, "system_fingerprint": fingerprint,
        })
    }

    /// The same with a `usage`, which may be null.
    pub(crate) fn with_usage(&self, choices: &[Value], usage: Value) -> Value {
        let mut answer = self.with(choices);
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("usage".to_owned(), usage);
        }
        answer
    }
}

/// Tokens of all choices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Total {
    prompt: u64,
    completion: u64,
    cached: u64,
}

impl Total {
    /// Adds those of a choice. A prompt counts once, with the first of its choices.
    pub(crate) fn add(&mut self, usage: Usage, first_of_prompt: bool) {
        self.completion = self.completion.saturating_add(usage.output_tokens.into());
        if first_of_prompt {
            self.prompt = self.prompt.saturating_add(usage.input_tokens.into());
            self.cached = self.cached.saturating_add(usage.cached_tokens.into());
        }
    }

    pub(crate) fn to_json(self) -> Value {
        let Self { prompt, completion, cached } = self;
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt.saturating_add(completion),
            "prompt_tokens_details": { "cached_tokens": cached, "audio_tokens": 0 },
            "completion_tokens_details": {
                "reasoning_tokens": 0, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        })
    }
}

/// Why a choice ended, in the API's words. What those have no word for is an end of the model's own.
pub(crate) fn finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Stop | Finish::Other(_) => "stop",
    }
}

/// A call of a function.
pub(crate) fn call(call: &ToolCall) -> Value {
    let ToolCall { id, name, arguments } = call;
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_named_by_the_version_that_began_it() {
        let mut head = Head::new("chatcmpl", "chat.completion", 10, 1_700_000_000);
        head.answered_by("story@1.0.0", "sha256:0123456789abcdef");
        head.answered_by("story@1.1.0", "sha256:ffffffffffffffff");
        let wanted = json!({
            "id": "chatcmpl-0000000000000000000000000000000a", "object": "chat.completion", "created": 1_700_000_000,
            "model": "story@1.0.0", "choices": [], "system_fingerprint": "fp_0123456789ab",
        });
        assert_eq!(head.with(&[]), wanted);
        assert_eq!(head.with_usage(&[], Value::Null)["usage"], Value::Null);
    }

    #[test]
    fn a_prompt_counts_once_and_every_answer_to_it() {
        let usage = Usage { input_tokens: 4, output_tokens: 2, cached_tokens: 1 };
        let mut total = Total::default();
        total.add(usage, true);
        total.add(usage, false);
        let told = total.to_json();
        let tokens = ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| told[name].as_u64().unwrap());
        assert_eq!(tokens, [4, 4, 8]);
        assert_eq!(told["prompt_tokens_details"]["cached_tokens"], 1);
    }
}
