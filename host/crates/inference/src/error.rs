//! What can go wrong with a compute, in the words of the wasi-nn contract.
//!
//! Three audiences read an [`InferenceError`]: a guest's code matches on [`ErrorKind`] (wasi-nn's nine
//! codes), a program behind HTTP matches on [`Reason`], a person reads the message, which says what, where,
//! why and the next step. What the log needs besides is logged where the error is handled, once.

use serde::{Deserialize, Serialize};

/// The longest message, in bytes; a refused option names all that are allowed, which takes some 400.
pub const MAX_MESSAGE_BYTES: usize = 1000;

/// wasi-nn's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The caller passed something wrong; the same call can never succeed.
    InvalidArgument,
    /// No backend for the encoding.
    InvalidEncoding,
    /// A deadline passed, in the queue or while computing.
    Timeout,
    /// The backend failed; a worker was lost.
    RuntimeError,
    /// The model cannot do what was asked.
    UnsupportedOperation,
    /// The input is larger than the model's context or the host's limits.
    TooLarge,
    /// No such model for this component.
    NotFound,
    /// The host refuses for reasons of security.
    Security,
    /// Nothing of the above.
    Unknown,
}

/// The machine-readable reason: the `code` of the JSON in a wasi-nn error's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An option that the contract does not know.
    UnknownOption,
    /// An option outside its range or of the wrong type.
    InvalidOption,
    /// A tensor with the wrong name, type, shape or bytes.
    InvalidTensor,
    /// Input that is no UTF-8 or no JSON where it must be.
    InvalidInput,
    /// A grammar or schema that does not compile or is over its bound.
    InvalidGrammar,
    /// Prompt (and history) over the context of the model.
    ContextExceeded,
    /// Input or output over the request's account or a frame's bound.
    LimitExceeded,
    /// The request's deadline passed.
    DeadlineExceeded,
    /// The wait for room in the worker passed its bound.
    QueueFull,
    /// The client is gone, or the request was given up.
    Cancelled,
    /// The worker died; what it was computing is lost.
    WorkerLost,
    /// The worker is not serving yet: it is being started, or started again.
    WorkerUnavailable,
    /// The version cannot serve, and will not by waiting: it did not verify or load, or it is quarantined.
    VersionFailed,
    /// llama.cpp reported a failure.
    BackendFailed,
    /// The model is of another kind (an embedder asked to generate).
    UnsupportedByModel,
    /// The model name is unknown or not granted to this component.
    ModelNotFound,
    /// A graph loaded from bytes that the guest brought.
    GuestBytesRefused,
    /// No backend for this encoding.
    NoBackend,
    /// The version is being retired.
    VersionRetired,
    /// A call out of order, such as `compute` on a finished stream.
    InvalidState,
    /// A bug of the host.
    Internal,
}

/// A failed compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct InferenceError {
    /// wasi-nn's code.
    pub kind: ErrorKind,
    /// The machine-readable reason.
    pub reason: Reason,
    /// For people: what, where, why, and the next step.
    pub message: String,
    /// Whether the same request may succeed when sent again.
    pub retryable: bool,
}

