//! Who may ask a route: API keys, checked before a permit is taken or an instance is made.
//!
//! What a refusal costs is a look-up and a hash. It tells why to those alone who have the secret of a key; to anybody
//! else a key that is unknown, and one whose secret is wrong, are the same.

use crate::bearer;
use crate::browser::{foreign_host, other_machine};
use crate::problem::Problem;
use bobbin_keys::{Admitted, Denied, Keys, Level, Levels, Limited, Timestamp, Which};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request;
use std::time::Duration;

/// Whether a route demands a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyPolicy {
    /// Nobody is asked for one.
    #[default]
    None,
    /// Everybody is.
    Required,
    /// Everybody is once there are keys; until then, whoever reaches a listener on a loopback address may ask.
    LoopbackOpen,
}

/// In which form a route's refusals are written.
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

/// Who may ask a route, and how it says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    /// Whether a key is needed.
    pub keys: KeyPolicy,
    /// The form of refusals.
    pub errors: ErrorStyle,
}

/// A route, as a key's scope names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door<'a> {
    pub(crate) access: Access,
    pub(crate) trigger: &'a str,
    pub(crate) path: &'a str,
}

/// What the check of a request came to.
pub(crate) struct Checked {
    /// How the key's limits stand, also where they are what refuses.
    pub(crate) levels: Levels,
    /// Whose request it is; nobody's where none is asked.
    pub(crate) key: Result<Option<Admitted>, Problem>,
}

/// Checks a request. `open` says that who has no key may ask where there are none. Nothing here waits or reads a file.
pub(crate) fn check(keys: &Keys, open: bool, door: Door<'_>, head: &request::Parts) -> Checked {
    let nobody = |key| Checked { levels: Levels::default(), key };
    match door.access.keys {
        KeyPolicy::None => return nobody(Ok(None)),
        KeyPolicy::LoopbackOpen if open && !keys.is_configured() => return nobody(from_here(head).map(|()| None)),
        KeyPolicy::LoopbackOpen | KeyPolicy::Required => {}
    }
    let Some(sent) = bearer::token(&head.headers) else { return nobody(Err(Problem::missing_key())) };
    let key = match keys.authenticate(sent, Timestamp::now()) {
        Ok(key) => key,
        Err(denied) => return nobody(Err(Problem::denied_key(denied))),
    };
    if !key.allows_route(door.trigger, door.path) {
        return nobody(Err(Problem::out_of_scope(door.path)));
    }
    let (levels, admitted) = keys.admit(key);
    Checked { levels, key: admitted.map(Some).map_err(Problem::limited) }
}

/// Whether a request to a route that is open to this machine comes from there, and is not what a page of another site has
/// a browser on this machine send.
fn from_here(head: &request::Parts) -> Result<(), Problem> {
    if let Some(host) = foreign_host(head) {
        return Err(Problem::open_to_other_host(&host));
    }
    other_machine(head).map_or(Ok(()), |why| Err(Problem::open_to_other_site(&why)))
}

/// How a key's limits stand, in the headers that OpenAI's clients read.
pub(crate) fn tell(levels: &Levels, headers: &mut HeaderMap) {
    const REQUESTS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ];
    const TOKENS: [HeaderName; 3] = [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ];
    for (level, [limit, remaining, reset]) in [(&levels.requests, REQUESTS), (&levels.tokens, TOKENS)] {
        let Some(level) = level else { continue };
        let Level { limit: most, remaining: left, reset: full } = *level;
        headers.insert(limit, most.into());
        headers.insert(remaining, left.into());
        if let Ok(value) = HeaderValue::try_from(span(full)) {
            headers.insert(reset, value);
        }
    }
}

