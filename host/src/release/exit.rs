//! What a script learns from the exit code.

use crate::admin::{AdminError, Code, Problem};
use std::process::ExitCode;

/// How a command ended. [`HELP`] says the same to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done; with `--no-wait`, it was accepted.
    Done = 0,
    /// It failed for a reason that none of the others names.
    Failed = 1,
    /// The command line makes no sense; nothing was asked of the host.
    Usage = 2,
    /// The release is not as expected, or another change has the precedence.
    Conflict = 3,
    /// There is no such release or bundle.
    Unknown = 4,
    /// The version did not get ready, or the change makes no sense. What served goes on serving.
    Refused = 5,
    /// The host cannot be reached, is stopping, or does not take the token.
    Unreachable = 6,
    /// Somebody pressed Ctrl-C; what a shell calls that.
    GivenUp = 130,
}

impl Exit {
    /// What a document calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Conflict => "conflict",
            Self::Unknown => "not_found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::GivenUp => "given_up",
        }
    }
}

/// For `--help`, of every command that talks to a host.
pub(crate) const HELP: &str = "Exit codes:
  0  done (with --no-wait: accepted)
  1  failed
  2  the command line makes no sense
  3  conflict: the release is at another generation, is being changed, or has nothing to do this to
  4  no such release or bundle
  5  the version was refused: it did not verify, load, warm up or fit, or the change is not valid
  6  the host cannot be reached, is stopping, or does not take the token";

/// The end of a command's `--help`: its examples, then the exit codes.
pub(crate) fn help(examples: &str) -> String {
    format!("{examples}\n\n{HELP}")
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<&AdminError> for Exit {
    fn from(error: &AdminError) -> Self {
        match error {
            AdminError::Refused(problem) => Self::from(&**problem),
            AdminError::Unreachable { .. } | AdminError::Lost { .. } | AdminError::Strange { .. } => Self::Unreachable,
            AdminError::Now(_) => Self::Conflict,
            AdminError::Request(_) => Self::Usage,
        }
    }
}

impl From<&Problem> for Exit {
    fn from(problem: &Problem) -> Self {
        match problem.code {
            Code::UnknownRelease | Code::UnknownBundle | Code::UnknownKey => Self::Unknown,
            Code::StaleGeneration
            | Code::ChangeInProgress
            | Code::Superseded
            | Code::NothingToPromote
            | Code::NothingToRollBack
            | Code::NothingPending => Self::Conflict,
            Code::InvalidChange | Code::VersionFailed | Code::DoesNotFit => Self::Refused,
            Code::Unauthorized | Code::Stopping => Self::Unreachable,
            Code::InvalidBody | Code::NotPersisted | Code::UnreadableKeys => Self::Failed,
            Code::Other => of_status(problem.status.as_u16()),
        }
    }
}

/// A refusal with a code that only a newer host knows.
fn of_status(status: u16) -> Exit {
    match status {
        404 => Exit::Unknown,
        409 => Exit::Conflict,
        422 => Exit::Refused,
        502..=504 => Exit::Unreachable,
        0..=403 | 405..=408 | 410..=421 | 423..=501 | 505..=u16::MAX => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;
    use serde_json::json;

    fn exit(status: u16, code: &str) -> Exit {
        let status = StatusCode::from_u16(status).unwrap();
        let document = json!({ "type": "about:blank", "title": "x", "status": 1, "code": code, "detail": "why" });
        Exit::from(&AdminError::Refused(Box::new(Problem::read(status, document).unwrap())))
    }

    #[test]
    fn every_refusal_of_the_api_has_the_exit_code_that_the_help_says() {
        for (status, code, expected) in [
            (400, "invalid_body", Exit::Failed),
            (404, "unknown_release", Exit::Unknown),
            (404, "unknown_key", Exit::Unknown),
            (500, "unreadable_keys", Exit::Failed),
            (409, "stale_generation", Exit::Conflict),
            (409, "change_in_progress", Exit::Conflict),
            (409, "superseded", Exit::Conflict),
            (409, "nothing_to_promote", Exit::Conflict),
            (409, "nothing_to_roll_back", Exit::Conflict),
            (409, "nothing_pending", Exit::Conflict),
            (422, "unknown_bundle", Exit::Unknown),
            (422, "invalid_change", Exit::Refused),
            (422, "version_failed", Exit::Refused),
            (422, "does_not_fit", Exit::Refused),
            (507, "not_persisted", Exit::Failed),
            (503, "stopping", Exit::Unreachable),
            (401, "unauthorized", Exit::Unreachable),
            (401, "whatever_it_is_called", Exit::Unreachable),
        ] {
            assert_eq!(exit(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_refusal_of_a_newer_host_is_judged_by_its_status() {
        for (status, expected) in [
            (404, Exit::Unknown),
            (409, Exit::Conflict),
            (422, Exit::Refused),
            (418, Exit::Failed),
            (500, Exit::Failed),
        ] {
            assert_eq!(exit(status, "brand_new"), expected, "{status}");
        }
    }

    #[test]
    fn the_help_names_every_exit_code_once() {
        let codes: Vec<&str> = HELP.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(Exit::Unreachable as u8, 6);
    }
}
