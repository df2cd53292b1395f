//! Moments, to the second.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last moment that can be written: the end of the year 9999.
const LATEST: u64 = 253_402_300_799;

/// A moment, in seconds since 1970, written as RFC 3339 has it, with the milliseconds that the admin API's times all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// A text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no moment; write it in UTC, such as 2027-01-31T12:00:00Z")]
pub struct TimestampError(String);

impl Timestamp {
    /// A moment, rounded down to the second.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_secs().min(LATEST))
    }

    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// The moment that is so much later; none where it is after all that can be written, at the end of the year 9999.
    #[must_use]
    pub fn after(self, span: Duration) -> Option<Self> {
        self.0.checked_add(span.as_secs()).filter(|seconds| *seconds <= LATEST).map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never after what can be written, so this cannot fail.
        humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_secs(self.0)).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = humantime::parse_rfc3339(text);
        time.map(Self::of).map_err(|_says_less| TimestampError(text.chars().take(40).collect()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        let moment: Timestamp = "2027-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2027-01-31T12:00:00.000Z");
        assert_eq!(moment.after(Duration::from_secs(86_400)).unwrap().to_string(), "2027-02-01T12:00:00.000Z");
        let last: Timestamp = "9999-12-31T23:59:59Z".parse().unwrap();
        assert_eq!(moment.after(Duration::from_secs(LATEST - moment.0)), Some(last));
        for span in [Duration::from_secs(LATEST - moment.0 + 1), Duration::MAX] {
            assert_eq!(moment.after(span), None, "{span:?}");
        }
        for bad in ["", "tomorrow", "2027-01-31", "2027-13-01T00:00:00Z"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
