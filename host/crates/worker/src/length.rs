//! Text that cannot fit, which is known before anybody tokenises it.

use bobbin_inference::{InferenceError, Prompt, Reason, Work};

/// Text up to this long is tokenised in milliseconds, whatever it says. A refusal then says exactly how many tokens it
/// has.
const CHEAP_BYTES: usize = 64 << 10;

/// The fewest tokens that text has, by the bytes of the vocabulary's longest token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shortest {
    /// `None` where a token may stand for more bytes than it has, as with vocabularies that fold case.
    pub(crate) longest_token: Option<u32>,
    /// The most tokens that one session holds.
    pub(crate) context: u32,
}

impl Shortest {
    /// Refuses a text of so many bytes if it has more tokens than the context.
    ///
    /// # Errors
    /// `context_exceeded` with both numbers.
    pub(crate) fn check(self, bytes: usize) -> Result<(), InferenceError> {
        let Some(longest) = self.longest_token else { return Ok(()) };
        let (least, context) = (bytes.div_ceil(longest.max(1) as usize), self.context);
        if bytes <= CHEAP_BYTES || least <= context as usize {
            return Ok(());
        }
        Err(InferenceError::new(
            Reason::ContextExceeded,
            format!("the text has at least {least} tokens; the model's context is {context} tokens; shorten it"),
        ))
    }

    /// Refuses work whose text has more tokens than the context. What a chat template adds and leaves out is known
    /// only once it is rendered.
    ///
    /// # Errors
    /// As [`Shortest::check`].
    pub(crate) fn check_work(self, work: &Work) -> Result<(), InferenceError> {
        match work {
            Work::Generate { prompt: Prompt::Text(text), .. } | Work::Score { prompt: Prompt::Text(text), .. } => {
                self.check(text.len())
            }
            Work::Embed { texts, .. } => texts.iter().try_for_each(|text| self.check(text.len())),
            Work::Generate { .. } | Work::Score { .. } | Work::Logits { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(bytes: usize, longest_token: Option<u32>, context: u32) -> bool {
        Shortest { longest_token, context }.check(bytes).is_ok()
    }

    #[test]
    fn long_text_is_refused_by_its_bytes_where_they_say_enough() {
        assert!(fits(1 << 20, Some(16), 65_536));
        assert!(!fits((1 << 20) + 1, Some(16), 65_536));
        assert!(fits(CHEAP_BYTES, Some(16), 256), "short text is counted by who tokenises it");
        assert!(fits(1 << 20, None, 256), "a token may stand for more bytes than it has");
        assert!(!fits(1 << 20, Some(0), 256), "whoever says 0 divides by nothing");
    }

    #[test]
    fn texts_are_checked_one_by_one() {
        let shortest = Shortest { longest_token: Some(8), context: 16_384 };
        let embed =
            |length: usize| Work::Embed { texts: vec!["a".repeat(length), "b".repeat(length)], dimensions: None };
        assert!(shortest.check_work(&embed(100_000)).is_ok());
        assert_eq!(shortest.check_work(&embed(200_000)).unwrap_err().reason, Reason::ContextExceeded);
    }
}
