//! From tools to the grammar of an answer, in the language of llguidance.
//!
//! An answer is text, or text and then calls; which of the two it is never depends on what comes later, so that a call
//! which has begun is one. The arguments are grammars of their own, one for each tool, made of its schema.

use super::offer::Tool;
use super::{Form, MOST_CALLS, Writing};
use bobbin_inference::{Calls, ToolUse};
use std::fmt::Write;

/// How the grammar of a tool's arguments is called.
pub(in super::super) fn arguments(at: usize) -> String {
    format!("arguments_{at}")
}

/// How the grammar of an answer without calls is called, where there is a schema for it.
pub(in super::super) const RESPONSE: &str = "response";

/// What an answer may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Answer {
    /// The grammar: of the whole answer, or of what follows the token that begins the calls.
    pub(in super::super) lark: String,
    /// The grammar is of what follows this token.
    pub(in super::super) after: Option<super::Token>,
    /// Whether an answer may go without calls.
    pub(in super::super) free: bool,
}

/// What is to obey a schema and cannot, as this form does not tell text from calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the option \"json_schema\" and tools that the model is free to call do not go together for this model: it begins calls \
     in a way that an answer of a schema may begin, too; set \"tool_choice\", or leave the schema out"
)]
pub(in super::super) struct NotApart;

/// The grammar of an answer that may, or must, call these tools.
///
/// # Errors
/// [`NotApart`]
pub(in super::super) fn answer(writing: Writing, used: &ToolUse, tools: &[Tool]) -> Result<Answer, NotApart> {
    let (form, free) = (writing.form, used.calls == Calls::Free);
    let response = free && used.response.is_some();
    if response && (form == Form::Bare || writing.opener.is_some()) {
        return Err(NotApart);
    }
    let mut lark = String::new();
    let mut rule = |name: &str, body: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(lark, "{name}: {body}");
    };
    let many = used.parallel && form != Form::Bare;
    let more = |separator: &str, call: &str| match many {
        true => format!(" (\"{separator}\" {call}){{0,{}}}", MOST_CALLS - 1),
        false => String::new(),
    };
    let (calls, opener) = match form {
        Form::Tagged => (format!("tagged{}", more("\\n<tool_call>", "tagged")), "\"<tool_call>\" "),
        Form::Listed => (format!("\"[\" one{} \"]\"", more(", ", "one")), "\"[TOOL_CALLS]\" "),
        Form::Bare => ("one".to_owned(), ""),
    };
    let after = writing.opener;
    let start = match (free, after.is_some()) {
        (_, true) => "calls".to_owned(),
        (false, false) => format!("{opener}calls"),
        (true, false) if response => format!("@{RESPONSE} | {opener}calls"),
        (true, false) if form == Form::Bare => "TEXT | calls".to_owned(),
        (true, false) => "TEXT | BEGUN calls".to_owned(),
    };
    rule("start", &start);
    if free && !response && after.is_none() {
        text(form, &mut rule);
    }
    rule("calls", &calls);
    if form == Form::Tagged {
        rule("tagged", "\"\\n\" one \"\\n</tool_call>\"");
    }
    let one = |(at, tool): (usize, &Tool)| format!("{:?} @{} \"}}\"", form.head(&tool.name), arguments(at));
    rule("one", &tools.iter().enumerate().map(one).collect::<Vec<_>>().join(" | "));
    Ok(Answer { lark, after, free })
}

/// Text that is no call, and text up to where the calls begin.
fn text(form: Form, rule: &mut impl FnMut(&str, &str)) {
    match form {
        Form::Tagged => {
            rule("TEXT", "/(?s:.*)/ & ~/(?s:.*)<tool_call>(?s:.*)/");
            rule("BEGUN", "/(?s:.*)<tool_call>/ & ~/(?s:.*)<tool_call>(?s:.+)/");
        }
        Form::Listed => {
            rule("TEXT", "/(?s:.*)/ & ~/(?s:.*)\\[TOOL_CALLS\\](?s:.*)/");
            rule("BEGUN", "/(?s:.*)\\[TOOL_CALLS\\]/ & ~/(?s:.*)\\[TOOL_CALLS\\](?s:.+)/");
        }
        // An answer that begins as a call does is one.
        Form::Bare => rule("TEXT", "/[ \\t\\r\\n]*([^{ \\t\\r\\n](?s:.*))?/"),
    }
}
