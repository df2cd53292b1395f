//! What a call on the host can answer instead of a result.

use crate::raw::errors;
use serde::Deserialize;
use std::fmt;

pub use crate::raw::errors::ErrorCode;

/// A failed call.
///
/// wasi-nn gives an error a code and a free text; this host's text is always JSON with the three other fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// wasi-nn's code.
    pub code: ErrorCode,
    /// The machine-readable reason, such as `unknown_option` or `context_exceeded`.
    pub reason: String,
    /// For people: what, where, why, and the next step.
    pub message: String,
    /// Whether the same request may succeed when sent again.
    pub retryable: bool,
}

#[derive(Deserialize)]
struct Data {
    code: String,
    message: String,
    retryable: bool,
}

impl Error {
    /// An error of the component's own about what its client sent: [`ErrorCode::InvalidArgument`] with the
    /// reason `invalid_input`.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::fixed(ErrorCode::InvalidArgument, "invalid_input", message.into())
    }

    /// There is no such thing: [`ErrorCode::NotFound`] with the reason `not_found`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::fixed(ErrorCode::NotFound, "not_found", message.into())
    }

    /// The client sent more than is taken: [`ErrorCode::TooLarge`] with the reason `limit_exceeded`.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::fixed(ErrorCode::TooLarge, "limit_exceeded", message.into())
    }

    /// The host answered something that the contract does not know.
    pub(crate) fn unexpected(message: String) -> Self {
        Self::fixed(ErrorCode::Unknown, "unexpected_output", message)
    }

    fn fixed(code: ErrorCode, reason: &str, message: String) -> Self {
        Self { code, reason: reason.to_owned(), message, retryable: false }
    }

    /// From a code and the error's data; data of another host, which may be any text, becomes the message.
    fn new(code: ErrorCode, data: String) -> Self {
        match serde_json::from_str::<Data>(&data) {
            Ok(Data { code: reason, message, retryable }) => Self { code, reason, message, retryable },
            Err(_) => Self { code, reason: code_name(code).replace('-', "_"), message: data, retryable: false },
        }
    }

    /// wasi-nn's name of the code, such as `invalid-argument`.
    #[must_use]
    pub fn code_name(&self) -> &'static str {
        code_name(self.code)
    }

    /// The HTTP status that tells a client the same. Decided here and nowhere else.
    #[must_use]
    pub fn status(&self) -> u16 {
        match (self.code, self.retryable) {
            (ErrorCode::InvalidArgument, _) => 400,
            (ErrorCode::Security, _) => 403,
            (ErrorCode::NotFound, _) => 404,
            (ErrorCode::TooLarge, _) => 413,
            (ErrorCode::UnsupportedOperation, _) => 422,
            (ErrorCode::InvalidEncoding, _) => 501,
            // A full queue is over soon; a passed deadline is not helped by sending the same again at once.
            (ErrorCode::Timeout, _) if self.reason == "queue_full" => 503,
            (ErrorCode::Timeout, _) => 504,
            (ErrorCode::RuntimeError | ErrorCode::Unknown, true) => 503,
            (ErrorCode::RuntimeError, false) => 502,
            (ErrorCode::Unknown, false) => 500,
        }
    }
}

fn code_name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::InvalidEncoding => "invalid-encoding",
        ErrorCode::Timeout => "timeout",
        ErrorCode::RuntimeError => "runtime-error",
        ErrorCode::UnsupportedOperation => "unsupported-operation",
        ErrorCode::TooLarge => "too-large",
        ErrorCode::NotFound => "not-found",
        ErrorCode::Security => "security",
        ErrorCode::Unknown => "unknown",
    }
}

impl From<errors::Error> for Error {
    fn from(error: errors::Error) -> Self {
        Self::new(error.code(), error.data())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.message, self.code_name(), self.reason)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_this_host_is_taken_apart() {
        let data = r#"{"code": "unknown_option", "message": "unknown option \"max\"", "retryable": false}"#;
        let error = Error::new(ErrorCode::InvalidArgument, data.to_owned());
        assert_eq!(error.reason, "unknown_option");
        assert_eq!(error.to_string(), "unknown option \"max\" (invalid-argument, unknown_option)");
        assert_eq!(error.status(), 400);
    }

    #[test]
    fn the_data_of_another_host_is_the_message() {
        let error = Error::new(ErrorCode::RuntimeError, "out of cheese".to_owned());
        assert_eq!((error.reason.as_str(), error.message.as_str()), ("runtime_error", "out of cheese"));
        assert_eq!(error.status(), 502);
    }

    #[test]
    fn a_full_queue_and_a_passed_deadline_have_different_statuses() {
        let timeout = |reason: &str| Error { retryable: true, ..Error::fixed(ErrorCode::Timeout, reason, "".into()) };
        assert_eq!(timeout("queue_full").status(), 503);
        assert_eq!(timeout("deadline_exceeded").status(), 504);
    }
}
