//! The loaded model, and the only way to its context: every invariant that llama.cpp asserts is checked here
//! before it is called.

mod embedder;
#[cfg(test)]
pub(super) mod tests;
mod threads;

pub(super) use embedder::Embedder;

use super::schedule::{Row, Token};
use super::vocabulary::Vocabulary;
use super::{gpu, log};
use crate::size::{self, BATCH};
use bobbin_inference::wire::{LoadSpec, Offloaded};
use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use std::fs::File;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// llama.cpp's bound on sequences in one context.
pub(super) const MOST_SEQUENCES: u32 = 256;
/// Weights for one look of a head at a cell which is not its sequence's. A look takes as long as some forty weights:
/// measured with 32 sequences of the shape of qwen2.5-0.5b.
const WEIGHTS_OF_A_LOOK: u64 = 1400;
/// llama.cpp's names for whether attention is fused: never, or where the backend has it.
const FUSED_NEVER: i32 = 0;
const FUSED_AUTO: i32 = -1;

/// A model whose weights are mapped. It lives as long as the process.
pub(super) struct Model {
    /// Weights and metadata.
    pub(super) model: &'static LlamaModel,
    /// Its vocabulary.
    pub(super) vocabulary: Arc<Vocabulary>,
    /// What a GPU computes of it.
    pub(super) gpu: Option<Offloaded>,
    backend: &'static LlamaBackend,
}

/// A name for a file by which llama.cpp's binding can open it: it takes text alone, and a folder may be called something
/// that is none. Good for as long as the file is open.
fn as_text(path: &Path, file: &File) -> PathBuf {
    match path.to_str() {
        Some(_) => path.to_owned(),
        None => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
    }
}

/// Why a step failed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StepError {
    /// No free cells: the reservation was wrong.
    #[error("llama.cpp found no free key-value cells")]
    NoRoom,
    /// llama.cpp reported a failure.
    #[error("llama.cpp failed: {0}")]
    Backend(String),
    /// A row that llama.cpp would have aborted on; a bug of ours.
    #[error("a step was refused before llama.cpp saw it: {0}")]
    Refused(String),
}

impl Model {
    /// Maps the weights.
    ///
    /// # Errors
    /// What llama.cpp logged, or what does not fit the request to load.
    pub(super) fn load(spec: &LoadSpec) -> Result<Self, String> {
        let path = spec.weights.display();
        let file = File::open(&spec.weights)
            .map_err(|error| format!("the weights of {} cannot be opened at {path}: {error}", spec.bundle))?;
        let backend = LlamaBackend::init().map_err(|error| error.to_string())?;
        // One model for each process, until its end: leaking it lets helper threads use the vocabulary freely.
        let backend: &'static LlamaBackend = Box::leak(Box::new(backend));
        let params = gpu::divide(spec)?;
        let model = LlamaModel::load_from_file(backend, as_text(&spec.weights, &file), &params).map_err(|error| {
            format!("llama.cpp refuses the weights of {}: {error}: {}", spec.bundle, log::last_lines())
        })?;
        let gpu = gpu::divided(&params, model.n_layer());
        let model: &'static LlamaModel = Box::leak(Box::new(model));
        let trained = model.n_ctx_train();
        if spec.context == 0 || spec.context > trained {
            return Err(format!(
                "the bundle {} declares a context of {} tokens; its model was trained with {trained}: declare from 1 to \
                 {trained}",
                spec.bundle, spec.context
            ));
        }
        Ok(Self { model, vocabulary: Arc::new(Vocabulary::new(model)), gpu, backend })
    }

    /// Tokens of the context that the model was trained with.
    pub(super) fn trained_context(&self) -> u32 {
        self.model.n_ctx_train()
    }

    /// The chat template of the GGUF.
    pub(super) fn chat_template(&self) -> Option<String> {
        self.model.chat_template(None).ok()?.to_string().ok()
    }

    /// Whether cells can be shared between sequences and cut at any position: not with a recurrent state.
    pub(super) fn cells_are_independent(&self) -> bool {
        !self.model.is_recurrent() && !self.model.is_hybrid()
    }

    /// Metadata under the architecture's name, as a number.
    fn number(&self, key: &str) -> Option<u64> {
        let architecture = self.model.meta_val_str("general.architecture").ok()?;
        self.model.meta_val_str(&format!("{architecture}.{key}")).ok()?.parse().ok()
    }

    /// Cells to keep for sessions that are over, where sequences can share cells at all. Each of them costs every
    /// later token a look, in each head of each layer: together no more than some percent of the token's own cost.
    pub(super) fn cached_cells(&self, context: u32) -> u32 {
        if !self.cells_are_independent() {
            return 0;
        }
        let heads = u64::from(self.model.n_layer()) * u64::from(self.model.n_head());
        let affordable = self.model.n_params() / heads.max(1).saturating_mul(WEIGHTS_OF_A_LOOK);
        u32::try_from(affordable).unwrap_or(u32::MAX).max(context)
    }