impl Reason {
    /// The snake-case name used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownOption => "unknown_option",
            Self::InvalidOption => "invalid_option",
            Self::InvalidTensor => "invalid_tensor",
            Self::InvalidInput => "invalid_input",
            Self::InvalidGrammar => "invalid_grammar",
            Self::ContextExceeded => "context_exceeded",
            Self::LimitExceeded => "limit_exceeded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::QueueFull => "queue_full",
            Self::Cancelled => "cancelled",
            Self::WorkerLost => "worker_lost",
            Self::WorkerUnavailable => "worker_unavailable",
            Self::VersionFailed => "version_failed",
            Self::BackendFailed => "backend_failed",
            Self::UnsupportedByModel => "unsupported_by_model",
            Self::ModelNotFound => "model_not_found",
            Self::GuestBytesRefused => "guest_bytes_refused",
            Self::NoBackend => "no_backend",
            Self::VersionRetired => "version_retired",
            Self::InvalidState => "invalid_state",
            Self::Internal => "internal",
        }
    }

    /// Whether it is whoever asked that made the mistake, or gave up: no version would have answered that.
    #[must_use]
    pub fn is_the_callers(self) -> bool {
        let (kind, _) = self.policy();
        matches!(
            kind,
            ErrorKind::InvalidArgument
                | ErrorKind::TooLarge
                | ErrorKind::NotFound
                | ErrorKind::Security
                | ErrorKind::InvalidEncoding
        ) || self == Self::Cancelled
    }

    /// The one place that decides wasi-nn's code and whether a retry can help.
    #[must_use]
    pub fn policy(self) -> (ErrorKind, bool) {
        match self {
            Self::UnknownOption
            | Self::InvalidOption
            | Self::InvalidTensor
            | Self::InvalidInput
            | Self::InvalidGrammar
            | Self::InvalidState => (ErrorKind::InvalidArgument, false),
            Self::ContextExceeded | Self::LimitExceeded => (ErrorKind::TooLarge, false),
            Self::DeadlineExceeded | Self::QueueFull => (ErrorKind::Timeout, true),
            Self::Cancelled => (ErrorKind::Unknown, true),
            Self::WorkerLost | Self::WorkerUnavailable | Self::VersionRetired => (ErrorKind::RuntimeError, true),
            Self::BackendFailed | Self::VersionFailed => (ErrorKind::RuntimeError, false),
            Self::UnsupportedByModel => (ErrorKind::UnsupportedOperation, false),
            Self::ModelNotFound => (ErrorKind::NotFound, false),
            Self::GuestBytesRefused => (ErrorKind::Security, false),
            Self::NoBackend => (ErrorKind::InvalidEncoding, false),
            Self::Internal => (ErrorKind::Unknown, false),
        }
    }
}

impl InferenceError {
    /// An error whose code and retry policy follow from the reason. A long message is cut: it may quote what a
    /// guest sent, and a guest must not choose how much the host keeps and logs.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let (kind, retryable) = reason.policy();
        let mut message = message.into();
        if message.len() > MAX_MESSAGE_BYTES {
            // A new string: one that is only made shorter keeps its memory.
            let (kept, _) = message.split_at(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message = format!("{kept}…");
        }
        Self { kind, reason, message, retryable }
    }

    /// The `data` of a wasi-nn error: JSON `{"code", "message", "retryable"}`.
    #[must_use]
    pub fn data(&self) -> String {
        serde_json::json!({
            "code": self.reason.as_str(),
            "message": self.message,
            "retryable": self.retryable,
        })
        .to_string()
    }

    /// The request was given up before it finished.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(Reason::Cancelled, "the request was given up before its answer was complete")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_json_with_the_three_keys() {
        let error = InferenceError::new(Reason::UnknownOption, "option \"temprature\" is unknown");
        let data: serde_json::Value = serde_json::from_str(&error.data()).unwrap();
        assert_eq!(data["code"], "unknown_option");
        assert_eq!(data["retryable"], false);
        assert!(data["message"].as_str().unwrap().contains("temprature"));
    }

    #[test]
    fn a_message_that_quotes_too_much_is_cut_between_characters() {
        let error = InferenceError::new(Reason::ModelNotFound, format!("no graph \"{}\"", "é".repeat(1 << 20)));
        assert!(error.message.len() <= MAX_MESSAGE_BYTES + 3, "{}", error.message.len());
        assert!(error.message.ends_with('…'));
        assert!(error.message.capacity() <= 2 * MAX_MESSAGE_BYTES, "{}", error.message.capacity());
    }

    #[test]
    fn the_name_in_data_is_the_serialised_name() {
        let json = serde_json::to_value(Reason::ContextExceeded).unwrap();
        assert_eq!(json, Reason::ContextExceeded.as_str());
    }
}
