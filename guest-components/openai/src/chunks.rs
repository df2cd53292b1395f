//! Answers that come in pieces: the chunks that each piece becomes.

use crate::head::{Head, Total, call, finish};
use crate::logprobs::{self, Offset};
use bobbin_wasi_nn::{Piece, ToolCall};
use serde_json::{Value, json};

/// Which of the choices a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The choice, counted from 0.
    pub(crate) choice: usize,
    /// Its prompt, counted from 0.
    pub(crate) prompt: usize,
    /// Whether it is the first choice of that prompt.
    pub(crate) first_of_prompt: bool,
}

/// How pieces become chunks; one for each way of generating.
#[derive(Debug)]
pub(crate) enum Form {
    /// `chat.completion.chunk`: the role comes first.
    Chat,
    /// `text_completion`: the prompts come first where they are echoed.
    Completion { echo: Option<Vec<String>> },
}

/// The chunks of one answer.
#[derive(Debug)]
pub(crate) struct Chunks {
    form: Form,
    head: Head,
    total: Total,
    /// Whether the last chunk tells tokens, and all others that they do not.
    usage: bool,
    logprobs: bool,
    /// The choice that has begun, and where its next token begins.
    begun: Option<usize>,
    offset: Offset,
}

impl Chunks {
    pub(crate) fn new(form: Form, head: Head, usage: bool, logprobs: bool) -> Self {
        Self { form, head, total: Total::default(), usage, logprobs, begun: None, offset: Offset::default() }
    }

    /// What a piece becomes: perhaps nothing, where it has nothing to show.
    pub(crate) fn piece(&mut self, place: Place, piece: &Piece) -> Vec<Value> {
        self.head.answered_by(&piece.bundle, &piece.digest);
        let mut chunks = Vec::new();
        if self.begun != Some(place.choice) {
            (self.begun, self.offset) = (Some(place.choice), Offset::default());
            chunks.extend(self.opening(place).map(|choice| self.chunk(choice)));
        }
        let told = piece.logprobs.as_ref().filter(|told| told.as_array().is_some_and(|told| !told.is_empty()));
        if !piece.text.is_empty() || told.is_some() {
            let logprobs = self.logprobs.then(|| match self.form {
                Form::Chat => logprobs::of_chat(told),
                Form::Completion { .. } => logprobs::of_completion(told, &mut self.offset),
            });
            let choice = match self.form {
                Form::Chat => delta(place, &json!({ "content": piece.text }), logprobs.as_ref(), None),
                Form::Completion { .. } => text(place, &piece.text, logprobs.as_ref(), None),
            };
            chunks.push(self.chunk(choice));
        }
        for (index, called) in piece.tool_calls.iter().enumerate() {
            chunks.extend(calls(index, called).map(|calls| self.chunk(delta(place, &calls, None, None))));
        }
        if let Some(why) = &piece.finish {
            self.total.add(piece.usage, place.first_of_prompt);
            let choice = match self.form {
                Form::Chat => delta(place, &json!({}), None, Some(finish(why))),
                Form::Completion { .. } => text(place, "", None, Some(finish(why))),
            };
            chunks.push(self.chunk(choice));
        }
        chunks
    }

    /// The last chunk, after every choice has ended: how many tokens it took, if that was asked for.
    pub(crate) fn end(&self) -> Option<Value> {
        self.usage.then(|| self.head.with_usage(&[], self.total.to_json()))
    }

    fn opening(&self, place: Place) -> Option<Value> {
        match &self.form {
            Form::Chat => {
                Some(delta(place, &json!({ "role": "assistant", "content": "", "refusal": null }), None, None))
            }
            Form::Completion { echo } => Some(text(place, echo.as_ref()?.get(place.prompt)?, None, None)),
        }
    }

    fn chunk(&self, choice: Value) -> Value {
        if self.usage { self.head.with_usage(&[choice], Value::Null) } else { self.head.with(&[choice]) }
    }
}

fn delta(place: Place, delta: &Value, logprobs: Option<&Value>, finish: Option<&str>) -> Value {
    json!({ "index": place.choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish })
}

fn text(place: Place, text: &str, logprobs: Option<&Value>, finish: Option<&str>) -> Value {
    json!({ "text": text, "index": place.choice, "logprobs": logprobs, "finish_reason": finish })
}

