//! Why a command did nothing, for people and for programs: the one place where either is told.
//!
//! People read a line on standard error, which ends with the next step. With `--json` a program reads one document on
//! standard output besides, with the `error` in it: whatever went wrong, and whichever command it was.

use crate::admin::AdminError;
use crate::bundles::chain;
use crate::missing::NotThere;
use crate::release::Exit;
use crate::terminal::{lost, print, say};
use serde_json::{Map, Value, json};
use std::error::Error;
use std::process::ExitCode;

/// What went wrong, in one line that ends with the next step, and what a script learns of it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    more: Box<More>,
}

/// What not every failure has.
#[derive(Debug, Default)]
struct More {
    /// What a program knows it by; [`Exit::name`] where nothing says more.
    code: Option<String>,
    /// Next steps that stand in lines of their own.
    help: Vec<String>,
    /// What the error has besides.
    details: Map<String, Value>,
    /// What the document has besides the error.
    document: Map<String, Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), more: Box::default() }
    }

    /// For `map_err`: an error with all its causes.
    pub(crate) fn of<E: Error>(exit: Exit) -> impl FnOnce(E) -> Self {
        move |error| Self::new(exit, chain(&error))
    }

    /// What somebody reported who knows no exit codes.
    pub(crate) fn any(error: &anyhow::Error) -> Self {
        let exit = if error.is::<NotThere>() { Exit::Unknown } else { Exit::Failed };
        Self::new(exit, chain(error.as_ref()))
    }

    /// What the admin API refused, or why it could not be asked. The fields of its own document stay where programs
    /// find them, beside the error.
    pub(crate) fn of_admin(error: &AdminError, message: String) -> Self {
        let document = fields(error.document());
        let mut failure = Self::new(Exit::from(error), message);
        failure.more.code = document.get("code").and_then(Value::as_str).map(str::to_owned);
        failure.more.details.clone_from(&document);
        failure.more.document = document;
        failure
    }

    /// What a program knows it by.
    pub(crate) fn code(mut self, code: &str) -> Self {
        self.more.code = Some(code.to_owned());
        self
    }

    /// One more next step.
    pub(crate) fn help(mut self, step: impl Into<String>) -> Self {
        self.more.help.push(step.into());
        self
    }

    /// What was found or done before it failed: an object, beside whose members the error stands.
    pub(crate) fn beside(mut self, document: Value) -> Self {
        self.more.document = fields(document);
        self
    }

    /// For programs.
    pub(crate) fn document(self) -> Value {
        let Self { exit, message, more } = self;
        let More { code, help, mut details, mut document } = *more;
        details.insert("message".into(), message.into());
        details.insert("code".into(), code.unwrap_or_else(|| exit.name().to_owned()).into());
        details.insert("exit_code".into(), json!(exit as u8));
        if !help.is_empty() {
            details.insert("help".into(), json!(help));
        }
        document.insert("error".into(), details.into());
        document.into()
    }
}

fn fields(document: Value) -> Map<String, Value> {
    match document {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    /// A failure that no exit code names.
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, chain(&error))
    }
}

/// Says what went wrong on standard error, and with `--json` also on standard output. Whoever gave a command up with
/// Ctrl-C does not want to hear of it.
pub(crate) fn told(json: bool, result: Result<ExitCode, Failure>) -> ExitCode {
    let failure = match (result, lost()) {
        (Ok(code), None) => return code,
        (Ok(_done), Some(why)) => Failure::new(
            Exit::Failed,
            format!("standard output cannot be written, and what it was to get is lost: {why}"),
        ),
        (Err(failure), _) => failure,
    };
    let exit = failure.exit;
    if exit != Exit::GivenUp {
        say(format_args!("error: {}", failure.message));
        for step in &failure.more.help {
            say(format_args!("  help: {step}"));
        }
    }
    if json {
        print(&format!("{:#}\n", failure.document()));
    }
    exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_error_and_what_programs_read_before() {
        let failure = Failure::new(Exit::Unknown, "no such thing").help("look again").beside(json!({ "answered": 0 }));
        let expected = json!({
            "answered": 0,
            "error": { "message": "no such thing", "code": "not_found", "exit_code": 4, "help": ["look again"] },
        });
        assert_eq!(failure.document(), expected);
        let error = AdminError::Now("not now".into());
        let document = Failure::of_admin(&error, "not now".into()).document();
        assert_eq!((&document["code"], &document["detail"]), (&json!("not_now"), &json!("not now")), "{document}");
        assert_eq!(document["error"]["code"], "not_now", "{document}");
        assert_eq!(document["error"]["exit_code"], 3, "{document}");
    }
}
