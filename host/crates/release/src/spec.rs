//! What a release is set to: plain values, without workers, clocks or disks.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How long a replaced version may finish its answers where nobody says, in seconds.
pub const DRAIN_SECONDS: u64 = 30;
/// How long the previous stable is kept warm where nobody says, in seconds.
pub const KEEP_WARM_SECONDS: u64 = 600;
/// The longest drain, in seconds: a day.
pub const LONGEST_DRAIN: u64 = 24 * 60 * 60;
/// The longest time that a previous version is kept warm, in seconds: a week.
pub const LONGEST_WARM: u64 = 7 * LONGEST_DRAIN;

/// Everything that a generation of a release fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// `name@version` that answers.
    pub stable: Arc<str>,
    /// A version that takes a share of the requests.
    #[serde(default)]
    pub candidate: Option<Candidate>,
    /// A version that scores answers which the others gave.
    #[serde(default)]
    pub shadow: Option<Arc<str>>,
    /// The stable version before this one: where a rollback leads.
    #[serde(default)]
    pub previous: Option<Arc<str>>,
    /// Seconds that a replaced version has to finish its answers.
    pub drain_seconds: u64,
    /// Seconds for which the previous version stays loaded.
    pub keep_warm_seconds: u64,
    /// What happens first when stable is replaced.
    #[serde(default)]
    pub policy: Policy,
    /// What decides between stable and candidate.
    #[serde(default)]
    pub sticky: Sticky,
    /// Whether a request may name its version in the header `bobbin-version`.
    #[serde(default)]
    pub version_header: bool,
    /// Whether a request may load each version that is live by its exact name, `name@version`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exact_versions: bool,
    /// When the release stops answering, where that is decided: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires: Option<u64>,
}

/// The last second that a release may retire in: the end of the year 9999, after which times have no form.
pub(crate) const LATEST_RETIREMENT: u64 = 253_402_300_799;

impl Spec {
    /// A release that serves one version, with defaults for the rest.
    #[must_use]
    pub fn of(stable: Arc<str>) -> Self {
        Self {
            stable,
            candidate: None,
            shadow: None,
            previous: None,
            drain_seconds: DRAIN_SECONDS,
            keep_warm_seconds: KEEP_WARM_SECONDS,
            policy: Policy::default(),
            sticky: Sticky::default(),
            version_header: false,
            exact_versions: false,
            retires: None,
        }
    }
}

/// A version that takes a share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// `name@version`.
    pub bundle: Arc<str>,
    /// Its share.
    pub weight: Weight,
}

/// A share of requests, in tenths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(u16);

/// A number that is no weight.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the weight {0} is not possible; give a percentage from 0 to 100 with at most one decimal, such as 12.5")]
pub struct WeightError(f64);

impl Weight {
    /// A weight from a percentage.
    ///
    /// # Errors
    /// [`WeightError`] outside of 0 to 100, and for more than one decimal.
    pub fn percent(percent: f64) -> Result<Self, WeightError> {
        let tenths = (percent * 10.0).round();
        let exact = (percent - tenths / 10.0).abs() < 1e-12;
        if !(0.0..=100.0).contains(&percent) || !exact {
            return Err(WeightError(percent));
        }
        Ok(Self(tenths as u16))
    }

    /// As a percentage.
    #[must_use]
    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// From 0 to 1000.
    #[must_use]
    pub fn tenths(self) -> u16 {
        self.0
    }
}

impl TryFrom<f64> for Weight {
    type Error = WeightError;

    fn try_from(percent: f64) -> Result<Self, WeightError> {
        Self::percent(percent)
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> Self {
        weight.as_percent()
    }
}

/// What happens first when a stable version is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Whatever the memory that is free allows: the first of the other two that fits.
    #[default]
    Auto,
    /// The new version is loaded, then the old one retires: both need room for a while.
    Availability,
    /// The old version retires, then the new one is loaded: requests are refused in between.
    Resource,
}

impl Policy {
    /// The name in JSON and on command lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Availability => "availability",
            Self::Resource => "resource",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no policy, or no way to stick.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}; write {help}")]
