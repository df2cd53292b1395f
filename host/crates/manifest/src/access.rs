//! Who may ask a route, and in which form the host says no: `keys` and `errors`, for all routes or for one trigger's.

use std::fmt;
use std::str::FromStr;

use crate::settings::Setting;

/// Whether a route demands an API key. The host checks it before any component runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyPolicy {
    /// Nobody is asked for one.
    #[default]
    None,
    /// Everybody is.
    Required,
    /// Everybody is, once the host has keys. Until then a listener on a loopback address is open, and a host that
    /// listens elsewhere does not start.
    LoopbackOpen,
}

/// Why a text says nothing of keys.
#[derive(Debug, thiserror::Error)]
#[error("keys are none (nobody needs one), required, or loopback-open (required once there are keys)")]
pub struct KeyPolicyError;

impl FromStr for KeyPolicy {
    type Err = KeyPolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "required" => Ok(Self::Required),
            "loopback-open" => Ok(Self::LoopbackOpen),
            _ => Err(KeyPolicyError),
        }
    }
}

impl fmt::Display for KeyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Required => "required",
            Self::LoopbackOpen => "loopback-open",
        })
    }
}

/// In which form the host answers a request that it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorStyle {
    /// Problem details (RFC 9457).
    #[default]
    Problem,
    /// The error object of OpenAI's API.
    OpenAi,
    /// A line of text.
    Plain,
}

/// Why a text names no form of errors.
#[derive(Debug, thiserror::Error)]
#[error("errors are problem (RFC 9457), openai (the error object of OpenAI's API) or plain (a line of text)")]
pub struct ErrorStyleError;

impl FromStr for ErrorStyle {
    type Err = ErrorStyleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "problem" => Ok(Self::Problem),
            "openai" => Ok(Self::OpenAi),
            "plain" => Ok(Self::Plain),
            _ => Err(ErrorStyleError),
        }
    }
}

impl fmt::Display for ErrorStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Problem => "problem",
            Self::OpenAi => "openai",
            Self::Plain => "plain",
        })
    }
}

/// What is said of the access to routes. What is not said is said elsewhere, or is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccessSettings {
    /// Whether a key is needed.
    pub keys: Option<KeyPolicy>,
    /// The form of errors.
    pub errors: Option<ErrorStyle>,
}

/// What holds for one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Whether a key is needed.
    pub keys: KeyPolicy,
    /// The form of errors.
    pub errors: ErrorStyle,
}

impl AccessSettings {
    /// What holds where these go before those of all routes.
    pub(crate) fn over(self, all: Self) -> Access {
        Access {
            keys: self.keys.or(all.keys).unwrap_or_default(),
            errors: self.errors.or(all.errors).unwrap_or_default(),
        }
    }
}

impl Setting for KeyPolicy {
    const CALLED: &'static str = "rule for keys";
    const WORDS: &'static [&'static str] = &["none", "required", "loopback-open"];
}

impl Setting for ErrorStyle {
    const CALLED: &'static str = "form of errors";
    const WORDS: &'static [&'static str] = &["problem", "openai", "plain"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_read_as_it_is_written() {
        for word in KeyPolicy::WORDS {
            assert_eq!(word.parse::<KeyPolicy>().map(|policy| policy.to_string()).ok().as_deref(), Some(*word));
        }
        for word in ErrorStyle::WORDS {
            assert_eq!(word.parse::<ErrorStyle>().map(|style| style.to_string()).ok().as_deref(), Some(*word));
        }
        assert!("Required".parse::<KeyPolicy>().is_err() && "json".parse::<ErrorStyle>().is_err());
    }

    #[test]
    fn a_triggers_own_word_goes_before_that_of_all_and_silence_is_open() {
        let all = AccessSettings { keys: Some(KeyPolicy::Required), errors: Some(ErrorStyle::Plain) };
        let own = AccessSettings { keys: None, errors: Some(ErrorStyle::OpenAi) };
        assert_eq!(own.over(all), Access { keys: KeyPolicy::Required, errors: ErrorStyle::OpenAi });
        let silent = AccessSettings::default();
        assert_eq!(silent.over(silent), Access { keys: KeyPolicy::None, errors: ErrorStyle::Problem });
    }
}