    /// Numbers of a head's key and of its value.
    fn head_lengths(&self) -> (u64, u64) {
        let head = u64::try_from(self.model.n_embd()).unwrap_or(0) / u64::from(self.model.n_head()).max(1);
        let length = |key| self.number(key).unwrap_or(head);
        (length("attention.key_length"), length("attention.value_length"))
    }

    /// Bytes of one key-value cell over all layers, in 16-bit floats.
    fn cell_bytes(&self) -> u64 {
        let (key, value) = self.head_lengths();
        let cell = u64::from(self.model.n_layer()) * u64::from(self.model.n_head_kv()) * (key + value) * 2;
        cell.max(1)
    }

    fn params(&self, spec: &LoadSpec) -> LlamaContextParams {
        let threads = i32::try_from(spec.threads.max(1)).unwrap_or(i32::MAX);
        LlamaContextParams::default().with_n_threads(threads).with_n_threads_batch(threads).with_no_perf(true)
    }

    /// Whether attention is fused, by llama.cpp's number; on a GPU wherever it can be.
    fn attention(&self, cells: u32) -> i32 {
        let (key, _) = self.head_lengths();
        let plain = size::scores(cells, self.model.n_head(), u32::try_from(key).unwrap_or(u32::MAX)).is_some();
        if plain && self.gpu.is_none() { FUSED_NEVER } else { FUSED_AUTO }
    }

    /// A context for generation. `prefix` tokens get cells and a sequence of their own.
    ///
    /// # Errors
    /// What llama.cpp logged.
    pub(super) fn decoder(&self, spec: &LoadSpec, prefix: u32) -> Result<Decoder, String> {
        let parallel = spec.parallel.clamp(1, MOST_SEQUENCES - 1);
        // Twice as many sequences as compute at once, so that finished sessions may keep their cells.
        let slots = (parallel * 2).min(MOST_SEQUENCES - 1);
        let cells = size::cells(spec.context, spec.parallel, prefix, self.cell_bytes());
        let params = self
            .params(spec)
            .with_flash_attention_policy(self.attention(cells))
            .with_n_ctx(NonZeroU32::new(cells))
            .with_n_batch(BATCH)
            .with_n_ubatch(BATCH)
            .with_n_seq_max(slots + 1)
            .with_kv_unified(true);
        let context = self.context(params, spec)?;
        let batch_rows = context.n_batch() as usize;
        let vocabulary = u32::try_from(self.vocabulary.size()).unwrap_or(0);
        let outputs = size::outputs(vocabulary, parallel, context.n_batch()) as usize;
        Ok(Decoder {
            cells: context.n_ctx(),
            longest: context.n_ctx().min(self.trained_context()),
            context,
            batch: LlamaBatch::new(batch_rows, 1),
            batch_rows,
            outputs,
            parallel: parallel as usize,
            slots,
            vocabulary: self.vocabulary.size(),
            filled: vec![0; slots as usize + 1],
            next: Vec::with_capacity(slots as usize + 1),
            wanted: Vec::new(),
        })
    }

    fn context(&self, params: LlamaContextParams, spec: &LoadSpec) -> Result<LlamaContext<'static>, String> {
        let context = self.model.new_context(self.backend, params);
        let mut context =
            context.map_err(|error| format!("llama.cpp makes no context: {error}: {}", log::last_lines()))?;
        // The parameters say the same; what cannot be changed later must show now.
        threads::set(&mut context, spec.threads)?;
        Ok(context)
    }

    /// Length of an embedding.
    pub(super) fn dimensions(&self) -> u32 {
        u32::try_from(self.model.n_embd_out()).unwrap_or(0)
    }
}

/// A context for generation.
pub(super) struct Decoder {
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    batch_rows: usize,
    outputs: usize,
    parallel: usize,
    slots: u32,
    cells: u32,
    /// Tokens of one sequence: as many as the model knows positions of, where there are cells for them.
    longest: u32,
    vocabulary: Token,
    /// Cells of each sequence.
    filled: Vec<u32>,
    /// The same once the step is computed.
    next: Vec<u32>,
    /// Which rows of the last step have logits.
    wanted: Vec<bool>,
}

impl Decoder {
    /// Key-value cells in all.
    pub(super) fn cells(&self) -> u32 {
        self.cells
    }

    /// Sequence ids for sessions; the next one is the prefix's.
    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    /// The most sequences computing at once.
    pub(super) fn parallel(&self) -> usize {
        self.parallel
    }

    /// The most rows of a step.
    pub(super) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// The most rows of a step with logits.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Has the next steps computed with so many threads.
    pub(super) fn set_threads(&mut self, threads: u32) {
        if let Err(error) = threads::set(&mut self.context, threads) {
            tracing::error!("the number of threads stays as it was: {error}");
        }
    }

