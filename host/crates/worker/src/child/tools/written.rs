//! What an answer says, and what it calls: apart, while it is written.

use super::{Form, MOST_CALLS, Writing};
use bobbin_inference::ToolCall;
use serde::de::IgnoredAny;
use std::hash::{BuildHasher, RandomState};

/// The most bytes that calls of one answer have: all of them are held until the last is whole.
pub(in super::super) const MOST_BYTES: usize = 1 << 20;

/// Letters and digits of an id.
const ID: usize = 24;
/// The same where a family's templates take no other length.
const SHORT_ID: usize = 9;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// An answer while it is written.
#[derive(Debug)]
pub(in super::super) struct Written {
    form: Form,
    /// Text that may turn out to begin the calls; the calls, once they have begun.
    held: String,
    begun: bool,
    /// Something that is no white space has been said.
    said: bool,
}

impl Written {
    /// An answer of a model that writes calls so.
    pub(in super::super) fn new(writing: Writing) -> Self {
        Self { form: writing.form, held: String::new(), begun: false, said: false }
    }

    /// Whether calls have begun: no text comes after that.
    pub(in super::super) fn begun(&self) -> bool {
        self.begun
    }

    /// Bytes of the calls so far.
    pub(in super::super) fn bytes(&self) -> usize {
        if self.begun { self.held.len() } else { 0 }
    }

    /// The token came that begins the calls. Returns text that was held back.
    pub(in super::super) fn begin(&mut self) -> String {
        let text = if self.begun { String::new() } else { std::mem::take(&mut self.held) };
        self.begun = true;
        text
    }

    /// Takes new text, and returns what of it is certain to come before the calls.
    pub(in super::super) fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        if self.begun {
            return String::new();
        }
        let before = match self.form.opener() {
            None => self.before_an_object(),
            Some(opener) => match self.held.find(opener) {
                Some(at) => {
                    self.begun = true;
                    let calls = self.held.split_off(at);
                    std::mem::replace(&mut self.held, calls)
                }
                None => {
                    let begins = |keep: &usize| {
                        opener.as_bytes().get(..*keep).is_some_and(|part| self.held.as_bytes().ends_with(part))
                    };
                    let keep = (1..opener.len()).rev().find(begins).unwrap_or(0);
                    let kept = self.held.split_off(self.held.len() - keep);
                    std::mem::replace(&mut self.held, kept)
                }
            },
        };
        self.said |= !before.trim().is_empty();
        before
    }

    /// An answer whose first letter is `{` is a call; any other is text.
    fn before_an_object(&mut self) -> String {
        match self.held.trim_start().chars().next() {
            Some('{') if !self.said => {
                self.begun = true;
                String::new()
            }
            None if !self.said => String::new(),
            _ => std::mem::take(&mut self.held),
        }
    }

    /// The end came: text that was held back, and the calls that are whole. What was `cut` off is left out: a call, and
    /// what looks like the beginning of one, since nobody should see the marks that part calls from text.
    pub(in super::super) fn finish(&mut self, cut: bool) -> (String, Vec<ToolCall>) {
        let held = std::mem::take(&mut self.held);
        match (self.begun, cut) {
            (true, _) => (String::new(), calls(self.form, &held)),
            (false, true) => (String::new(), Vec::new()),
            (false, false) => (held, Vec::new()),
        }
    }
}

/// The calls in the order in which they were written.
fn calls(form: Form, written: &str) -> Vec<ToolCall> {
    let mut calls = Vec::new();
    let mut rest = written;
    while calls.len() < MOST_CALLS {
        let Some((call, after)) = call(form, rest) else { break };
        calls.push(call);
        rest = after;
    }
    calls
}

/// The next call, and what follows it. The grammar lets nothing stand between a call and the name of its tool.
fn call(form: Form, text: &str) -> Option<(ToolCall, &str)> {
    let (_, text) = text.split_once("{\"name\": \"")?;
    let (name, text) = text.split_once('"')?;
    let text = text.strip_prefix(", \"")?.strip_prefix(form.key())?.strip_prefix("\": ")?;
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let (arguments, after) = text.split_at_checked(values.byte_offset())?;
    let after = after.trim_start().strip_prefix('}')?;
    let call = ToolCall { id: id(form), name: name.to_owned(), arguments: arguments.trim().to_owned() };
    Some((call, after))
}

/// A name for a call that no other has: std's hasher keys come from the system's random numbers.
fn id(form: Form) -> String {
    let length = if form == Form::Listed { SHORT_ID } else { ID };
    let state = RandomState::new();
    let letter = |at: usize| {
        let random = state.hash_one(at) % LETTERS.len() as u64;
        usize::try_from(random).ok().and_then(|at| LETTERS.get(at)).map_or('0', |letter| char::from(*letter))
    };
    let letters: String = (0..length).map(letter).collect();
    if form == Form::Listed { letters } else { format!("call_{letters}") }
}
