//! The settings of a declared release that are words: its policy, and what its split sticks to.

use std::fmt;
use std::str::FromStr;

use crate::errors::{Problem, ProblemKind};
use crate::reader::Node;

/// The longest name of a header or a cookie, in bytes.
const LONGEST_NAME: usize = 64;

/// In which order versions are loaded and retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The host chooses, by the memory that is free and by what the new version needs.
    Auto,
    /// Load the new version, then retire the old one.
    Availability,
    /// Retire the old version, then load the new one.
    Resource,
}

/// Why a text is no policy.
#[derive(Debug, thiserror::Error)]
#[error("a policy is auto (the host chooses), availability (load, then retire) or resource (retire, then load)")]
pub struct PolicyError;

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "availability" => Ok(Self::Availability),
            "resource" => Ok(Self::Resource),
            _ => Err(PolicyError),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Availability => "availability",
            Self::Resource => "resource",
        })
    }
}

/// What decides which requests a candidate gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// Nothing: every request is decided by itself, evenly.
    Request,
    /// The client's address.
    Client,
    /// The value of a header, by its name in lower case.
    Header(String),
    /// The value of a cookie, by its name.
    Cookie(String),
}

/// Why a text names nothing that a split can stick to.
#[derive(Debug, thiserror::Error)]
pub enum StickyError {
    /// It is none of the four forms.
    #[error("a split sticks to request (to nothing), client, header:<name> or cookie:<name>")]
    Form,
    /// No header and no cookie can have this name.
    #[error("{0:?} is no name of at most {LONGEST_NAME} letters, digits and any of !#$%&'*+-.^_`|~")]
    Name(String),
}

impl FromStr for Sticky {
    type Err = StickyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "request" => Ok(Self::Request),
            None if text == "client" => Ok(Self::Client),
            // Header names have no case.
            Some(("header", name)) => token(name).map(|name| Self::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) => token(name).map(|name| Self::Cookie(name.to_owned())),
            None | Some(_) => Err(StickyError::Form),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("request"),
            Self::Client => f.write_str("client"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// HTTP's rule for the names of headers, which is also that for cookies.
fn token(name: &str) -> Result<&str, StickyError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
        return Err(StickyError::Name(name.to_owned()));
    }
    Ok(name)
}

/// A setting that can be read from a manifest.
pub(crate) trait Setting: FromStr<Err: std::error::Error + Send + Sync + 'static> {
    /// What a wrong one is not: "`{text}` is no ..".
    const CALLED: &'static str;
    /// What can be written, for suggestions.
    const WORDS: &'static [&'static str];
}

impl Setting for Policy {
    const CALLED: &'static str = "policy";
    const WORDS: &'static [&'static str] = &["auto", "availability", "resource"];
}

impl Setting for Sticky {
    const CALLED: &'static str = "key for a split to stick to";
    const WORDS: &'static [&'static str] = &["request", "client", "header:<name>", "cookie:<name>"];
}

/// Reads a setting, or reports why it is none.
pub(crate) fn read<S: Setting>(node: &Node<'_>) -> Option<S> {
    let text = node.string()?;
    match text.value.parse() {
        Ok(setting) => Some(setting),
        Err(cause) => {
            let cause: S::Err = cause;
            let what = format!("{:?} is no {}", text.value, S::CALLED);
            let help = bobbin_suggest::help(&text.value, S::WORDS.iter().copied(), "remove it");
            node.found.error(text.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_written_as_it_is_read_but_for_the_case_of_a_header() {
        for text in ["request", "client", "header:x-user", "cookie:Session"] {
            assert_eq!(text.parse::<Sticky>().unwrap().to_string(), text);
        }
        for text in ["auto", "availability", "resource"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-User".parse::<Sticky>().unwrap(), Sticky::Header("x-user".into()));
    }

    #[test]
    fn a_split_sticks_to_nothing_that_no_request_can_have() {
        for text in ["header", "header:", "header:a b", "cookie:a=b", "header:né", "", "Client", "request:x"] {
            assert!(text.parse::<Sticky>().is_err(), "{text}");
        }
        assert!(format!("cookie:{}", "a".repeat(64)).parse::<Sticky>().is_ok());
        assert!(format!("cookie:{}", "a".repeat(65)).parse::<Sticky>().is_err());
    }
}
