//! What a key is, in the file and to people.

use crate::error::{FileError, WantedError};
use crate::meter::Limits;
use crate::timestamp::Timestamp;
use crate::token::{Digest, KeyId, Token};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Characters of a key's name.
const NAME: usize = 100;
/// Routes, or models, that one key can be for; and characters of each.
const SCOPES: usize = 64;
const SCOPE: usize = 256;
/// The highest limit a minute.
const HIGHEST: u32 = 1_000_000_000;

/// One key, as the file has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its id.
    pub id: KeyId,
    /// What its holder is called.
    pub name: String,
    /// What is kept of it.
    pub hash: Digest,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The routes that it is for, by path or trigger id; all where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<BTreeSet<String>>,
    /// The models that it is for, by the names under which components load them; all where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<String>>,
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
}

/// Whether a key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// A key as people and programs see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its id.
    pub id: KeyId,
    /// What its holder is called.
    pub name: String,
    /// Whether it is taken.
    pub state: State,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// The routes that it is for; all where there is no list.
    pub routes: Option<BTreeSet<String>>,
    /// The models that it is for; all where there is no list.
    pub models: Option<BTreeSet<String>>,
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers a minute.
    pub tokens_per_minute: Option<u32>,
}

/// A key that was just made.
#[derive(Debug)]
pub struct Created {
    /// What it is.
    pub key: View,
    /// The key itself, which nobody can show again.
    pub token: Token,
    /// Why the change may be lost when the machine loses power, where it may.
    pub unsynced: Option<FileError>,
}

/// A key that was just revoked.
#[derive(Debug)]
pub struct Revoked {
    /// What it is now.
    pub key: View,
    /// Why the change may be lost when the machine loses power, where it may.
    pub unsynced: Option<FileError>,
}

/// What a host or a manifest has that keys can be for.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Paths and ids of triggers.
    pub routes: Vec<String>,
    /// Names of models.
    pub models: Vec<String>,
}

/// A key that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a name")]
pub struct Wanted {
    /// What its holder is called.
    pub name: String,
    /// The routes that it is for, by path or trigger id; all where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<BTreeSet<String>>,
    /// The models that it is for; all where there is no list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<String>>,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Requests a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
}

impl Wanted {
    /// Checks what is wanted, by itself and, where it is known what there is, against that.
    ///
    /// # Errors
    /// [`WantedError`], with the next step.
    pub fn check(&self, known: Option<&Known>, now: Timestamp) -> Result<(), WantedError> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(WantedError::Name);
        }
        scope("routes", self.routes.as_ref(), known.map(|known| known.routes.as_slice()))?;
        scope("models", self.models.as_ref(), known.map(|known| known.models.as_slice()))?;
        limit("requests_per_minute", self.requests_per_minute)?;
        limit("tokens_per_minute", self.tokens_per_minute)?;
        match self.expires.filter(|expires| *expires <= now) {
            Some(expires) => Err(WantedError::Past(expires)),
            None => Ok(()),
        }
    }

    pub(crate) fn record(self, id: KeyId, hash: Digest, created: Timestamp) -> Record {
        let Self { name, routes, models, expires, requests_per_minute, tokens_per_minute } = self;
        let name = name.trim().to_owned();
        Record {
            id,
            name,
            hash,
            created,
            expires,
            revoked: None,
            routes,
            models,
            requests_per_minute,
            tokens_per_minute,
        }
    }
}

/// A list that is there has entries: an empty one would be taken for "all" by one reader and for "none" by another.
fn scope(list: &'static str, entries: Option<&BTreeSet<String>>, known: Option<&[String]>) -> Result<(), WantedError> {
    let Some(entries) = entries else { return Ok(()) };
    if entries.is_empty() || entries.len() > SCOPES {
        return Err(WantedError::Count { list, count: entries.len() });
    }
    for entry in entries {
        if entry.is_empty() || entry.chars().count() > SCOPE || entry.chars().any(char::is_control) {
            return Err(WantedError::Entry { list });
        }
        if let Some(known) = known.filter(|known| !known.contains(entry)) {
            return Err(WantedError::Unknown { list, entry: entry.clone(), help: help(entry, known) });
        }
    }
    Ok(())
}

/// The next step after a name that there is not.
fn help(name: &str, known: &[String]) -> String {
    bobbin_suggest::help(name, known.iter().map(String::as_str), "there are none")
}

