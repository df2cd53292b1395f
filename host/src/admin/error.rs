//! Why the admin API did not do what was asked.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// The machine-readable reason of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    InvalidBody,
    UnknownRelease,
    UnknownKey,
    UnreadableKeys,
    StaleGeneration,
    ChangeInProgress,
    Superseded,
    NothingToPromote,
    NothingToRollBack,
    NothingPending,
    UnknownBundle,
    InvalidChange,
    VersionFailed,
    DoesNotFit,
    NotPersisted,
    Stopping,
    Unauthorized,
    /// One that this program does not know; its status says more.
    #[serde(other)]
    Other,
}

/// A refusal of the host: problem details (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) current_generation: Option<u64>,
    pub(crate) request_id: Option<String>,
    /// As it came.
    pub(crate) document: Value,
}

#[derive(Deserialize)]
struct Document {
    code: Code,
    detail: String,
    current_generation: Option<u64>,
    request_id: Option<String>,
}

impl Problem {
    /// Reads problem details; `None` where the document is something else.
    pub(crate) fn read(status: StatusCode, document: Value) -> Option<Self> {
        let Document { code, detail, current_generation, request_id } = Document::deserialize(&document).ok()?;
        // Whatever a refused token is called, its status says that it is one.
        let refused = status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN;
        let code = if refused { Code::Unauthorized } else { code };
        Some(Self { status, code, detail, current_generation, request_id, document })
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The host said no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// Nobody answers.
    #[error(
        "no host answers at {url}: {cause}; start one with `bobbin up`, or say where it is with --admin (BOBBIN_ADMIN)"
    )]
    Unreachable {
        /// The admin address.
        url: String,
        /// The innermost cause, which is the one that says something.
        cause: String,
        #[source]
        source: reqwest::Error,
    },
    /// The answer broke off.
    #[error(
        "the host at {url} went away before it had answered: {cause}; when it is back, \
         `bobbin release show` says whether the change was committed"
    )]
    Lost {
        /// The admin address.
        url: String,
        /// The innermost cause.
        cause: String,
        #[source]
        source: reqwest::Error,
    },
    /// Somebody else answers, or a host of another version.
    #[error("{url} answers, but not as Bobbin's admin API: {what}; correct --admin (BOBBIN_ADMIN)")]
    Strange {
        /// The address asked.
        url: String,
        /// What it answered.
        what: String,
    },
    /// What was asked for makes no sense as the release stands; found here, before anything was changed.
    #[error("{0}")]
    Now(String),
    /// This side could not even ask.
    #[error("the request could not be made: {0}")]
    Request(String),
}

impl AdminError {
    /// Sorts what the client library reports.
    pub(crate) fn transport(url: &str, source: reqwest::Error) -> Self {
        let (url, cause) = (url.to_owned(), innermost(&source));
        if source.is_builder() {
            return Self::Request(cause);
        }
        if source.is_connect() { Self::Unreachable { url, cause, source } } else { Self::Lost { url, cause, source } }
    }

    /// For programs: the host's own words, or the same shape.
    pub(crate) fn document(&self) -> Value {
        let (title, code) = match self {
            Self::Refused(problem) => return problem.document.clone(),
            Self::Unreachable { .. } => ("The host cannot be reached", "unreachable"),
            Self::Lost { .. } => ("The host went away", "connection_lost"),
            Self::Strange { .. } => ("This is no admin API", "not_the_admin_api"),
            Self::Now(_) => ("Not as the release stands", "not_now"),
            Self::Request(_) => ("No request", "invalid_request"),
        };
        json!({ "type": "about:blank", "title": title, "code": code, "detail": self.to_string() })
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
