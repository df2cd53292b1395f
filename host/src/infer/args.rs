//! `bobbin infer ..`: its arguments.

use crate::bundles::Wanted;
use crate::threads;
use bobbin_inference::{OptionsPatch, StopList};
use clap::Args;
use std::path::PathBuf;

/// For `--help`. The numbers mean what they mean for `bobbin release`.
pub(crate) const HELP: &str = "Examples:
  bobbin infer storyteller \"Once upon a time\"
  bobbin infer storyteller@1.0.0 \"Once upon a time\" --max-tokens 40 --temperature 0 --json
  bobbin infer sentence \"When will my parcel come?\" -f spin.toml

Exit codes:
  0    done
  1    failed
  2    the command line makes no sense
  4    no such bundle, repository or file
  5    the bundle was refused: it did not verify, load, warm up or fit, or cannot do this
  130  given up by Ctrl-C";

#[derive(Debug, Args)]
pub(crate) struct Infer {
    /// The bundle: name@version, or a name for its newest version; with -f also the application's name for it
    #[arg(value_name = "MODEL")]
    pub(crate) model: Wanted,
    /// What to continue, or to embed [default: standard input; of a model that embeds, a text on each line]
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    /// The most tokens to make
    #[arg(long, value_name = "N", help_heading = "Answer")]
    pub(crate) max_tokens: Option<u32>,
    /// How much chance has a say: 0 for always the likeliest token, at most 10
    #[arg(long, value_name = "T", help_heading = "Answer")]
    pub(crate) temperature: Option<f32>,
    /// Choose among the likeliest tokens that have this probability together: above 0, at most 1
    #[arg(long, value_name = "P", help_heading = "Answer")]
    pub(crate) top_p: Option<f32>,
    /// Choose among so many of the likeliest tokens; 0 for all
    #[arg(long, value_name = "K", help_heading = "Answer")]
    pub(crate) top_k: Option<u32>,
    /// Repeat the chances of another answer with the same number
    #[arg(long, value_name = "N", help_heading = "Answer")]
    pub(crate) seed: Option<u32>,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT", help_heading = "Answer")]
    pub(crate) stop: Vec<String>,
    /// Say the prompt as a user's message, in the form of the model's chat template
    #[arg(long, help_heading = "Answer")]
    pub(crate) chat: bool,
    /// What the model is told before the user's message; implies --chat
    #[arg(long, value_name = "TEXT", help_heading = "Answer")]
    pub(crate) system: Option<String>,
    /// Ask for vectors: refused by a model that makes none. Without it the bundle's kind decides
    #[arg(long, conflicts_with_all = ["max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "chat", "system"])]
    pub(crate) embed: bool,
    /// Shorten vectors, where the model allows it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) dimensions: Option<u32>,
    /// Take the repository of this application: a spin.toml, or a folder with one
    #[arg(short = 'f', long = "from", alias = "file", value_name = "FILE", conflicts_with = "repository")]
    pub(crate) file: Option<PathBuf>,
    /// The bundle repository [default: models]
    #[arg(long, value_name = "DIR")]
    pub(crate) repository: Option<PathBuf>,
    /// Where verified files are kept [default: .bobbin beside the application, or beside the repository]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Layers that a GPU computes, where a worker for one is installed; 0 for none [default: as many as fit]
    #[arg(long, value_name = "N")]
    pub(crate) gpu_layers: Option<u32>,
    /// Threads that may compute it [default: one for each core, fewer for a small model]
    #[arg(long, value_name = "N", value_parser = threads::number)]
    pub(crate) threads: Option<u32>,
    /// Print one JSON document when the answer is complete, instead of the answer as it comes
    #[arg(long)]
    pub(crate) json: bool,
}

impl Infer {
    /// What is said of the answer; the bundle's defaults say the rest.
    pub(crate) fn options(&self) -> OptionsPatch {
        OptionsPatch {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            seed: self.seed,
            stop: (!self.stop.is_empty()).then(|| StopList::Many(self.stop.clone())),
            stream: Some(true),
            ..OptionsPatch::default()
        }
    }

    /// The first option that says something of an answer in text, as it is written.
    pub(crate) fn of_texts(&self) -> Option<&'static str> {
        let given = [
            (self.max_tokens.is_some(), "--max-tokens"),
            (self.temperature.is_some(), "--temperature"),
            (self.top_p.is_some(), "--top-p"),
            (self.top_k.is_some(), "--top-k"),
            (self.seed.is_some(), "--seed"),
            (!self.stop.is_empty(), "--stop"),
            (self.chat, "--chat"),
            (self.system.is_some(), "--system"),
        ];
        given.into_iter().find_map(|(given, name)| given.then_some(name))
    }
}