/// The deltas of a call: which it is, and then its arguments, as clients put them together.
fn calls(index: usize, called: &ToolCall) -> [Value; 2] {
    let named = ToolCall { arguments: String::new(), ..called.clone() };
    let mut first = call(&named);
    if let Some(first) = first.as_object_mut() {
        first.insert("index".to_owned(), index.into());
    }
    let arguments = json!({ "index": index, "function": { "arguments": called.arguments } });
    [json!({ "tool_calls": [first] }), json!({ "tool_calls": [arguments] })]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_wasi_nn::{Finish, Usage};

    fn piece(text: &str, finish: Option<Finish>) -> Piece {
        Piece {
            text: text.to_owned(),
            finish,
            usage: Usage { input_tokens: 4, output_tokens: 2, cached_tokens: 0 },
            bundle: "story@1.0.0".to_owned(),
            digest: "sha256:0123456789abcdef".to_owned(),
            logprobs: None,
            tool_calls: Vec::new(),
        }
    }

    fn place(choice: usize) -> Place {
        Place { choice, prompt: choice, first_of_prompt: true }
    }

    fn chunks(form: Form, usage: bool, logprobs: bool) -> Chunks {
        Chunks::new(form, Head::new("x", "chat.completion.chunk", 1, 1), usage, logprobs)
    }

    fn deltas(chunks: &[Value]) -> Vec<&Value> {
        chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect()
    }

    #[test]
    fn the_role_comes_first_and_the_reason_last_in_a_chunk_of_its_own() {
        let mut chunks = chunks(Form::Chat, false, false);
        let first = chunks.piece(place(0), &piece("Once", None));
        let role = json!({ "role": "assistant", "content": "", "refusal": null });
        assert_eq!(deltas(&first), [&role, &json!({ "content": "Once" })]);
        let last = chunks.piece(place(0), &piece(" more", Some(Finish::Stop)));
        assert_eq!(deltas(&last), [&json!({ "content": " more" }), &json!({})]);
        let reasons: Vec<_> = first.iter().chain(&last).map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
        assert_eq!(reasons, [&Value::Null, &Value::Null, &Value::Null, &json!("stop")]);
        for chunk in first.iter().chain(&last) {
            assert_eq!(
                ["id", "created", "model"].map(|name| &chunk[name]),
                ["id", "created", "model"].map(|name| &first[0][name])
            );
            assert!(chunk.get("usage").is_none(), "{chunk}");
        }
        assert_eq!(chunks.end(), None);
    }

    #[test]
    fn usage_is_null_until_the_last_chunk_which_has_no_choices() {
        let mut chunks = chunks(Form::Chat, true, false);
        let mut all = chunks.piece(place(0), &piece("a", Some(Finish::Length)));
        all.extend(chunks.piece(Place { first_of_prompt: false, ..place(1) }, &piece("b", Some(Finish::Stop))));
        assert!(all.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
        assert_eq!(all.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"] == "assistant").count(), 2);
        let end = chunks.end().unwrap();
        assert_eq!((&end["choices"], &end["usage"]["prompt_tokens"]), (&json!([]), &json!(4)));
        assert_eq!(end["usage"]["completion_tokens"], 4);
    }

    #[test]
    fn a_piece_with_nothing_to_show_becomes_nothing() {
        let mut chunks = chunks(Form::Completion { echo: None }, false, false);
        assert!(chunks.piece(place(0), &piece("", None)).is_empty());
        assert_eq!(chunks.piece(place(0), &piece("", Some(Finish::Stop))).len(), 1);
    }

    #[test]
    fn tokens_without_text_are_told_with_their_log_probabilities() {
        let token = json!([{ "token": "\u{fffd}", "bytes": [240], "logprob": -1.0, "top": [] }]);
        let told = || Piece { logprobs: Some(token.clone()), ..piece("", None) };
        let chat = chunks(Form::Chat, false, true).piece(place(0), &told());
        assert_eq!(chat[1]["choices"][0]["logprobs"]["content"][0]["bytes"], json!([240]));
        assert_eq!(chat[0]["choices"][0]["logprobs"], Value::Null);
        let mut completion = chunks(Form::Completion { echo: None }, false, true);
        completion.piece(place(0), &told());
        let second = completion.piece(place(0), &told());
        assert_eq!(second[0]["choices"][0]["logprobs"]["text_offset"], json!([1]));
        let other = completion.piece(place(1), &told());
        assert_eq!(other[0]["choices"][0]["logprobs"]["text_offset"], json!([0]));
    }

    #[test]
    fn a_call_is_named_before_its_arguments_come() {
        let call = ToolCall { id: "call_1".into(), name: "w".into(), arguments: "{\"a\":1}".into() };
        let last = Piece { tool_calls: vec![call.clone(), call], ..piece("", Some(Finish::ToolCalls)) };
        let chunks = chunks(Form::Chat, false, false).piece(place(0), &last);
        let calls: Vec<_> = deltas(&chunks).into_iter().filter_map(|delta| delta.get("tool_calls")).collect();
        let named =
            json!([{ "index": 0, "id": "call_1", "type": "function", "function": { "name": "w", "arguments": "" } }]);
        assert_eq!(calls[0], &named);
        assert_eq!(calls[1], &json!([{ "index": 0, "function": { "arguments": "{\"a\":1}" } }]));
        assert_eq!(calls[3][0]["index"], 1);
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn an_echo_comes_before_the_answer_to_its_prompt() {
        let echo = Some(["a", "b"].map(str::to_owned).to_vec());
        let mut chunks = chunks(Form::Completion { echo }, false, false);
        let all: Vec<_> =
            [place(0), place(1)].into_iter().flat_map(|place| chunks.piece(place, &piece("x", None))).collect();
        let texts: Vec<_> = all.iter().map(|chunk| chunk["choices"][0]["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["a", "x", "b", "x"]);
    }
}
