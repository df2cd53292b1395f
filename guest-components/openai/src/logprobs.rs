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

/// Of a completion: lists side by side. `offset` is where in the choice's text the next token begins, in characters.
pub(crate) fn of_completion(tokens: Option<&Value>, offset: &mut usize) -> Value {
    let tokens = list(tokens);
    let mut offsets = Vec::new();
    for token in tokens {
        offsets.push(*offset);
        *offset = offset.saturating_add(text(token).chars().count());
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
        let mut offset = 3;
        let told = of_completion(Some(&tokens()), &mut offset);
        let wanted = json!({
            "tokens": [" é", "b"], "token_logprobs": [-0.5, NEVER],
            "top_logprobs": [{ " é": -0.5, " a": -2.0 }, { "b": NEVER }], "text_offset": [3, 5],
        });
        assert_eq!((told, offset), (wanted, 6));
    }
}