fn limit(key: &'static str, limit: Option<u32>) -> Result<(), WantedError> {
    match limit.filter(|limit| !(1..=HIGHEST).contains(limit)) {
        Some(limit) => Err(WantedError::Limit { key, limit }),
        None => Ok(()),
    }
}

impl Record {
    /// As people and programs see it.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> View {
        let Self { id, name, created, expires, revoked, routes, models, .. } = self.clone();
        let (requests_per_minute, tokens_per_minute) = (self.requests_per_minute, self.tokens_per_minute);
        let state = self.state(now);
        View { id, name, state, created, expires, revoked, routes, models, requests_per_minute, tokens_per_minute }
    }

    /// Whether it is taken.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        match (self.revoked, self.expires) {
            (Some(_), _) => State::Revoked,
            (None, Some(expires)) if expires <= now => State::Expired,
            (None, _) => State::Active,
        }
    }

    /// What is wrong with it, where somebody wrote it by hand.
    pub(crate) fn fault(&self) -> Option<WantedError> {
        let Self { name, routes, models, requests_per_minute, tokens_per_minute, .. } = self;
        let (name, routes, models) = (name.clone(), routes.clone(), models.clone());
        let (requests_per_minute, tokens_per_minute) = (*requests_per_minute, *tokens_per_minute);
        let wanted = Wanted { name, routes, models, expires: None, requests_per_minute, tokens_per_minute };
        wanted.check(None, self.created).err()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { requests: self.requests_per_minute, tokens: self.tokens_per_minute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn now() -> Timestamp {
        "2027-01-01T00:00:00Z".parse().unwrap()
    }

    fn set(entries: &[&str]) -> Option<BTreeSet<String>> {
        Some(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    fn named() -> Wanted {
        Wanted { name: "a Spin in Prague".into(), ..Wanted::default() }
    }

    fn known() -> Known {
        Known { routes: vec!["/infer".into(), "http:/infer:spin-llm".into()], models: vec!["story".into()] }
    }

    #[test]
    fn what_makes_sense_is_taken() {
        let full = Wanted {
            routes: set(&["/infer"]),
            models: set(&["story"]),
            expires: now().after(Duration::from_secs(1)),
            requests_per_minute: Some(1),
            tokens_per_minute: Some(1_000_000_000),
            ..named()
        };
        assert_eq!(full.check(Some(&known()), now()), Ok(()));
        assert_eq!(named().check(Some(&known()), now()), Ok(()));
    }

    #[test]
    fn what_makes_none_is_refused_with_the_next_step() {
        for (wanted, part) in [
            (Wanted { name: "  ".into(), ..named() }, "name"),
            (Wanted { name: "a\nb".into(), ..named() }, "one line"),
            (Wanted { name: "x".repeat(101), ..named() }, "100 characters"),
            (Wanted { routes: set(&[]), ..named() }, "leave it out"),
            (Wanted { routes: set(&["/infre"]), ..named() }, r#"did you mean "/infer"?"#),
            (Wanted { models: set(&["llama"]), ..named() }, r#"known here: "story""#),
            (Wanted { models: set(&[""]), ..named() }, "models"),
            (Wanted { requests_per_minute: Some(0), ..named() }, "requests_per_minute is 0"),
            (Wanted { tokens_per_minute: Some(u32::MAX), ..named() }, "tokens_per_minute"),
            (Wanted { expires: Some(now()), ..named() }, "in the past"),
        ] {
            let error = wanted.check(Some(&known()), now()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn names_are_only_held_against_what_is_known() {
        assert_eq!(Wanted { models: set(&["llama"]), ..named() }.check(None, now()), Ok(()));
    }

    #[test]
    fn a_key_that_was_revoked_is_that_even_when_its_time_is_over() {
        let id = KeyId::generate().unwrap();
        let hash = Token::generate(&id).unwrap().digest();
        let mut record = named().record(id, hash, now());
        assert_eq!(record.state(now()), State::Active);
        record.expires = Some(now());
        assert_eq!(record.state(now()), State::Expired);
        record.revoked = Some(now());
        assert_eq!(record.state(now()), State::Revoked);
        let shown = serde_json::to_string(&record.view(now())).unwrap();
        assert!(!shown.contains("sha256"), "{shown}");
    }
}
