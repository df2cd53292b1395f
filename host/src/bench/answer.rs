//! What is read out of an answer's body as it passes: how many tokens it says that it has.
//!
//! JSON with a `usage`, in one document or in the last events of a stream, in the words of this host's example, of
//! OpenAI's API or of Spin's backend protocol. No more is kept of a body than a line, or its beginning.

use serde_json::Value;

/// Bytes that are kept of a line, or of a body without lines.
const KEPT: usize = 1 << 20;
/// The keys under which tokens that were made are counted.
const KEYS: [&str; 3] = ["output_tokens", "completion_tokens", "generatedTokenCount"];

/// Follows one body.
#[derive(Debug, Default)]
pub(super) struct Body {
    line: Vec<u8>,
    /// More came without a line's end than is kept.
    over: bool,
    tokens: Option<u64>,
    /// An event of a stream reported an error.
    failed: bool,
}

impl Body {
    /// More of it.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > KEPT {
                self.over = true;
            }
            if !self.over {
                self.line.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") && self.is_event() {
                self.end_line();
            }
        }
    }

    /// Its end: the tokens that it says were made, where it says so; and whether it reported an error in its midst.
    pub(super) fn end(mut self) -> (Option<u64>, bool) {
        self.end_line();
        (self.tokens, self.failed)
    }

    /// Lines of a document in several lines stay together.
    fn is_event(&self) -> bool {
        let blank = self.line.iter().all(u8::is_ascii_whitespace);
        let field = [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|name| self.line.starts_with(name));
        blank || field || self.over
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.over) {
            return;
        }
        let line = line.strip_prefix(b"data:").unwrap_or(&line);
        let Ok(Value::Object(document)) = serde_json::from_slice::<Value>(line) else { return };
        self.failed |= document.get("error").is_some_and(|error| !error.is_null());
        let usage = document.get("usage").and_then(Value::as_object);
        let count = usage.and_then(|usage| KEYS.iter().find_map(|key| usage.get(*key)?.as_u64()));
        self.tokens = count.or(self.tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> (Option<u64>, bool) {
        let mut body = Body::default();
        pieces.iter().for_each(|piece| body.take(piece.as_bytes()));
        body.end()
    }

    #[test]
    fn tokens_are_found_wherever_an_answer_counts_them() {
        let document = "{\n  \"text\": \"x\",\n  \"usage\": {\"output_tokens\": 7}\n}\n";
        assert_eq!(of(&[document]), (Some(7), false));
        let stream =
            ["data: {\"text\":\"a\"}\n\nda", "ta: {\"usage\":{\"completion_tokens\":3}}\n\n", "data: [DONE]\n\n"];
        assert_eq!(of(&stream), (Some(3), false));
        assert_eq!(of(&["{\"usage\":{\"generatedTokenCount\":5}}"]), (Some(5), false));
        assert_eq!(of(&["hello"]), (None, false));
        assert_eq!(of(&["data: {\"error\":{\"message\":\"gone\"}}\n\n"]), (None, true));
        assert_eq!(of(&[]), (None, false));
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut body = Body::default();
        for _ in 0..64 {
            body.take(&[b'a'; 64 << 10]);
        }
        assert!(body.line.len() <= KEPT, "{}", body.line.len());
        body.take(b"\ndata: {\"usage\":{\"output_tokens\":2}}\n");
        assert_eq!(body.end(), (Some(2), false));
    }
}
