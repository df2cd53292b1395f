//! Calls of tools: what the model may write, and what it wrote.
//!
//! Each family of models writes calls in a form of its own, and says it in its chat template: [`Form`] finds it there.
//! [`offer`] reads the tools of a request and checks them, [`grammar`] makes a grammar of them, in which the arguments of
//! a call are a JSON value of the tool's schema and nothing else, and [`written`] parts an answer into text and calls. All
//! of that is pure; it runs on the thread of the constrained compute, or looks at one token's text.

pub(super) mod grammar;
pub(super) mod offer;
#[cfg(test)]
mod tests;
pub(super) mod written;

use super::schedule::Token;
use super::specials::Specials;

/// The most calls in one answer.
pub(super) const MOST_CALLS: usize = 16;

/// How a family of models writes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Qwen, Hermes and others: `<tool_call>\n{"name": .., "arguments": ..}\n</tool_call>`, once for each call. Also where
    /// a template says nothing, since then it is described to the model.
    Tagged,
    /// Mistral: `[TOOL_CALLS][{"name": .., "arguments": ..}, ..]`.
    Listed,
    /// Llama 3: the answer is `{"name": .., "parameters": ..}`, one call and no text.
    Bare,
}

/// How one model writes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Writing {
    /// The form.
    pub(super) form: Form,
    /// The control token that begins the calls, where the vocabulary has one for that: it has no text.
    pub(super) opener: Option<Token>,
}

impl Form {
    /// The form that a chat template asks the model for.
    pub(super) fn of(template: &str) -> Self {
        let says = |text: &str| template.contains(text);
        if says("<tool_call>") {
            Self::Tagged
        } else if says("[TOOL_CALLS]") && !says("[ARGS]") {
            Self::Listed
        } else if says("ipython") && says("\"parameters\"") {
            Self::Bare
        } else {
            Self::Tagged
        }
    }

    /// The text with which calls begin, where there is one.
    fn opener(self) -> Option<&'static str> {
        match self {
            Self::Tagged => Some("<tool_call>"),
            Self::Listed => Some("[TOOL_CALLS]"),
            Self::Bare => None,
        }
    }

    /// The key before the arguments.
    fn key(self) -> &'static str {
        match self {
            Self::Tagged | Self::Listed => "arguments",
            Self::Bare => "parameters",
        }
    }

    /// A call up to its arguments, which a `}` follows. Names need no escapes; see [`offer`].
    fn head(self, name: &str) -> String {
        format!("{{\"name\": \"{name}\", \"{}\": ", self.key())
    }
}

impl Writing {
    /// How the model with this template and these special tokens writes calls.
    pub(super) fn of(form: Form, specials: &Specials) -> Self {
        Self { form, opener: form.opener().and_then(|text| specials.token(text)) }
    }
}
