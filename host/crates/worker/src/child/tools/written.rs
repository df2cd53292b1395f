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

    /// The token came that begins the calls. Text that was held back is appended to `text`.
    pub(in super::super) fn begin(&mut self, text: &mut String) {
        if !self.begun {
            text.push_str(&self.held);
            self.held.clear();
        }
        self.begun = true;
    }

    /// Takes what is new, and appends to `text` what is certain to come before the calls.
    pub(in super::super) fn push(&mut self, new: &str, text: &mut String) {
        self.held.push_str(new);
        if self.begun {
            return;
        }
        let certain = match self.form.opener() {
            None => self.before_an_object(),
            Some(opener) => self.before(opener),
        };
        let (before, _) = self.held.split_at(certain);
        self.said |= !before.trim().is_empty();
        text.push_str(before);
        self.held.drain(..certain);
    }

    /// Bytes before the calls, or before what may turn out to begin them.
    fn before(&mut self, opener: &str) -> usize {
        if let Some(at) = self.held.find(opener) {
            self.begun = true;
            return at;
        }
        let begins =
            |keep: &usize| opener.as_bytes().get(..*keep).is_some_and(|part| self.held.as_bytes().ends_with(part));
        self.held.len() - (1..opener.len()).rev().find(begins).unwrap_or(0)
    }

    /// An answer whose first letter is `{` is a call; any other is text.
    fn before_an_object(&mut self) -> usize {
        match self.held.trim_start().chars().next() {
            Some('{') if !self.said => {
                self.begun = true;
                0
            }
            None if !self.said => 0,
            _ => self.held.len(),
        }
    }

    /// The end came: appends text that was held back, and returns the calls that are whole. What was `cut` off is left
    /// out: a call, and what looks like the beginning of one, since nobody should see the marks that part calls from text.
    pub(in super::super) fn finish(&mut self, cut: bool, text: &mut String) -> Vec<ToolCall> {
        let held = std::mem::take(&mut self.held);
        if self.begun {
            return calls(self.form, &held);
        }
        if !cut {
            text.push_str(&held);
        }
        Vec::new()
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
