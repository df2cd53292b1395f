//! The last lines that a worker wrote to its standard error: what is left to read when it has died.

use std::collections::VecDeque;

/// Lines kept. llama.cpp says why it aborts in its last few.
const LINES: usize = 40;
/// Bytes kept of one line; a worker without line ends must not fill the host.
const LINE_BYTES: usize = 512;
/// Bytes of a reported reason.
const WORDS_BYTES: usize = 400;

/// What a line that says why a process dies has in it, the most telling first.
const TELLING: &[&str] = &[
    "panicked at",
    "GGML_ASSERT",
    "GGML_ABORT",
    "what():",
    "terminate called",
    "CUDA error",
    "Assertion",
    "fatal",
    "out of memory",
    "error",
    "failed",
];

/// The last lines of a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    partial: Vec<u8>,
}

impl Tail {
    /// Adds bytes; calls `on_line` with each line that is complete now.
    pub(super) fn push(&mut self, bytes: &[u8], mut on_line: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, ends) = match part.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (part, false),
            };
            let room = LINE_BYTES.saturating_sub(self.partial.len());
            self.partial.extend(line.iter().take(room));
            if ends {
                self.end_line(&mut on_line);
            }
        }
    }

    /// The stream ended, perhaps within a line.
    pub(super) fn finish(&mut self, mut on_line: impl FnMut(&str)) {
        self.end_line(&mut on_line);
    }

    fn end_line(&mut self, on_line: &mut impl FnMut(&str)) {
        let bytes = std::mem::take(&mut self.partial);
        let line: String = String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).collect();
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        on_line(line);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// The line or two that say the most about an end; `None` where nothing was said.
    pub(super) fn last_words(&self) -> Option<String> {
        let telling = TELLING.iter().find_map(|mark| self.lines.iter().rposition(|line| line.contains(mark)));
        let at = telling.unwrap_or(self.lines.len().checked_sub(1)?);
        let mut words = self.lines.get(at)?.trim().to_owned();
        // A panic says where on one line and what on the next.
        if words.contains("panicked at")
            && let Some(message) = self.lines.get(at + 1)
        {
            words.push(' ');
            words.push_str(message.trim());
        }
        words.truncate(words.floor_char_boundary(WORDS_BYTES));
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &str) -> Tail {
        let mut tail = Tail::default();
        tail.push(text.as_bytes(), |_| {});
        tail.finish(|_| {});
        tail
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let text: String = (0..LINES + 5).map(|nth| format!("line {nth}\n")).collect();
        let tail = tail(&text);
        assert_eq!(tail.lines.len(), LINES);
        assert_eq!(tail.lines.front().unwrap(), "line 5");
        assert_eq!(tail.last_words().unwrap(), format!("line {}", LINES + 4));
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        let mut tail = Tail::default();
        let mut seen = Vec::new();
        for _ in 0..100 {
            tail.push(&[b'x'; 1000], |line| seen.push(line.to_owned()));
        }
        tail.push(b"\nnext\n", |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["x".repeat(LINE_BYTES), "next".to_owned()]);
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let mut tail = Tail::default();
        let mut seen = Vec::new();
        for byte in b"one\r\n\ntwo\nthree" {
            tail.push(&[*byte], |line| seen.push(line.to_owned()));
        }
        tail.finish(|line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn the_most_telling_line_is_reported() {
        let text = "load failed once\nggml.c:12: GGML_ASSERT(n > 0) failed\nbacktrace off\ngoodbye\n";
        assert_eq!(tail(text).last_words().unwrap(), "ggml.c:12: GGML_ASSERT(n > 0) failed");
    }

    #[test]
    fn a_panic_is_reported_with_its_message() {
        let text = "thread 'engine' panicked at engine.rs:7:3:\nthe sky fell\nnote: run with RUST_BACKTRACE=1\n";
        let words = tail(text).last_words().unwrap();
        assert_eq!(words, "thread 'engine' panicked at engine.rs:7:3: the sky fell");
    }

    #[test]
    fn silence_has_no_last_words_and_long_words_are_cut_between_characters() {
        assert_eq!(tail("\n\n").last_words(), None);
        let long = format!("error: {}", "é".repeat(LINE_BYTES));
        assert!(tail(&long).last_words().unwrap().len() <= WORDS_BYTES);
    }
}
