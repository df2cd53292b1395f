//! `bobbin bundle new ..`: its arguments.

use super::terms;
use bobbin_manifest::BundleRef;
use clap::{Args, ValueEnum};
use semver::Version;
use std::path::PathBuf;

/// What the model answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Text.
    Generate,
    /// Vectors.
    Embed,
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// The model: a GGUF file
    #[arg(value_name = "WEIGHTS")]
    pub(crate) weights: PathBuf,
    /// The bundle's name: lower-case letters, digits and single hyphens
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) name: String,
    /// Its version, which never changes afterwards
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub(crate) version: Version,
    /// The repository that it appears in; made where it is absent
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub(crate) into: PathBuf,
    /// What it answers with [default: what its architecture and its pooling say]
    #[arg(long, value_name = "KIND", help_heading = "Model")]
    pub(crate) kind: Option<KindArg>,
    /// Tokens of one session, prompt and answer together [default: what it was made for, at most 8192]
    #[arg(long, value_name = "TOKENS", help_heading = "Model", value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    pub(crate) context: Option<u32>,
    /// Sequences computed at once
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Model", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) parallel: u32,
    /// The most threads that compute it, wherever it runs [default: what its size is worth]
    #[arg(long, value_name = "N", help_heading = "Model", value_parser = clap::value_parser!(u32).range(1..=512))]
    pub(crate) threads: Option<u32>,
    /// A chat template in Jinja, instead of the one in the weights
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) template: Option<PathBuf>,
    /// The model's tokenizer.json, which the weights' own vocabulary is then held against
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// What many prompts begin with: computed once, and shared
    #[arg(long, value_name = "TEXT", help_heading = "Model")]
    pub(crate) prefix: Option<String>,
    /// A prompt that is answered before the bundle is live; may be given several times [default: "Once upon a time"]
    #[arg(long = "warm-up", value_name = "PROMPT", help_heading = "Proof")]
    pub(crate) warm_up: Vec<String>,
    /// How far a log-probability of the fingerprint may be off on other machines
    #[arg(long, value_name = "T", default_value_t = 0.35, help_heading = "Proof", value_parser = tolerance)]
    pub(crate) tolerance: f32,
    /// Record no fingerprint, and do not load the model to see whether it works
    #[arg(long, help_heading = "Proof", conflicts_with = "tolerance")]
    pub(crate) no_fingerprint: bool,
    /// An SPDX expression [default: what the weights say]
    #[arg(long, value_name = "SPDX", help_heading = "Card", value_parser = terms::licence)]
    pub(crate) licence: Option<String>,
    /// The licence's text
    #[arg(long, value_name = "FILE", help_heading = "Card")]
    pub(crate) licence_file: Option<PathBuf>,
    /// A language that it knows, as a BCP 47 tag; may be given several times [default: what the weights say]
    #[arg(long = "language", value_name = "TAG", help_heading = "Card", value_parser = terms::language)]
    pub(crate) languages: Vec<String>,
    /// What it was trained from [default: what the weights say]
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub(crate) base_model: Option<String>,
    /// What it was trained on [default: what the weights say]
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub(crate) data: Option<String>,
    /// What it is for [default: what the weights say]
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub(crate) intended_use: Option<String>,
    /// What it is not for, and where it fails; weights never say
    #[arg(long, value_name = "TEXT", help_heading = "Card")]
    pub(crate) limits: Option<String>,
    /// Print JSON, and no progress
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A bundle: its folder, or a .tar or .tar.gz of one
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// The repository that it appears in; made where it is absent
    #[arg(long, value_name = "DIR", default_value = "models")]
    pub(crate) into: PathBuf,
    /// Print JSON, and no progress
    #[arg(long)]
    pub(crate) json: bool,
}

fn name(text: &str) -> Result<String, String> {
    let parsed = format!("{text}@0.0.0").parse::<BundleRef>();
    parsed.map(|parsed| parsed.name).map_err(|error| format!("{error}; write such as \"storyteller\""))
}

fn version(text: &str) -> Result<Version, String> {
    let parsed = format!("x@{text}").parse::<BundleRef>();
    let parsed = parsed.map_err(|error| format!("{error}; write such as \"1.0.0\""))?;
    if text.len() > 64 {
        return Err("a version has at most 64 characters; shorten it".to_owned());
    }
    Ok(parsed.version)
}

fn tolerance(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|number| *number > 0.0 && *number <= 100.0);
    number.ok_or_else(|| "a tolerance is a number above 0, at most 100; 0.35 suits weights of 8 bits".to_owned())
}
