//! Loading, and the proof that it worked, on a thread that takes little processor time from others.
//!
//! A worker that loads runs beside workers that answer. So reading the weights, warm-up prompts and fingerprint
//! are computed on a thread of low priority, on as many cores as it has threads, and so is everything that is computed for it: the threads of
//! an OpenMP team inherit priority and cores of the thread that they are made by, and end with it. A process without
//! privileges cannot take a lower priority back. Therefore that thread ends when the proof is there, and the
//! engine's thread, which never had another priority than the process, takes over and makes a team of its own.
//!
//! What moves between the two is `Send` by itself: llama-cpp-2 declares that a context and a batch are bound to no
//! thread, and ggml keeps what belongs to a computation in the context, but for the OpenMP team, which is why that
//! may stay behind.

use super::chat::ChatTemplate;
use super::link::Outbox;
use super::model::{Decoder, Embedder, Model};
use super::schedule::Token;
use super::{process, proof, tell, tokenizer};
use bobbin_inference::wire::{FromWorker, LoadSpec, Phase, Reference};
use std::thread;

/// Some tokenisers recurse over each character of a word.
const STACK: usize = 64 << 20;

/// A model that generates, loaded and proved.
pub(super) struct Generates {
    pub(super) model: Model,
    pub(super) decoder: Decoder,
    /// The bundle's shared prefix, computed in its sequence.
    pub(super) prefix: Vec<Token>,
    pub(super) template: Option<ChatTemplate>,
    /// Largest difference from the fingerprint.
    pub(super) deviation: Option<f32>,
    /// What a fingerprint may be made of, where that was asked for.
    pub(super) recorded: Vec<Reference>,
}

/// Runs something that computes with so many threads on one of low priority, and waits for it.
///
/// # Errors
/// Its own; when the thread cannot be started, or panicked.
pub(super) fn quietly<T: Send>(threads: u32, what: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    let lowered = || {
        if let Err(error) = process::lower_priority(process::Priority::Loading) {
            tracing::warn!("loading takes as much processor time as answering, since its priority stays: {error}");
        }
        if let Err(error) = process::stay_on_cores(threads) {
            tracing::warn!("what loads moves between the cores: {error}");
        }
        compute_long();
        what()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("load".into()).stack_size(STACK).spawn_scoped(scope, lowered);
        let thread = thread.map_err(|error| format!("the worker cannot start its threads: {error}"))?;
        // The panic's own words are in the log already.
        thread.join().unwrap_or_else(|_| Err("the worker panicked while loading; its log says where".into()))
    })
}

/// Has this thread take ordinary slices of processor time, as others that wake beside it take short ones.
pub(super) fn compute_long() {
    if let Err(error) = crate::slice::ordinary() {
        tracing::warn!("this worker computes in short slices of processor time: {error}");
    }
}

/// Loads a model that generates.
///
/// # Errors
/// What is wrong with it, or with what it computes.
pub(super) fn generates(spec: &LoadSpec, out: &mut Outbox) -> Result<Generates, String> {
    tell(out, &FromWorker::Progress(Phase::Loading));
    let model = Model::load(spec)?;
    tokenizer::agrees(spec, &model.vocabulary)?;
    let template = match spec.chat_template.clone().or_else(|| model.chat_template()) {
        Some(source) => {
            let (bos, eos) = model.vocabulary.bos_eos_texts();
            Some(ChatTemplate::new(&source, bos, eos)?)
        }
        None => None,
    };
    let prefix = match &spec.prefix {
        Some(prefix) if model.cells_are_independent() => model.vocabulary.text(prefix, true),
        _ => Vec::new(),
    };
    if prefix.len() >= spec.context as usize {
        return Err(format!(
            "the prefix of {} has {} tokens; its context is {} tokens; shorten the prefix",
            spec.bundle,
            prefix.len(),
            spec.context
        ));
    }
    let mut decoder = model.decoder(spec, u32::try_from(prefix.len()).unwrap_or(u32::MAX))?;
    tell(out, &FromWorker::Progress(Phase::Warming));
    proof::warm_up(&mut decoder, &model.vocabulary, spec)?;
    let deviation = proof::fingerprint(&mut decoder, &model.vocabulary, spec)?;
    let recorded = proof::record(&mut decoder, &model.vocabulary, spec)?;
    if !prefix.is_empty() {
        proof::prefix(&mut decoder, &prefix)?;
    }
    Ok(Generates { model, decoder, prefix, template, deviation, recorded })
}

/// Loads a model that embeds.
///
/// # Errors
/// What is wrong with it, or with what it computes.
pub(super) fn embeds(spec: &LoadSpec, out: &mut Outbox) -> Result<(Model, Embedder), String> {
    tell(out, &FromWorker::Progress(Phase::Loading));
    let model = Model::load(spec)?;
    tokenizer::agrees(spec, &model.vocabulary)?;
    let mut embedder = model.embedder(spec)?;
    tell(out, &FromWorker::Progress(Phase::Warming));
    proof::warm_up_embedder(&mut embedder, &model.vocabulary, spec)?;
    Ok((model, embedder))
}
