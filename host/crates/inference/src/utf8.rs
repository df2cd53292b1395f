//! Tokens are bytes; clients get characters.

/// Collects token bytes and releases whole characters only.
#[derive(Debug, Clone, Default)]
pub struct Utf8Assembler {
    /// The beginning of a character.
    pending: Vec<u8>,
}

impl Utf8Assembler {
    /// Adds a token's bytes and appends to `text` what is complete now. Bytes that can never become a character turn into
    /// U+FFFD, since a sampled model may produce any bytes.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        self.pending.extend_from_slice(bytes);
        let mut rest = self.pending.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(bad) = error.error_len() else {
                        rest = after;
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = after.split_at(bad).1;
                }
            }
        }
        let complete = self.pending.len() - rest.len();
        self.pending.drain(..complete);
    }

    /// The end came: an incomplete character is replaced.
    pub fn finish(&mut self, text: &mut String) {
        text.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn push(assembler: &mut Utf8Assembler, bytes: &[u8]) -> String {
        let mut text = String::new();
        assembler.push(bytes, &mut text);
        text
    }

    #[test]
    fn a_character_over_three_tokens_comes_whole() {
        let mut assembler = Utf8Assembler::default();
        assert_eq!(push(&mut assembler, b"a\xe2"), "a");
        assert_eq!(push(&mut assembler, b"\x82"), "");
        assert_eq!(push(&mut assembler, b"\xacb"), "€b");
    }

    #[test]
    fn impossible_bytes_are_replaced_and_nothing_is_lost() {
        let mut assembler = Utf8Assembler::default();
        assert_eq!(push(&mut assembler, b"a\xffb"), "a\u{fffd}b");
        assert_eq!(push(&mut assembler, b"\xf0\x9f"), "");
        let mut rest = String::new();
        assembler.finish(&mut rest);
        assert_eq!(rest, "\u{fffd}");
        assembler.finish(&mut rest);
        assert_eq!(rest, "\u{fffd}", "nothing is left");
    }

    proptest! {
        #[test]
        fn text_survives_any_cut(text in "\\PC{0,30}", cut in 1usize..5) {
            let mut assembler = Utf8Assembler::default();
            let mut out = String::new();
            text.as_bytes().chunks(cut).for_each(|chunk| assembler.push(chunk, &mut out));
            assembler.finish(&mut out);
            prop_assert_eq!(out, text);
        }
    }
}
