//! Tokens are bytes; clients get characters.

/// Collects token bytes and releases whole characters only.
#[derive(Debug, Clone, Default)]
pub struct Utf8Assembler {
    pending: Vec<u8>,
}

impl Utf8Assembler {
    /// Adds a token's bytes and returns the text that is complete now. Bytes that can never become a
    /// character turn into U+FFFD, since a sampled model may produce any bytes.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
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
        self.pending = rest.to_vec();
        text
    }

    /// The end came: an incomplete character is replaced.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_over_three_tokens_comes_whole() {
        let mut assembler = Utf8Assembler::default();
        assert_eq!(assembler.push(b"a\xe2"), "a");
        assert_eq!(assembler.push(b"\x82"), "");
        assert_eq!(assembler.push(b"\xacb"), "€b");
    }

    #[test]
    fn impossible_bytes_are_replaced_and_nothing_is_lost() {
        let mut assembler = Utf8Assembler::default();
        assert_eq!(assembler.push(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(assembler.push(b"\xf0\x9f"), "");
        assert_eq!(assembler.finish(), "\u{fffd}");
        assert_eq!(assembler.finish(), "");
    }

    proptest! {
        #[test]
        fn text_survives_any_cut(text in "\\PC{0,30}", cut in 1usize..5) {
            let mut assembler = Utf8Assembler::default();
            let mut out: String = text.as_bytes().chunks(cut).map(|chunk| assembler.push(chunk)).collect();
            out.push_str(&assembler.finish());
            prop_assert_eq!(out, text);
        }
    }
}
