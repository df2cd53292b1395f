//! The bodies of changes, and the questions in a query, read strictly: what is not understood is refused, since a
//! misspelt key that is ignored would make another change than the one that was meant.

use crate::problem::Problem;
use bobbin_release::{Candidate, Edit, Weight};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// Characters of a change's reason.
const REASON: usize = 1000;

/// What is said of a change beside what to do.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) expected_generation: u64,
    pub(super) why: Option<String>,
}

/// Numbers and words are taken as they are at first: one that is out of its range makes a sound body with a change
/// that is impossible, which is another error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with expected_generation")]
struct PutBody {
    expected_generation: u64,
    reason: Option<String>,
    #[serde(default, deserialize_with = "given")]
    stable: Option<Arc<str>>,
    #[serde(default, deserialize_with = "given")]
    candidate: Option<Option<CandidateBody>>,
    #[serde(default, deserialize_with = "given")]
    shadow: Option<Option<Arc<str>>>,
    #[serde(default, deserialize_with = "given")]
    drain_seconds: Option<Number>,
    #[serde(default, deserialize_with = "given")]
    keep_warm_seconds: Option<Number>,
    #[serde(default, deserialize_with = "given")]
    policy: Option<String>,
    #[serde(default, deserialize_with = "given")]
    sticky: Option<String>,
    #[serde(default, deserialize_with = "given")]
    version_header: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with bundle and weight")]
struct CandidateBody {
    bundle: Arc<str>,
    weight: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with expected_generation")]
struct StepBody {
    expected_generation: u64,
    reason: Option<String>,
}

/// Tells a key that is there from one that is not, whatever its value: null is a value.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The body of a put.
pub(super) fn put(body: &[u8]) -> Result<(Said, Edit), Problem> {
    let body: PutBody = read(body, r#"{"expected_generation":1,"stable":"name@version"}"#)?;
    let candidate = |candidate: CandidateBody| {
        let weight = Weight::percent(candidate.weight).map_err(|error| Problem::invalid_change(&error.to_string()))?;
        Ok(Candidate { bundle: candidate.bundle, weight })
    };
    let edit = Edit {
        stable: body.stable,
        candidate: body.candidate.map(|given| given.map(candidate).transpose()).transpose()?,
        shadow: body.shadow,
        drain_seconds: seconds("drain_seconds", body.drain_seconds)?,
        keep_warm_seconds: seconds("keep_warm_seconds", body.keep_warm_seconds)?,
        policy: word(body.policy)?,
        sticky: word(body.sticky)?,
        version_header: body.version_header,
    };
    Ok((said(body.expected_generation, body.reason)?, edit))
}

/// The body of a promotion, or of a rollback.
pub(super) fn step(body: &[u8]) -> Result<Said, Problem> {
    let StepBody { expected_generation, reason } = read(body, r#"{"expected_generation":1}"#)?;
    said(expected_generation, reason)
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Problem> {
    let refused = |why: &dyn Display| Problem::invalid_body(&format!("{why}; send JSON such as {example}"));
    let read = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    let value: Value = serde_json::from_slice(body).map_err(|error| refused(&error))?;
    // serde takes an array for the values of an object's keys, in an order that is nobody's contract.
    match value.is_array() || value.get("candidate").is_some_and(Value::is_array) {
        true => Err(refused(&"an array stands where an object should")),
        false => Ok(read),
    }
}

fn said(expected_generation: u64, reason: Option<String>) -> Result<Said, Problem> {
    let why = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if why.as_ref().is_some_and(|why| why.chars().count() > REASON || why.chars().any(char::is_control)) {
        let why = format!("reason is kept in the history: give one line of at most {REASON} characters");
        return Err(Problem::invalid_change(&why));
    }
    Ok(Said { expected_generation, why })
}

fn seconds(key: &str, given: Option<Number>) -> Result<Option<u64>, Problem> {
    let whole = |number: Number| {
        number.as_u64().ok_or_else(|| Problem::invalid_change(&format!("{key} is {number}; give whole seconds from 0")))
    };
    given.map(whole).transpose()
}

fn word<T: FromStr<Err: Display>>(given: Option<String>) -> Result<Option<T>, Problem> {
    given.map(|word| word.parse().map_err(|error: T::Err| Problem::invalid_change(&error.to_string()))).transpose()
}

/// The one question that a query may hold; any other is refused. Its values need no decoding.
pub(super) fn ask<'a>(query: Option<&'a str>, key: &str) -> Result<Option<&'a str>, Problem> {
    let mut found = None;
    for (name, value) in pairs(query) {
        if name != key {
            return Err(Problem::invalid_query(&format!("{name:?} is not known here; {key:?} is")));
        }
        if found.replace(value).is_some() {
            return Err(Problem::invalid_query(&format!("{key:?} stands there twice")));
        }
    }
    Ok(found)
}

/// Two questions that a query may hold, in any order; any other is refused.
pub(super) fn both<'a>(query: Option<&'a str>, keys: [&str; 2]) -> Result<[Option<&'a str>; 2], Problem> {
    let [first, second] = keys;
    let mut found = [None, None];
    for (name, value) in pairs(query) {
        let [one, other] = &mut found;
        let slot = match name {
            name if name == first => one,
            name if name == second => other,
            _ => {
                let why = format!("{name:?} is not known here; {first:?} and {second:?} are");
                return Err(Problem::invalid_query(&why));
            }
        };
        if slot.replace(value).is_some() {
            return Err(Problem::invalid_query(&format!("{name:?} stands there twice")));
        }
    }
    Ok(found)
}

/// A call that has no questions.
pub(super) fn nothing(query: Option<&str>) -> Result<(), Problem> {
    match pairs(query).next() {
        None => Ok(()),
        Some((name, _)) => Err(Problem::invalid_query(&format!("{name:?} is not known here; leave it out"))),
    }
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether the caller waits for the change's end.
pub(super) fn waits(query: Option<&str>) -> Result<bool, Problem> {
    match ask(query, "wait")? {
        None => Ok(false),
        Some("ready") => Ok(true),
        Some(other) => Err(Problem::invalid_query(&format!("\"wait\" is {other:?}; it can be \"ready\""))),
    }
}

/// How many generations to show.
pub(super) fn limit(query: Option<&str>) -> Result<usize, Problem> {
    const MOST: usize = 1000;
    let Some(text) = ask(query, "limit")? else { return Ok(50) };
    let number = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    number.ok_or_else(|| Problem::invalid_query(&format!("\"limit\" is {text:?}; give a number from 1 to {MOST}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_release::{Policy, Sticky};

    fn refused(body: &str) -> (&'static str, String) {
        let problem = put(body.as_bytes()).unwrap_err();
        (problem.code, problem.detail)
    }

    #[test]
    fn every_key_of_a_put_is_read() {
        let body = r#"{"expected_generation":3,"stable":"s@1.0.0","candidate":{"bundle":"s@1.1.0","weight":12.5},
            "shadow":"s@2.0.0","drain_seconds":7,"keep_warm_seconds":8,"policy":"resource","sticky":"cookie:id",
            "version_header":true,"reason":" a better one "}"#;
        let edit = Edit {
            stable: Some("s@1.0.0".into()),
            candidate: Some(Some(Candidate { bundle: "s@1.1.0".into(), weight: Weight::percent(12.5).unwrap() })),
            shadow: Some(Some("s@2.0.0".into())),
            drain_seconds: Some(7),
            keep_warm_seconds: Some(8),
            policy: Some(Policy::Resource),
            sticky: Some(Sticky::Cookie("id".into())),
            version_header: Some(true),
        };
        let said = Said { expected_generation: 3, why: Some("a better one".into()) };
        assert_eq!(put(body.as_bytes()).unwrap(), (said, edit));
    }

    #[test]
    fn an_absent_key_leaves_a_thing_as_it_is_and_null_removes_it() {
        assert_eq!(put(br#"{"expected_generation":1}"#).unwrap().1, Edit::default());
        let removed = put(br#"{"expected_generation":1,"candidate":null,"shadow":null,"reason":null}"#).unwrap().1;
        assert_eq!(removed, Edit { candidate: Some(None), shadow: Some(None), ..Edit::default() });
    }

    #[test]
    fn a_body_that_is_not_understood_is_refused_with_its_place() {
        for (body, part) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{", "line 1 column 1"),
            ("[]", "expected an object"),
            ("7", "expected an object"),
            ("{}", "missing field `expected_generation`"),
            ("{\"expected_generation\":1,\n \"stabel\":\"s@1.0.0\"}", "unknown field `stabel`"),
            ("{\"expected_generation\":1,\n \"stabel\":\"s@1.0.0\"}", "line 2 column 9"),
            (r#"{"expected_generation":-1}"#, "expected u64"),
            (r#"{"expected_generation":1.5}"#, "expected u64"),
            (r#"{"expected_generation":"1"}"#, "expected u64"),
            (r#"{"expected_generation":1,"stable":null}"#, "invalid type: null"),
            (r#"{"expected_generation":1,"stable":1}"#, "expected a string"),
            (r#"{"expected_generation":1,"candidate":"s@1.0.0"}"#, "expected an object"),
            (r#"{"expected_generation":1,"candidate":["s@1.0.0",5]}"#, "an array stands where an object should"),
            (r#"{"expected_generation":1,"candidate":{"bundle":"s@1.0.0"}}"#, "missing field `weight`"),
            (r#"{"expected_generation":1,"candidate":{"bundle":"s@1.0.0","weight":"5"}}"#, "expected f64"),
            (r#"{"expected_generation":1,"candidate":{"bundle":"s@1.0.0","weight":5,"x":1}}"#, "unknown field `x`"),
            (r#"{"expected_generation":1,"drain_seconds":"30"}"#, "line 1"),
            (r#"{"expected_generation":1,"version_header":1}"#, "expected a boolean"),
            (r#"{"expected_generation":1,"policy":null}"#, "invalid type: null"),
            (r#"{"expected_generation":1,"expected_generation":1}"#, "duplicate field"),
            (r#"{"expected_generation":1} {}"#, "trailing characters"),
        ] {
            let (code, detail) = refused(body);
            assert_eq!(code, "invalid_body", "{body}");
            assert!(detail.contains(part), "{body}: {detail}");
        }
        assert_eq!(put(b"\xff").unwrap_err().code, "invalid_body");
    }

    #[test]
    fn what_is_out_of_its_range_is_no_matter_of_the_body() {
        let reason = "x".repeat(1001);
        for more in [
            r#""candidate":{"bundle":"s@1.1.0","weight":100.1}"#,
            r#""candidate":{"bundle":"s@1.1.0","weight":-1}"#,
            r#""candidate":{"bundle":"s@1.1.0","weight":0.05}"#,
            r#""drain_seconds":-1"#,
            r#""drain_seconds":1.5"#,
            r#""keep_warm_seconds":1e40"#,
            r#""policy":"fast""#,
            r#""sticky":"ip""#,
            r#""sticky":"header:""#,
            r#""reason":"two\nlines""#,
            &format!(r#""reason":"{reason}""#),
        ] {
            let (code, detail) = refused(&format!(r#"{{"expected_generation":1,{more}}}"#));
            assert_eq!(code, "invalid_change", "{more}: {detail}");
        }
    }

    #[test]
    fn a_step_takes_a_generation_and_a_reason_alone() {
        let said = Said { expected_generation: 2, why: None };
        assert_eq!(step(br#"{"expected_generation":2,"reason":"  "}"#).unwrap(), said);
        for body in ["", "{}", r#"[2,"why"]"#, r#"{"expected_generation":2,"stable":"s@1.0.0"}"#] {
            assert_eq!(step(body.as_bytes()).unwrap_err().code, "invalid_body", "{body}");
        }
    }

    #[test]
    fn a_query_is_understood_or_refused() {
        assert!(!waits(None).unwrap() && waits(Some("wait=ready")).unwrap() && !waits(Some("")).unwrap());
        for bad in ["wait", "wait=", "wait=done", "wait=ready&wait=ready", "watch=ready"] {
            assert_eq!(waits(Some(bad)).unwrap_err().code, "invalid_query", "{bad}");
        }
        assert_eq!((limit(None).unwrap(), limit(Some("limit=1000")).unwrap()), (50, 1000));
        for bad in ["limit=0", "limit=1001", "limit=-1", "limit=all", "limit="] {
            assert_eq!(limit(Some(bad)).unwrap_err().code, "invalid_query", "{bad}");
        }
    }
}
