//! Days, as cards say them.

use serde::{Deserialize, Serialize};
use std::time::UNIX_EPOCH;

/// A day such as `2026-05-01`, or a moment such as `2026-05-01T12:00:00Z`; in UTC, and not before 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day {
    text: String,
    seconds: u64,
}

/// A text that is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no day; write it as 2026-05-01, or a moment as 2026-05-01T12:00:00Z")]
pub struct NoDay(String);

impl Day {
    /// When it begins, in seconds since 1970.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

impl TryFrom<String> for Day {
    type Error = NoDay;

    fn try_from(text: String) -> Result<Self, NoDay> {
        let midnight = format!("{text}T00:00:00Z");
        let read = humantime::parse_rfc3339(&text).or_else(|_no_moment| humantime::parse_rfc3339(&midnight));
        match read.ok().and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()) {
            Some(since) => Ok(Self { text, seconds: since.as_secs() }),
            None => Err(NoDay(text)),
        }
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_it_is_read() {
        for (text, seconds) in
            [("1970-01-02", 86_400), ("2027-01-31", 1_801_353_600), ("2027-01-31T00:00:01Z", 1_801_353_601)]
        {
            let day = Day::try_from(text.to_owned()).unwrap();
            assert_eq!((day.seconds(), String::from(day).as_str()), (seconds, text));
        }
        for bad in ["", "May", "2027-02-30", "1969-12-31", "2027-01-31T00:00:01"] {
            assert!(Day::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
