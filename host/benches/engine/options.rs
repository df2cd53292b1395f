//! What the command line asks for.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const USAGE: &str = "usage: cargo xtask bench engine [--peer llama-server=PATH] [--peer llama-batched-bench=PATH] \
                     [--model FILE] [--rounds N]";

pub(crate) struct Options {
    pub(crate) llama_server: Option<PathBuf>,
    pub(crate) batched_bench: Option<PathBuf>,
    pub(crate) model: Option<PathBuf>,
    pub(crate) rounds: usize,
}

impl Options {
    pub(crate) fn read() -> Result<Self> {
        let mut options = Self { llama_server: None, batched_bench: None, model: None, rounds: 3 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            // cargo's own.
            if argument == "--bench" {
                continue;
            }
            let value = arguments.next().with_context(|| format!("`{argument}` needs a value; {USAGE}"))?;
            match argument.as_str() {
                "--model" => options.model = Some(value.into()),
                "--rounds" => options.rounds = value.parse().with_context(|| format!("`--rounds {value}`; {USAGE}"))?,
                "--peer" => match value.split_once('=') {
                    Some(("llama-server", path)) => options.llama_server = Some(path.into()),
                    Some(("llama-batched-bench", path)) => options.batched_bench = Some(path.into()),
                    _ => bail!("the peer `{value}` is none of llama-server=PATH and llama-batched-bench=PATH; {USAGE}"),
                },
                _ => bail!("`{argument}` is not an option; {USAGE}"),
            }
        }
        Ok(options)
    }
}