pub struct UnknownWord {
    text: String,
    what: &'static str,
    help: &'static str,
}

impl FromStr for Policy {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [Self::Auto, Self::Availability, Self::Resource].into_iter().find(|policy| policy.as_str() == text).ok_or_else(
            || UnknownWord {
                text: text.to_owned(),
                what: "policy",
                help: "\"auto\", \"availability\" or \"resource\"",
            },
        )
    }
}

/// What decides between stable and candidate, and so what stays on its side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sticky {
    /// Nothing sticks: each request is decided by itself, and the shares are even at every moment.
    #[default]
    Request,
    /// The client's address.
    Client,
    /// A header's value; a request without it is decided by itself. In lower case.
    Header(String),
    /// A cookie's value; a request without it is decided by itself.
    Cookie(String),
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

impl FromStr for Sticky {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text.split_once(':') {
            None if text == "request" => Ok(Self::Request),
            None if text == "client" => Ok(Self::Client),
            Some(("header", name)) if is_token(name) => Ok(Self::Header(name.to_ascii_lowercase())),
            Some(("cookie", name)) if is_token(name) => Ok(Self::Cookie(name.to_owned())),
            _ => Err(UnknownWord {
                text: text.to_owned(),
                what: "way to stick",
                help: "\"request\", \"client\", \"header:<name>\" or \"cookie:<name>\"",
            }),
        }
    }
}

impl TryFrom<String> for Sticky {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse()
    }
}

impl From<Sticky> for String {
    fn from(sticky: Sticky) -> Self {
        sticky.to_string()
    }
}

/// A token as RFC 9110 has it: what names a header, and a cookie.
fn is_token(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_percentage_in_tenths() {
        for (percent, tenths) in [(0.0, 0), (0.1, 1), (12.5, 125), (33.3, 333), (100.0, 1000)] {
            let weight = Weight::percent(percent).unwrap();
            assert_eq!((weight.tenths(), weight.as_percent()), (tenths, percent));
        }
        for bad in [-0.1, 100.1, 0.05, 1e-8, 33.33, f64::NAN, f64::INFINITY] {
            assert!(Weight::percent(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ways_to_stick_are_written_as_they_are_read() {
        for text in ["request", "client", "header:x-user", "cookie:Session_1"] {
            assert_eq!(text.parse::<Sticky>().unwrap().to_string(), text);
        }
        assert_eq!("header:X-User".parse(), Ok(Sticky::Header("x-user".into())));
        for bad in ["", "header", "header:", "header:a b", "cookie:a;b", "ip", "Request"] {
            assert!(bad.parse::<Sticky>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_state_folder_of_today_is_read_tomorrow() {
        let written = r#"{"stable":"s@1.0.0","candidate":{"bundle":"s@1.1.0","weight":12.5},"shadow":null,
            "previous":"s@0.9.0","drain_seconds":30,"keep_warm_seconds":600,"policy":"auto","sticky":"client",
            "version_header":true}"#;
        let spec: Spec = serde_json::from_str(written).unwrap();
        let expected = Spec {
            candidate: Some(Candidate { bundle: "s@1.1.0".into(), weight: Weight(125) }),
            previous: Some("s@0.9.0".into()),
            sticky: Sticky::Client,
            version_header: true,
            ..Spec::of("s@1.0.0".into())
        };
        assert_eq!(spec, expected);
        assert_eq!(serde_json::to_value(&spec).unwrap(), serde_json::from_str::<serde_json::Value>(written).unwrap());
        let more = written.replace("true}", r#"true,"exact_versions":true,"retires":1801353600}"#);
        let spec: Spec = serde_json::from_str(&more).unwrap();
        assert_eq!((spec.exact_versions, spec.retires), (true, Some(1_801_353_600)));
        assert_eq!(serde_json::to_value(&spec).unwrap(), serde_json::from_str::<serde_json::Value>(&more).unwrap());
        let least = r#"{"stable":"s@1.0.0","drain_seconds":30,"keep_warm_seconds":600}"#;
        assert_eq!(serde_json::from_str::<Spec>(least).unwrap(), Spec::of("s@1.0.0".into()));
    }
}
