//! Inside the worker process.
//!
//! One process runs one bundle version. Its end of the link is its standard input; its log is standard error.
//! What happens, in order: the process hardens itself, greets the host and hears what to load, closes the
//! cage, maps the weights and proves that they work (on a thread of low priority), says that it is ready, and then
//! computes until the host is gone.

mod ambiguity;
#[cfg(own_kernels)]
mod attention;
mod cage;
mod chat;
mod constraint;
mod engine;
mod event;
mod generate;
#[cfg(own_kernels)]
mod ggml;
mod gpu;
mod link;
mod load;
mod log;
mod model;
mod prepare;
mod process;
#[cfg(own_kernels)]
mod product;
mod proof;
mod sampler;
mod schedule;
mod shortlist;
mod specials;
mod tokenizer;
mod tools;
mod vocabulary;

pub use chat::says_messages;
pub use constraint::compared;

use bobbin_inference::GraphKind;
use bobbin_inference::wire::{Examination, FromWorker, Greeting, LoadSpec, Loaded, Reference};
use cage::{Cage, Profile};
use engine::{EmbedEngine, Generator};
use event::Event;
use link::{Link, Outbox};
use model::Model;
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender};

/// The worker could not be set up, or the host broke the protocol before anything was loaded.
const NOT_STARTED: u8 = 2;
/// Loading failed; the host was told why.
const NOT_LOADED: u8 = 1;

/// Runs a worker until its host is gone. Called by the hidden subcommand and by the worker's own executable;
/// the supervisor may pass `--parent PID`, and `--background` for a worker that is to take nothing from others.
#[must_use]
pub fn run() -> ExitCode {
    log::start();
    let mut link = match process::harden().and_then(|()| Link::new(process::take_link()?)) {
        Ok(link) => link,
        Err(error) => {
            tracing::error!("a worker is started by the host, with a socket as its standard input: {error}");
            return ExitCode::from(NOT_STARTED);
        }
    };
    let spec = match link.greet() {
        Ok(Some(spec)) => spec,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(NOT_STARTED);
        }
    };
    let profile = if spec.gpu.is_some() {
        gpu::devices();
        Profile::Gpu
    } else {
        Profile::Processor
    };
    let cage = Cage::close(&spec.weights, spec.tokenizer.as_deref(), profile);
    match link.start() {
        Ok((events, inbox, out)) => work(&spec, cage, events, &inbox, out),
        Err(error) => {
            tracing::error!("the worker cannot start its threads: {error}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

/// Says on standard output, in JSON, for which host this executable works and which GPUs it can compute on. Called by
/// the worker's own executable with `--probe`.
#[must_use]
pub fn probe() -> ExitCode {
    log::start();
    // Some drivers do not survive the end of the process that has opened them.
    process::exit_now(said(&gpu::probe()))
}

/// Closes the cage around this process, as a worker's, and says on standard output, in JSON, what holds of it here and
/// which features of the processor are used ([`Examination`]). Called by the hidden subcommand of `bobbin doctor`.
#[must_use]
pub fn examine() -> ExitCode {
    log::start();
    let landlock_abi = process::landlock_abi();
    let short_slices = crate::slice::are_known();
    if let Err(error) = process::harden() {
        tracing::error!("the process cannot be set up as a worker's: {error}");
        return ExitCode::from(NOT_STARTED);
    }
    // In place of weights: any file that may be read.
    let cage = Cage::close(Path::new("/proc/self/exe"), None, Profile::Processor);
    let system = process::system_info();
    let found = Examination { greeting: Greeting::ours(), system, cage: cage.into_rules(), landlock_abi, short_slices };
    process::exit_now(said(&found))
}

/// Writes a line of JSON, to its last byte: nothing is flushed where a process ends without its destructors. Returns the
/// exit status.
fn said(what: &impl Serialize) -> i32 {
    let mut out = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut out, what).map_err(std::io::Error::from);
    let written = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    if let Err(error) = &written {
        tracing::error!("nobody hears what was found: {error}");
    }
    written.is_err().into()
}

fn work(spec: &LoadSpec, cage: Cage, events: SyncSender<Event>, inbox: &Receiver<Event>, mut out: Outbox) -> ExitCode {
    let result = match spec.kind {
        GraphKind::Generate => generate(spec, cage, events, inbox, &mut out),
        GraphKind::Embed => embed(spec, cage, events, inbox, &mut out),
    };
    let code = match result {
        Ok(()) => 0,
        Err(message) => {
            tracing::error!("{message}");
            tell(&mut out, &FromWorker::LoadFailed { message });
            NOT_LOADED
        }
    };
    out.close();
    // Leaving through main would run destructors of llama.cpp under threads that may still use it.
    process::exit_now(code.into())
}

fn generate(
    spec: &LoadSpec,
    mut cage: Cage,
    events: SyncSender<Event>,
    inbox: &Receiver<Event>,
    out: &mut Outbox,
) -> Result<(), String> {
    let load::Generates { model, decoder, prefix, template, deviation, recorded } =
        load::quietly(spec.threads, || load::generates(spec, out))?;
    let cells = decoder.cells();
    let digest = model.vocabulary.digest();
    let started = Generator::new(&model, decoder, spec, prefix, template, events);
    let mut engine = started.map_err(|error| format!("the worker cannot start its threads: {error}"))?;
    load::compute_long();
    cage.tighten();
    ready(out, &model, digest, cells, Proved { deviation, recorded }, cage);
    engine::serve(&mut engine, inbox, out);
    Ok(())
}

fn embed(
    spec: &LoadSpec,
    mut cage: Cage,
    events: SyncSender<Event>,
    inbox: &Receiver<Event>,
    out: &mut Outbox,
) -> Result<(), String> {
    let (model, embedder) = load::quietly(spec.threads, || load::embeds(spec, out))?;
    let vocabulary = std::sync::Arc::clone(&model.vocabulary);
    let digest = vocabulary.digest();
    let started = EmbedEngine::new(embedder, vocabulary, model.dimensions(), spec, events);
    let mut engine = started.map_err(|error| format!("the worker cannot start its threads: {error}"))?;
    load::compute_long();
    cage.tighten();
    ready(out, &model, digest, 0, Proved::default(), cage);
    engine::serve(&mut engine, inbox, out);
    Ok(())
}

/// What was computed before the first request.
#[derive(Default)]
struct Proved {
    deviation: Option<f32>,
    recorded: Vec<Reference>,
}

fn ready(out: &mut Outbox, model: &Model, digest: String, cells: u32, proved: Proved, cage: Cage) {
    let loaded = Loaded {
        vocabulary: u32::try_from(model.vocabulary.size()).unwrap_or(0),
        vocabulary_digest: digest,
        longest_token: model.vocabulary.longest_token(),
        trained_context: model.trained_context(),
        cells,
        deviation: proved.deviation,
        system: process::system_info(),
        gpu: model.gpu.clone(),
        cage: cage.into_rules(),
        recorded: proved.recorded,
    };
    tell(out, &FromWorker::Ready(loaded));
}

/// Sends one frame at once.
fn tell(out: &mut Outbox, message: &FromWorker) {
    if let Err(error) = out.push(message) {
        tracing::error!("a frame was not sent: {error}");
    }
    out.flush();
}
