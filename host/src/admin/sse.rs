//! Server-sent events, as the HTML standard frames them, out of chunks of any size.

/// The longest line and the most data of one event, in bytes; the host's events have a few hundred.
const MAX: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// `message` where the stream does not say.
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// A stream whose lines or events have no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes chunks, gives events.
#[derive(Debug, Default)]
pub(crate) struct SseReader {
    line: Vec<u8>,
    /// A line feed that comes now belongs to the carriage return before it.
    after_return: bool,
    begun: bool,
    kind: String,
    data: String,
}

impl SseReader {
    /// Takes a chunk and appends the events that it completes to `events`.
    pub(crate) fn push(&mut self, chunk: &[u8], events: &mut Vec<SseEvent>) -> Result<(), TooLong> {
        for &byte in chunk {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(&line));
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MAX {
                return Err(TooLong);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Option<SseEvent> {
        let text = String::from_utf8_lossy(line);
        let begun = std::mem::replace(&mut self.begun, true);
        let text = if begun { &*text } else { text.strip_prefix('\u{feff}').unwrap_or(&text) };
        if text.is_empty() {
            return self.dispatch();
        }
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // A comment keeps the connection alive; ids and retry times are for those who come back.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        // The last line feed is a separator.
        data.pop()?;
        Some(SseEvent { kind: if kind.is_empty() { "message".into() } else { kind }, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<SseEvent> {
        let mut reader = SseReader::default();
        let mut events = Vec::new();
        for chunk in chunks {
            reader.push(chunk, &mut events).unwrap();
        }
        events
    }

    fn event(kind: &str, data: &str) -> SseEvent {
        SseEvent { kind: kind.into(), data: data.into() }
    }

    #[test]
    fn events_come_out_whole_however_the_stream_is_cut() {
        let stream =
            "\u{feff}: hello\n\nid: 7\nevent: change\ndata: {\"a\":\ndata:1}\n\ndata: é\r\n\r\nevent: x\rdata\r\r";
        let expected = [event("change", "{\"a\":\n1}"), event("message", "é"), event("x", "")];
        assert_eq!(read([stream.as_bytes()]), expected);
        for size in 1..8 {
            assert_eq!(read(stream.as_bytes().chunks(size)), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_that_has_not_ended_is_none_and_a_kind_without_data_is_forgotten() {
        assert_eq!(read([b"data: 1\n".as_slice()]), []);
        assert_eq!(read([b"event: x\n\ndata: 1\n\n".as_slice()]), [event("message", "1")]);
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut reader = SseReader::default();
        assert_eq!(reader.push(&vec![b'x'; MAX + 1], &mut Vec::new()), Err(TooLong));
        let mut reader = SseReader::default();
        let many = "data: 12345678\n".repeat(MAX / 8);
        assert_eq!(reader.push(many.as_bytes(), &mut Vec::new()), Err(TooLong));
    }
}
