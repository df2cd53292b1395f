//! `bundle.toml`, formats 1 and 2: its shape. The rules for single values are in [`crate::checks`], those between
//! values and the errors' positions in [`crate::parse`].

use crate::{Digest, checks};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The newest number that `format` may have; those before it are read, too. A change to any struct here needs a new one,
/// and the old ones go on meaning what they meant: [`Limits::format`] says which has a key.
pub const FORMAT: u32 = 2;

/// A manifest that obeys the format. Made by [`Manifest::parse`] alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// From 1 to [`FORMAT`].
    pub format: u32,
    /// Lower-case kebab, 1 to 64 characters.
    #[serde(deserialize_with = "checks::name")]
    pub name: String,
    /// The version; never changes once published.
    #[serde(deserialize_with = "checks::version")]
    pub version: Version,
    /// What it answers with.
    pub kind: Kind,
    /// How the weights are encoded.
    pub encoding: Encoding,
    /// Every file of the bundle except the manifest.
    pub files: Vec<FileEntry>,
    /// What a worker reserves for it.
    pub limits: Limits,
    /// Default options of a request.
    #[serde(default)]
    pub defaults: Defaults,
    /// What stands before and around every prompt.
    #[serde(default)]
    pub prompt: Prompt,
    /// What is run before the bundle is live.
    #[serde(default)]
    pub warm_up: WarmUp,
    /// How it answers where it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What people should know of it.
    pub card: Card,
}

/// What a bundle answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text.
    Generate,
    /// Vectors.
    Embed,
    /// Labels.
    Classify,
    /// Nothing by itself: it changes another bundle.
    Adapter,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Generate => "generate",
            Self::Embed => "embed",
            Self::Classify => "classify",
            Self::Adapter => "adapter",
        })
    }
}

/// How weights are encoded: wasi-nn's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// A GGUF file.
    Ggml,
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ggml => "ggml",
        })
    }
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative to the bundle's folder, with `/` between names.
    #[serde(deserialize_with = "checks::path")]
    pub path: String,
    /// What it is for.
    pub role: Role,
    /// Of its bytes.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The model; exactly one.
    Weights,
    /// A tokenizer beside the one in the weights.
    Tokenizer,
    /// A chat template.
    Template,
    /// A licence text.
    Licence,
    /// Anything else.
    Other,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Weights => "weights",
            Self::Tokenizer => "tokenizer",
            Self::Template => "template",
            Self::Licence => "licence",
            Self::Other => "other",
        })
    }
}

/// What a worker reserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Tokens of one session, prompt and answer together.
    #[serde(deserialize_with = "checks::context")]
    pub context: u32,
    /// Sequences decoded at once.
    #[serde(deserialize_with = "checks::parallel")]
    pub parallel: u32,
    /// The most threads that compute it, of whatever it is given; format 2.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "checks::threads")]
    pub threads: Option<u32>,
}

impl Limits {
    /// The first format that has all keys that are used here.
    #[must_use]
    pub fn format(&self) -> u32 {
        if self.threads.is_some() { 2 } else { 1 }
    }
}

/// Default options, with the names and ranges of the wasi-nn contract. Serialises to what the host reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// The most tokens to sample.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::max_tokens")]
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::temperature")]
    pub temperature: Option<f32>,
    /// 0 keeps all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// 1 keeps all.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::top_p")]
    pub top_p: Option<f32>,
    /// 0 keeps all.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::min_p")]
    pub min_p: Option<f32>,
    /// 1 is none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::repeat_penalty")]
    pub repeat_penalty: Option<f32>,
    /// -1 is the whole context.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::repeat_last_n")]
    pub repeat_last_n: Option<i32>,
    /// 0 is none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::presence_or_frequency")]
    pub presence_penalty: Option<f32>,
    /// 0 is none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::presence_or_frequency")]
    pub frequency_penalty: Option<f32>,
    /// Fixes the sampler's random numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Texts that end the answer; one string in the file is a list of one here.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::stop")]
    pub stop: Option<Vec<String>>,
}

/// What stands before and around every prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompt {
    /// Text before every prompt, shared by all sessions.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "checks::prefix")]
    pub prefix: Option<String>,
    /// The path of a file with the role `template`; without it the weights' own is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// What is run before the bundle is live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Each is answered once.
    #[serde(deserialize_with = "checks::prompts")]
    pub prompts: Vec<String>,
}

/// Log-probabilities recorded where the bundle was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// How far each may be off; above 0.
    #[serde(deserialize_with = "checks::tolerance")]
    pub tolerance: f32,
    /// At least one.
    pub sequences: Vec<Sequence>,
}

/// One scored sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "checks::RawSequence")]
pub struct Sequence {
    /// Token ids, two at least.
    pub tokens: Vec<u32>,
    /// Of each token but the first, given those before it; natural logarithms.
    pub logprobs: Vec<f32>,
}

/// What people should know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// An SPDX expression.
    #[serde(deserialize_with = "checks::said")]
    pub licence: String,
    /// BCP 47 tags.
    #[serde(deserialize_with = "checks::languages")]
    pub languages: Vec<String>,
    /// What it was trained from.
    #[serde(deserialize_with = "checks::said")]
    pub base_model: String,
    /// What it was trained on.
    #[serde(deserialize_with = "checks::said")]
    pub data: String,
    /// What it is for.
    #[serde(deserialize_with = "checks::said")]
    pub intended_use: String,
    /// What it is not for, and where it fails.
    #[serde(deserialize_with = "checks::said")]
    pub limits: String,
    /// How well it does.
    #[serde(default)]
    pub evaluations: Vec<Evaluation>,
}

/// One measured result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// What was measured.
    #[serde(deserialize_with = "checks::said")]
    pub name: String,
    /// The result; finite.
    #[serde(deserialize_with = "checks::finite")]
    pub value: f64,
    /// How.
    #[serde(deserialize_with = "checks::said")]
    pub method: String,
}

impl Manifest {
    /// `name@version`, as it stands in headers, metrics and logs.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// Bytes of all listed files.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }

    /// The digests of all listed files: the names of their blobs.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.files.iter().map(|file| file.sha256)
    }

    /// Whether a file may be called so in a bundle.
    #[must_use]
    pub fn accepts_path(path: &str) -> bool {
        checks::path_problem(path).is_none()
    }

    /// The entry of the weights.
    #[must_use]
    pub fn weights(&self) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.role == Role::Weights)
    }
}