/// A length of time as OpenAI writes it: `120ms`, `6s`, `1m30.5s`, `2h0m0s`.
fn span(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    if milliseconds < 1000 {
        return format!("{milliseconds}ms");
    }
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let seconds = match (rest / 1000, rest % 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, part) => format!("{}s", format!("{seconds}.{part:03}").trim_end_matches('0')),
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

impl Problem {
    fn missing_key() -> Self {
        let detail = "this route needs an API key; send yours as \"Authorization: Bearer <key>\", once";
        Self::unproven("missing_key", detail, r#"Bearer realm="bobbin""#)
    }

    fn open_to_other_host(host: &str) -> Self {
        let detail = format!(
            "the request is for host {host:?}, and as long as this host has no API keys this route answers to localhost and \
             loopback addresses alone, since any other name could be a web page's trick; use http://localhost or \
             http://127.0.0.1, or make a key (`bobbin key create`) and send it"
        );
        Self::new(http::StatusCode::FORBIDDEN, "unexpected_host", detail)
    }

    fn open_to_other_site(why: &str) -> Self {
        let detail = format!(
            "{why}, so a page of another site may have sent the request, and as long as this host has no API keys this route \
             answers programs and pages of this machine alone; make a key (`bobbin key create`) and send it"
        );
        Self::new(http::StatusCode::FORBIDDEN, "cross_site", detail)
    }

    fn denied_key(denied: Denied) -> Self {
        let (code, detail) = match denied {
            Denied::Unknown => {
                ("invalid_key", "this is no key of this host; ask whoever runs it for one (`bobbin key create`)")
            }
            Denied::Revoked => ("revoked_key", "this key was revoked; ask whoever runs this host for another"),
            Denied::Expired => ("expired_key", "this key has expired; ask whoever runs this host for another"),
        };
        Self::unproven(code, detail, r#"Bearer realm="bobbin", error="invalid_token""#)
    }

    fn out_of_scope(path: &str) -> Self {
        let detail = format!("this key is for other routes than {path}; ask whoever runs this host for one that is");
        let problem = Self::new(http::StatusCode::FORBIDDEN, "key_out_of_scope", detail);
        problem.challenged(r#"Bearer realm="bobbin", error="insufficient_scope""#)
    }

    fn limited(limited: Limited) -> Self {
        let Limited { which, wait } = limited;
        let (code, what) = match which {
            Which::Requests => ("requests_per_minute", "requests"),
            Which::Tokens => ("tokens_per_minute", "tokens"),
        };
        let detail = format!("this key has used its {what} of this minute; try again in {}", span(wait));
        Self::new(http::StatusCode::TOO_MANY_REQUESTS, code, detail).retry_in(wait)
    }

    fn unproven(code: &'static str, detail: &str, challenge: &'static str) -> Self {
        Self::new(http::StatusCode::UNAUTHORIZED, code, detail).challenged(challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_openai_writes_it() {
        for (time, written) in [
            (Duration::ZERO, "0ms"),
            (Duration::from_nanos(1), "1ms"),
            (Duration::from_millis(120), "120ms"),
            (Duration::from_millis(999), "999ms"),
            (Duration::from_secs(6), "6s"),
            (Duration::from_millis(7_660), "7.66s"),
            (Duration::from_secs(60), "1m0s"),
            (Duration::from_millis(90_500), "1m30.5s"),
            (Duration::from_secs(7200), "2h0m0s"),
        ] {
            assert_eq!(span(time), written);
        }
    }

    #[test]
    fn a_key_without_limits_tells_of_none_and_one_with_a_limit_of_that_alone() {
        let mut headers = HeaderMap::new();
        tell(&Levels::default(), &mut headers);
        assert!(headers.is_empty());
        let level = Level { limit: 10, remaining: 7, reset: Duration::from_secs(18) };
        tell(&Levels { requests: None, tokens: Some(level) }, &mut headers);
        let written: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(written.len(), 3);
        for (name, value) in [("limit", "10"), ("remaining", "7"), ("reset", "18s")] {
            assert_eq!(headers[format!("x-ratelimit-{name}-tokens")], value);
        }
    }
}
