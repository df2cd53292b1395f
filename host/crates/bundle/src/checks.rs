//! The rules for single values of a manifest. They run inside serde, so that an error has the value's position.

use crate::Manifest;
use semver::Version;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;

const MAX_NAME: usize = 64;
const MAX_VERSION: usize = 64;
const MAX_PATH: usize = 255;
const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 256;
const MAX_PREFIX_BYTES: usize = 64 * 1024;
const MAX_PROMPTS: usize = 16;
const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// A name: lower-case letters and digits in groups, single hyphens between them.
pub(crate) fn is_name(name: &str) -> bool {
    let group =
        |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= MAX_NAME && name.split('-').all(group)
}

pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_name(&name) {
        return Ok(name);
    }
    Err(D::Error::custom(format!(
        "\"{name}\" is no bundle name; use lower-case letters, digits and single hyphens between them, \
         at most {MAX_NAME} characters"
    )))
}

pub(crate) fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Version, D::Error> {
    let text = String::deserialize(deserializer)?;
    let version = Version::parse(&text)
        .map_err(|error| D::Error::custom(format!("\"{text}\" is no semantic version: {error}; write \"1.0.0\"")))?;
    if text.len() > MAX_VERSION {
        return Err(D::Error::custom(format!("the version is longer than {MAX_VERSION} characters; shorten it")));
    }
    Ok(version)
}

pub(crate) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    match path_problem(&path) {
        Some(problem) => Err(D::Error::custom(format!("path \"{}\" {problem}", path.escape_debug()))),
        None => Ok(path),
    }
}

pub(crate) fn path_problem(path: &str) -> Option<&'static str> {
    if path == "bundle.toml" {
        return Some("is the manifest itself; do not list it");
    }
    if path.is_empty() || path.len() > MAX_PATH {
        return Some("must have 1 to 255 bytes");
    }
    if path.starts_with('/') || path.contains('\\') || path.chars().any(char::is_control) {
        return Some("must be relative to the bundle's folder, with / between names and no control characters");
    }
    let mut names = path.split('/');
    if names.any(|name| name.is_empty() || name.starts_with('.')) {
        return Some(
            "must be made of plain names: no empty ones, and none that begins with a dot (., .., hidden files)",
        );
    }
    None
}

fn in_range<T: PartialOrd + Display, E: Error>(value: T, range: RangeInclusive<T>) -> Result<T, E> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (start, end) = range.into_inner();
    Err(E::custom(format!("{value} is out of range; {start} to {end} is allowed")))
}

/// Above 0 and at most `most`; not for NaN.
fn above_zero<E: Error>(value: f32, most: f32) -> Result<f32, E> {
    if value > 0.0 && value <= most {
        return Ok(value);
    }
    Err(E::custom(format!("{value} is out of range; above 0 and at most {most} is allowed")))
}

fn some_in<'de, D, T>(deserializer: D, range: RangeInclusive<T>) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialOrd + Display,
{
    in_range(T::deserialize(deserializer)?, range).map(Some)
}

pub(crate) fn context<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range(u32::deserialize(deserializer)?, 8..=1_048_576)
}

pub(crate) fn parallel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    in_range(u32::deserialize(deserializer)?, 1..=256)
}

pub(crate) fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    // ggml's own bound.
    some_in(deserializer, 1..=512)
}

pub(crate) fn max_tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    some_in(deserializer, 1..=u32::MAX)
}

pub(crate) fn temperature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    some_in(deserializer, 0.0..=10.0)
}

pub(crate) fn top_p<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    above_zero(f32::deserialize(deserializer)?, 1.0).map(Some)
}

pub(crate) fn min_p<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    some_in(deserializer, 0.0..=1.0)
}

pub(crate) fn repeat_penalty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    above_zero(f32::deserialize(deserializer)?, 10.0).map(Some)
}

pub(crate) fn repeat_last_n<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    some_in(deserializer, -1..=i32::MAX)
}

pub(crate) fn presence_or_frequency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    some_in(deserializer, -2.0..=2.0)
}

pub(crate) fn tolerance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    above_zero(f32::deserialize(deserializer)?, 100.0)
}

pub(crate) fn finite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() { Ok(value) } else { Err(D::Error::custom(format!("{value} is no result; write a number"))) }
}

pub(crate) fn stop<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let stops = deserializer.deserialize_any(StringOrList)?;
    if stops.len() > MAX_STOPS {
        return Err(D::Error::custom(format!("{} stop strings; at most {MAX_STOPS} are allowed", stops.len())));
    }
    match stops.iter().find(|stop| stop.is_empty() || stop.len() > MAX_STOP_BYTES) {
        Some(stop) => {
            Err(D::Error::custom(format!("a stop string of {} bytes; 1 to {MAX_STOP_BYTES} are allowed", stop.len())))
        }
        None => Ok(Some(stops)),
    }
}

