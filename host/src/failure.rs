//! Why a command did nothing, for people and for programs.

use crate::bundles::chain;
use crate::release::Exit;
use crate::terminal::print;
use serde_json::json;
use std::error::Error;
use std::process::ExitCode;

/// What went wrong, in one line that ends with the next step, and what a script learns of it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// For `map_err`: an error with all its causes.
    pub(crate) fn of<E: Error>(exit: Exit) -> impl FnOnce(E) -> Self {
        move |error| Self::new(exit, chain(&error))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    /// A failure that no exit code names.
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, chain(&error))
    }
}

/// Says what went wrong on standard error, and with `--json` also on standard output.
pub(crate) fn told(json: bool, result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|Failure { exit, message }| {
        if json {
            print(&format!("{:#}\n", json!({ "error": message })));
        }
        crate::terminal::say(format_args!("error: {message}"));
        exit.into()
    })
}