    /// Computes one step.
    ///
    /// # Errors
    /// See [`StepError`]. After `Backend` the sequences of the rows must be emptied.
    pub(super) fn step(&mut self, rows: &[Row]) -> Result<(), StepError> {
        self.wanted.clear();
        self.check(rows).map_err(StepError::Refused)?;
        self.batch.clear();
        for row in rows {
            let (Ok(pos), Ok(slot)) = (i32::try_from(row.pos), i32::try_from(row.slot)) else {
                return Err(StepError::Refused(format!("row {row:?}")));
            };
            self.batch
                .add(LlamaToken::new(row.token), pos, &[slot], row.output)
                .map_err(|error| StepError::Refused(error.to_string()))?;
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => {}
            Err(DecodeError::NoKvCacheSlot) => return Err(StepError::NoRoom),
            Err(error) => return Err(StepError::Backend(format!("{error}: {}", log::last_lines()))),
        }
        std::mem::swap(&mut self.filled, &mut self.next);
        self.wanted.extend(rows.iter().map(|row| row.output));
        Ok(())
    }

    /// Checks what llama.cpp asserts, and finds how many cells each sequence comes to have.
    fn check(&mut self, rows: &[Row]) -> Result<(), String> {
        if rows.is_empty() || rows.len() > self.batch_rows {
            return Err(format!("{} rows; a step has 1 to {}", rows.len(), self.batch_rows));
        }
        self.next.clone_from(&self.filled);
        for row in rows {
            if !(0..self.vocabulary).contains(&row.token) {
                return Err(format!("token {} is not in the vocabulary", row.token));
            }
            match self.next.get_mut(row.slot as usize) {
                None => return Err(format!("sequence {} of {}", row.slot, self.filled.len())),
                Some(next) if *next != row.pos => {
                    return Err(format!("position {} of sequence {} where {next} follows", row.pos, row.slot));
                }
                Some(next) => *next += 1,
            }
        }
        // Shared prefixes are counted once for each sequence here, so this is no exact bound of llama.cpp's,
        // but no sequence may be longer than the whole cache, or than what the model has positions for.
        match self.next.iter().find(|length| **length > self.longest) {
            Some(length) => {
                let used: u64 = self.next.iter().copied().map(u64::from).sum();
                let (longest, cells) = (self.longest, self.cells);
                Err(format!(
                    "{length} tokens in one sequence, which has at most {longest}; {used} in all, of {cells} cells"
                ))
            }
            None => Ok(()),
        }
    }

    /// Logits after a row of the last step; `None` where they were not asked for.
    pub(super) fn logits(&self, row: usize) -> Option<&[f32]> {
        let wanted = self.wanted.get(row).copied().unwrap_or(false);
        let index = i32::try_from(row).ok()?;
        wanted.then(|| self.context.get_logits_ith(index))
    }

    /// Keeps the first cells of a sequence. Returns false when llama.cpp could not: the sequence is empty then. So it is
    /// where it has fewer than that.
    pub(super) fn trim(&mut self, slot: u32, keep: u32) -> bool {
        let Some(filled) = self.filled.get(slot as usize).copied() else { return false };
        let kept = (1..=filled).contains(&keep)
            && matches!(self.context.clear_kv_cache_seq(Some(slot), Some(keep), None), Ok(true))
            // A sliding window may have dropped the beginning, which a shorter sequence needs again.
            && i32::try_from(slot).is_ok_and(|slot| self.context.kv_cache_seq_pos_min(slot) == 0);
        if !kept && let Err(error) = self.context.clear_kv_cache_seq(Some(slot), None, None) {
            tracing::error!("sequence {slot} cannot be emptied: {error}");
        }
        if let Some(filled) = self.filled.get_mut(slot as usize) {
            *filled = if kept { keep } else { 0 };
        }
        kept || keep == 0
    }

    /// Lets an empty sequence share the first cells of another. Returns false when that is impossible.
    pub(super) fn share(&mut self, from: u32, slot: u32, len: u32) -> bool {
        let lends = self.filled.get(from as usize).is_some_and(|filled| *filled >= len);
        if !lends || self.filled.get(slot as usize) != Some(&0) {
            return false;
        }
        let (Ok(from), Ok(to)) = (i32::try_from(from), i32::try_from(slot)) else { return false };
        // A sliding window may have dropped the beginning.
        let whole = self.context.kv_cache_seq_pos_min(from) == 0;
        if !whole || self.context.copy_kv_cache_seq(from, to, Some(0), Some(len)).is_err() {
            return false;
        }
        if let Some(filled) = self.filled.get_mut(slot as usize) {
            *filled = len;
        }
        true
    }
}
