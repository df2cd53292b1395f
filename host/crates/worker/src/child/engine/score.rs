//! Scoring an answer: which logits it takes, and what they say.

use super::super::generate::usage_of;
use super::super::sampler;
use super::super::schedule::Token;
use bobbin_inference::{InferenceError, Reason, Usage};

/// A compute that wants the log-probability of each token of an answer.
pub(super) struct Scoring {
    /// Prompt and answer.
    tokens: Vec<Token>,
    /// Tokens of the prompt; at least one.
    prompt: usize,
    values: Vec<f32>,
}

impl Scoring {
    /// An answer after its prompt.
    ///
    /// # Errors
    /// `invalid_input` where either has no token.
    pub(super) fn new(prompt: Vec<Token>, answer: &[Token]) -> Result<Self, InferenceError> {
        let missing = |what: &str, why: &str| {
            let message = format!("the {what} has no token, {why}; pass at least one");
            Err(InferenceError::new(Reason::InvalidInput, message))
        };
        if answer.is_empty() {
            return missing("answer", "so there is nothing to score");
        }
        if prompt.is_empty() {
            return missing("prompt", "so nothing precedes the answer's first token, and it has no probability");
        }
        let given = prompt.len();
        let mut tokens = prompt;
        tokens.extend_from_slice(answer);
        Ok(Self { tokens, prompt: given, values: Vec::with_capacity(answer.len()) })
    }

    /// What is computed: all but the last token, whose successor nobody asks for.
    pub(super) fn given(&self) -> Vec<Token> {
        self.tokens.split_last().map(|(_, given)| given.to_vec()).unwrap_or_default()
    }

    /// The first position whose logits say something about the answer.
    pub(super) fn first_output(&self) -> u32 {
        u32::try_from(self.prompt.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Takes in the logits after a position. They come in order.
    pub(super) fn take(&mut self, pos: u32, logits: &[f32]) {
        if let Some(next) = self.tokens.get(pos as usize + 1) {
            self.values.push(sampler::log_probability(logits, *next));
        }
    }

    /// The logits come again, from the first.
    pub(super) fn restart(&mut self) {
        self.values.clear();
    }

    /// All values and the tokens that they took, once they are complete.
    pub(super) fn finish(&mut self) -> Option<(Vec<f32>, Usage)> {
        let complete = self.prompt + self.values.len() >= self.tokens.len();
        complete.then(|| (std::mem::take(&mut self.values), usage_of(&self.tokens)))
    }

    /// Values so far.
    #[cfg(test)]
    pub(super) fn values(&self) -> usize {
        self.values.len()
    }
}
