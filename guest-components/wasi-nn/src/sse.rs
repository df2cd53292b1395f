//! Server-sent events: how a streamed answer looks on the wire.
//!
//! Each piece is `data: {"text": ".."}`. The last event with text is followed by one with an empty text and
//! `finish_reason`, `usage` and `bundle`, and `tool_calls` where the model made any, and by `data: [DONE]`. An answer that
//! breaks off ends in `data: {"error": {"code", "message", "retryable"}}`, and never in `[DONE]`.

use crate::{Error, Piece};
use serde_json::{Value, json};

const DONE: &str = "data: [DONE]\n\n";

/// One event with this data.
#[must_use]
pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// The events for one piece, or for the error that ended the answer. Empty for a piece with nothing to show yet,
/// such as half a character.
#[must_use]
pub fn encode(piece: Result<Piece, Error>) -> String {
    match piece {
        Ok(piece) => encode_piece(piece),
        Err(Error { reason, message, retryable, .. }) => {
            event(&json!({ "error": { "code": reason, "message": message, "retryable": retryable } }))
        }
    }
}

fn encode_piece(piece: Piece) -> String {
    let Piece { text, finish, usage, bundle, logprobs, tool_calls, .. } = piece;
    let mut events = String::new();
    if !text.is_empty() || logprobs.is_some() {
        let mut data = json!({ "text": text });
        if let (Some(logprobs), Some(object)) = (logprobs, data.as_object_mut()) {
            object.insert("logprobs".to_owned(), logprobs);
        }
        events.push_str(&event(&data));
    }
    if let Some(finish) = finish {
        let mut data = json!({ "text": "", "finish_reason": finish, "usage": usage, "bundle": bundle });
        if let (false, Some(object)) = (tool_calls.is_empty(), data.as_object_mut()) {
            object.insert("tool_calls".to_owned(), json!(tool_calls));
        }
        events.push_str(&event(&data));
        events.push_str(DONE);
    }
    events
}

#[cfg(feature = "http")]
pub use respond::{respond, respond_with};

#[cfg(feature = "http")]
mod respond {
    use crate::http::{Response, streamed};
    use crate::{Error, Piece, sse};
    use spin_sdk::http::Result;

    /// Streams the pieces to the client as they are made, as the events that this module describes.
    ///
    /// # Errors
    /// Where the host refuses the response's headers.
    pub fn respond(pieces: impl Iterator<Item = std::result::Result<Piece, Error>> + 'static) -> Result<Response> {
        respond_with(pieces, sse::encode)
    }

    /// As [`respond`], with events of the component's own: `encode` turns each piece, or the error that ended
    /// the answer, into text (see [`sse::event`]).
    ///
    /// # Errors
    /// Where the host refuses the response's headers.
    pub fn respond_with(
        pieces: impl Iterator<Item = std::result::Result<Piece, Error>> + 'static,
        encode: impl FnMut(std::result::Result<Piece, Error>) -> String + 'static,
    ) -> Result<Response> {
        streamed("text/event-stream", pieces.map(encode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, Finish, ToolCall, Usage};

    fn piece(text: &str, finish: Option<Finish>) -> Piece {
        Piece {
            text: text.to_owned(),
            finish,
            usage: Usage { input_tokens: 4, output_tokens: 2, cached_tokens: 0 },
            bundle: "storyteller@1.0.0".to_owned(),
            digest: String::new(),
            logprobs: None,
            tool_calls: Vec::new(),
        }
    }

    #[test]
    fn a_piece_is_one_event_on_one_line() {
        assert_eq!(encode(Ok(piece("", None))), "");
        assert_eq!(encode(Ok(piece("a\n\"b\"", None))), "data: {\"text\":\"a\\n\\\"b\\\"\"}\n\n");
    }

    #[test]
    fn the_last_piece_gives_its_text_then_the_finish_reason_then_done() {
        let events = encode(Ok(piece(" end.", Some(Finish::Stop))));
        let data: Vec<&str> = events.split_terminator("\n\n").collect();
        let [text, last, done] = data.as_slice() else { panic!("{events}") };
        assert_eq!(*text, r#"data: {"text":" end."}"#);
        let last: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
        let usage = json!({ "input_tokens": 4, "output_tokens": 2, "cached_tokens": 0 });
        let expected = json!({ "text": "", "finish_reason": "stop", "usage": usage, "bundle": "storyteller@1.0.0" });
        assert_eq!(last, expected);
        assert_eq!(*done, "data: [DONE]");
        assert_eq!(encode(Ok(piece("", Some(Finish::Stop)))).matches("data: ").count(), 2);
    }

    #[test]
    fn calls_of_tools_are_in_the_event_that_says_why_the_answer_ended() {
        let call = ToolCall { id: "call_1".to_owned(), name: "now".to_owned(), arguments: "{}".to_owned() };
        let events = encode(Ok(Piece { tool_calls: vec![call], ..piece("", Some(Finish::ToolCalls)) }));
        let last: Value = serde_json::from_str(events.lines().next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(last["finish_reason"], "tool_calls");
        assert_eq!(last["tool_calls"], json!([{ "id": "call_1", "name": "now", "arguments": "{}" }]));
    }

    #[test]
    fn an_error_ends_the_stream_without_done() {
        let error = Error {
            code: ErrorCode::RuntimeError,
            reason: "worker_lost".into(),
            message: "the worker died".into(),
            retryable: true,
        };
        let events = encode(Err(error));
        assert_eq!(
            events,
            "data: {\"error\":{\"code\":\"worker_lost\",\"message\":\"the worker died\",\"retryable\":true}}\n\n"
        );
    }
}
