//! What it costs to hold an answer to a JSON schema, by llguidance, which workers use, and by llama.cpp's own: its conversion of
//! a schema to a grammar, and its sampler of grammars.
//!
//! Measures, for schemas of three kinds and two vocabularies (the storyteller's, and one as large as qwen2.5-0.5b's made of the
//! pieces that the repository's own texts have most of): the time to prepare an answer, the time to look at one token, and the
//! time to look at every token of the vocabulary, at each token of a given answer. A worker looks at one token, the model's own
//! choice, and at all of them only where that one is refused. And for each keyword of JSON Schema: whether it is refused,
//! obeyed, or left out without a word.
//!
//! How to read it: both ways take turns within each round, on one thread. A figure is the median over an answer's tokens, or
//! the slowest of them; a ratio is the median of the rounds' ratios, below 1 where llguidance takes less. Nothing has a
//! bound. A build without vector units is refused. Run it with `cargo xtask bench grammar [--model FILE] [--rounds N]`; with
//! `--model`, the vocabulary of a GGUF file takes the place of the two.

#![allow(clippy::print_stdout, missing_docs, reason = "a benchmark prints its table")]

mod cases;
mod keywords;
mod pieces;

use anyhow::{Context, Result, anyhow};
use bobbin_synthetic::{BEFORE_PIECES, SHAPES};
use bobbin_tests::{Busy, Report, bench, machine, refuse_baseline, repository_root};
use bobbin_worker::child::compared::{Words, system};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::NamedTempFile;

/// The model whose vocabulary gives the size.
const SHAPE: &str = "qwen2.5-0.5b";
const STORIES: &str = "models/storyteller/1.0.0/storyteller-q8_0.gguf";

#[derive(Parser)]
struct Options {
    /// cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
    /// A GGUF file whose vocabulary is used.
    #[arg(long)]
    model: Option<PathBuf>,
    /// How often each of the two has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() -> ExitCode {
    bench(run())
}

async fn run() -> Result<()> {
    let options = Options::parse();
    println!("machine: {}", machine()?);
    let system = system();
    println!("llama.cpp: {system}");
    refuse_baseline(&system)?;
    let before = Busy::now()?;
    let mut report = Report::default();
    let mut last = None;
    for (name, mut words) in vocabularies(options.model.as_deref())? {
        println!("\nvocabulary: {name}, {} words", words.count());
        cases::measure(&name, &mut words, options.rounds, &mut report)?;
        last = Some(words);
    }
    // What a keyword does depends on no vocabulary; the last one can spell all the texts.
    keywords::show(&last.context("there is no vocabulary")?)?;
    println!(
        "\nother processes, and the kernel for itself, had {:.0} % of the cores",
        Busy::now()?.others_since(&before)
    );
    report.finish()
}

fn vocabularies(model: Option<&Path>) -> Result<Vec<(String, Words)>> {
    let load = |file: &Path| Words::load(file).map_err(|error| anyhow!(error));
    if let Some(model) = model {
        return Ok(vec![(model.display().to_string(), load(model)?)]);
    }
    let root = repository_root();
    let shape = SHAPES.iter().find(|shape| shape.name == SHAPE).context("the shape has another name")?;
    let pieces = pieces::of(&root, shape.vocabulary as usize - BEFORE_PIECES)?;
    let file = NamedTempFile::new()?;
    bobbin_synthetic::write_words(&mut file.as_file(), "pieces of this repository's texts", &pieces)?;
    let stories = ("storyteller's".to_owned(), load(&root.join(STORIES))?);
    Ok(vec![stories, (format!("as large as {SHAPE}'s"), load(file.path())?)])
}
