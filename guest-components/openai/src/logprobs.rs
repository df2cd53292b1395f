//! Log-probabilities: the host's list of tokens in the two forms that the API has.

use serde_json::{Map, Value, json};

/// What stands for a probability of zero, whose logarithm JSON cannot say.
const NEVER: f64 = -9999.0;

/// Of a message: one entry for each token.
pub(crate) fn of_chat(tokens: Option<&Value>) -> Value {
    let entries: Vec<Value> = list(tokens).iter().map(entry).collect();
    json!({ "content": entries, "refusal": null })
}

fn entry(token: &Value) -> Value {
    let top: Vec<Value> = list(token.get("top")).iter().map(told).collect();
    let mut entry = told(token);
    if let Some(entry) = entry.as_object_mut() {
        entry.insert("top_logprobs".to_owned(), top.into());
    }
    entry
}

fn told(token: &Value) -> Value {
    json!({ "token": text(token), "logprob": logprob(token), "bytes": list(token.get("bytes")) })
}

/// How far a choice's text is, in characters. Tokens may begin and end within one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Offset {
    /// Characters that are whole.
    characters: usize,
    /// The beginning of the next one.
    begun: Vec<u8>,
}

impl Offset {
    /// Where a token of these bytes begins, which follows the last one.
    fn of(&mut self, bytes: &[u8]) -> usize {
        // Bytes that continue a character are of the form 10xxxxxx.
        let continues = |byte: &u8| byte & 0xC0 == 0x80;
        if !self.begun.is_empty() && bytes.first().is_some_and(|byte| !continues(byte)) {
            // What was begun is no character, and is shown as one.
            self.begun.clear();
            self.characters += 1;
        }
        let begins = self.characters;
        self.begun.extend_from_slice(bytes);
        loop {
            let (whole, broken) = match std::str::from_utf8(&self.begun) {
                Ok(text) => (text.len(), None),
                Err(error) => (error.valid_up_to(), error.error_len()),
            };
            let text = self.begun.get(..whole).unwrap_or_default();
            self.characters += text.iter().filter(|byte| !continues(byte)).count();
            self.characters += usize::from(broken.is_some());
            self.begun.drain(..whole + broken.unwrap_or(0));
            if broken.is_none() {
                return begins;
            }
        }
    }
}

/// Of a completion: lists side by side. `offset` is where in the choice's text the next token begins.
pub(crate) fn of_completion(tokens: Option<&Value>, offset: &mut Offset) -> Value {
    let tokens = list(tokens);
    let mut offsets = Vec::new();
    for token in tokens {
        let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
        let bytes: Vec<u8> = list(token.get("bytes")).iter().filter_map(byte).collect();
        offsets.push(offset.of(&bytes));
    }
    // The token that was taken is among them, however unlikely it was.
    let top = |token: &Value| -> Map<String, Value> {
        list(token.get("top")).iter().chain([token]).map(|token| (text(token), logprob(token).into())).collect()
    };
    json!({
        "tokens": tokens.iter().map(text).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn logprob(token: &Value) -> f64 {
    token.get("logprob").and_then(Value::as_f64).unwrap_or(NEVER)
}

fn text(token: &Value) -> String {
    token.get("token").and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Value {
        let token = |text: &str, logprob: Value| json!({ "id": 1, "token": text, "bytes": text.as_bytes(), "logprob": logprob });
        let mut first = token(" é", json!(-0.5));
        first["top"] = json!([token(" é", json!(-0.5)), token(" a", json!(-2.0))]);
        let mut second = token("b", Value::Null);
        second["top"] = json!([]);
        json!([first, second])
    }

    #[test]
    fn a_message_has_an_entry_for_each_token() {
        let told = of_chat(Some(&tokens()));
        assert_eq!(told["content"][0]["top_logprobs"][1], json!({ "token": " a", "logprob": -2.0, "bytes": [32, 97] }));
        assert_eq!(told["content"][1], json!({ "token": "b", "logprob": NEVER, "bytes": [98], "top_logprobs": [] }));
        assert_eq!(of_chat(None), json!({ "content": [], "refusal": null }));
    }

    #[test]
    fn a_completion_has_lists_side_by_side_with_offsets_that_go_on() {
        let mut offset = Offset { characters: 3, begun: Vec::new() };
        let told = of_completion(Some(&tokens()), &mut offset);
        let wanted = json!({
            "tokens": [" é", "b"], "token_logprobs": [-0.5, NEVER],
            "top_logprobs": [{ " é": -0.5, " a": -2.0 }, { "b": NEVER }], "text_offset": [3, 5],
        });
        assert_eq!((told, offset.characters), (wanted, 6));
    }

    #[test]
    fn a_character_of_several_tokens_counts_once_and_what_is_none_once_each() {
        let bytes = |bytes: &[u8]| json!({ "token": "\u{fffd}", "bytes": bytes, "logprob": -1.0 });
        let tokens = json!([bytes(b"a\xc3"), bytes(b"\xa9"), bytes(b"\xe2\x82"), bytes(b"b\xff"), bytes(b"c")]);
        let told = of_completion(Some(&tokens), &mut Offset::default());
        // a, é, a broken one, b, a broken one, c.
        assert_eq!(told["text_offset"], json!([0, 1, 2, 3, 5]));
    }
}