struct StringOrList;

impl<'de> Visitor<'de> for StringOrList {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

pub(crate) fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    text_of(deserializer, MAX_PREFIX_BYTES).map(Some)
}

fn text_of<'de, D: Deserializer<'de>>(deserializer: D, most: usize) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > most {
        return Err(D::Error::custom(format!("a text of {} bytes; 1 to {most} are allowed", text.len())));
    }
    Ok(text)
}

pub(crate) fn prompts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let prompts = Vec::<String>::deserialize(deserializer)?;
    if prompts.len() > MAX_PROMPTS {
        return Err(D::Error::custom(format!("{} prompts; at most {MAX_PROMPTS} are allowed", prompts.len())));
    }
    match prompts.iter().find(|prompt| prompt.is_empty() || prompt.len() > MAX_PROMPT_BYTES) {
        Some(prompt) => {
            Err(D::Error::custom(format!("a prompt of {} bytes; 1 to {MAX_PROMPT_BYTES} are allowed", prompt.len())))
        }
        None => Ok(prompts),
    }
}

pub(crate) fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(D::Error::custom("nothing is said here; write \"unknown\" where nobody knows"));
    }
    Ok(text)
}

pub(crate) fn languages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let languages = Vec::<String>::deserialize(deserializer)?;
    if languages.is_empty() || languages.iter().any(|language| language.trim().is_empty()) {
        return Err(D::Error::custom("no language is named; list at least one tag, as in [\"en\"]"));
    }
    Ok(languages)
}

/// A fingerprint's sequence as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSequence {
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
}

impl TryFrom<RawSequence> for crate::Sequence {
    type Error = String;

    fn try_from(raw: RawSequence) -> Result<Self, String> {
        let RawSequence { tokens, logprobs } = raw;
        if tokens.len() < 2 {
            return Err(format!("a sequence of {} tokens; two at least are needed", tokens.len()));
        }
        if tokens.len() != logprobs.len() + 1 {
            return Err(format!(
                "{} tokens and {} logprobs; every token but the first has one",
                tokens.len(),
                logprobs.len()
            ));
        }
        match logprobs.iter().find(|value| !(value.is_finite() && **value <= 0.0)) {
            Some(value) => Err(format!("{value} is no log-probability; they are finite and at most 0")),
            None => Ok(Self { tokens, logprobs }),
        }
    }
}

/// Rules between values; the position is the index of the file at fault, or the key.
pub(crate) enum Fault {
    File(usize, String),
    Files(String),
    Template(String),
    Sequences(String),
    Threads(String),
}

const MAX_FILES: usize = 64;

pub(crate) fn between_values(manifest: &Manifest) -> Result<(), Fault> {
    use crate::Role;
    let format = manifest.limits.format();
    if manifest.format < format {
        return Err(Fault::Threads(format!(
            "`threads` is a key of format {format}; begin the file with `format = {format}`, or remove the key"
        )));
    }
    if manifest.files.len() > MAX_FILES {
        return Err(Fault::Files(format!("{} files; at most {MAX_FILES} are allowed", manifest.files.len())));
    }
    for (index, file) in manifest.files.iter().enumerate() {
        let earlier = manifest.files.iter().take(index);
        if earlier.clone().any(|other| other.path == file.path) {
            return Err(Fault::File(index, format!("\"{}\" is listed twice; remove one entry", file.path)));
        }
        if file.role == Role::Weights && earlier.clone().any(|other| other.role == Role::Weights) {
            let problem = "a second file has the role \"weights\"; a bundle has exactly one";
            return Err(Fault::File(index, problem.into()));
        }
    }
    if manifest.weights().is_none() {
        return Err(Fault::Files("no file has the role \"weights\"; a bundle has exactly one".into()));
    }
    if let Some(template) = &manifest.prompt.template {
        let is_template = |file: &crate::FileEntry| file.path == *template && file.role == Role::Template;
        if !manifest.files.iter().any(is_template) {
            return Err(Fault::Template(format!(
                "\"{template}\" is no listed file with the role \"template\"; add it to [[files]]"
            )));
        }
    }
    if let Some(fingerprint) = &manifest.fingerprint {
        if fingerprint.sequences.is_empty() {
            return Err(Fault::Sequences("a fingerprint without sequences; add one, or remove [fingerprint]".into()));
        }
        let context = manifest.limits.context as usize;
        if let Some(long) = fingerprint.sequences.iter().find(|sequence| sequence.tokens.len() > context) {
            return Err(Fault::Sequences(format!(
                "a sequence of {} tokens; limits.context allows {context}",
                long.tokens.len()
            )));
        }
    }
    Ok(())
}
