//! What a compute asks for.

use crate::Options;
use serde::{Deserialize, Serialize};

/// The input of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Prompt {
    /// Plain text; special tokens in it are text like any other.
    Text(String),
    /// A chat, rendered by the bundle's template; only the template may produce special tokens.
    Chat {
        /// JSON array of messages, already checked to be one.
        messages: String,
        /// JSON array of tools, already checked to be one.
        tools: Option<String>,
    },
    /// Token ids, each checked against the vocabulary by the worker.
    Tokens(Vec<i32>),
}

/// One compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Continue the session with a prompt and sample an answer.
    Generate {
        /// What to continue from.
        prompt: Prompt,
        /// How to sample.
        options: Options,
    },
    /// Evaluate tokens and return the raw logits after the last one: FP32 [n_vocab].
    Logits {
        /// Appended to the session's history.
        tokens: Vec<i32>,
    },
    /// Teacher-forced scores: the log-probability of each token of `answer`, given the prompt and the tokens of the
    /// answer before it; FP32 [answer]. Uses a sequence of its own, so the session's history stays as it is.
    Score {
        /// What comes before the answer, rendered as the first prompt of a session would be. At least one token,
        /// BOS included where the model wants one.
        prompt: Prompt,
        /// The answer; at least one token, each checked against the vocabulary by the worker.
        answer: Vec<i32>,
    },
    /// Embed each text: FP32 [n, dim].
    Embed {
        /// The texts, in the order of the answer.
        texts: Vec<String>,
        /// Shortens each vector, where the model allows it.
        dimensions: Option<u32>,
    },
}

impl Work {
    /// Whether the answer is fetched piece by piece.
    #[must_use]
    pub fn streams(&self) -> bool {
        matches!(self, Self::Generate { options, .. } if options.stream)
    }
}
