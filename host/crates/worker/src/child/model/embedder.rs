//! The context of a model that embeds.

use super::super::log;
use super::super::schedule::Token;
use super::{MOST_SEQUENCES, Model, StepError, threads};
use crate::size::BATCH;
use bobbin_inference::wire::LoadSpec;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaPoolingType;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;
use std::num::NonZeroU32;

/// A context for embeddings.
pub(in super::super) struct Embedder {
    context: LlamaContext<'static>,
    batch: LlamaBatch<'static>,
    rows: usize,
    texts: usize,
    /// Positions that the model knows.
    longest: usize,
    vocabulary: Token,
}

impl Model {
    /// A context for embeddings: one text must fit into one batch.
    ///
    /// # Errors
    /// What llama.cpp logged; a model that ranks instead of embedding.
    pub(in super::super) fn embedder(&self, spec: &LoadSpec) -> Result<Embedder, String> {
        let pooling = match self.number("pooling_type") {
            Some(4) => {
                return Err(format!(
                    "the model of {} ranks texts and makes no vectors; use an embedding model",
                    spec.bundle
                ));
            }
            Some(1..=3) => LlamaPoolingType::Unspecified,
            _ => LlamaPoolingType::Mean,
        };
        let rows = spec.context.max(BATCH);
        let texts = spec.parallel.clamp(1, MOST_SEQUENCES).max(16);
        let params = self
            .params(spec)
            .with_n_ctx(NonZeroU32::new(rows))
            .with_n_batch(rows)
            .with_n_ubatch(rows)
            .with_n_seq_max(texts)
            .with_kv_unified(true)
            .with_embeddings(true)
            .with_pooling_type(pooling);
        let context = self.context(params, spec)?;
        let rows = context.n_ubatch().min(context.n_batch()) as usize;
        Ok(Embedder {
            context,
            batch: LlamaBatch::new(rows, 1),
            rows,
            texts: texts as usize,
            longest: self.trained_context() as usize,
            vocabulary: self.vocabulary.size(),
        })
    }
}

impl Embedder {
    /// The most tokens of one batch.
    pub(in super::super) fn rows(&self) -> usize {
        self.rows
    }

    /// The most texts of one batch.
    pub(in super::super) fn texts(&self) -> usize {
        self.texts
    }

    /// Has the next batches computed with so many threads.
    pub(in super::super) fn set_threads(&mut self, threads: u32) {
        if let Err(error) = threads::set(&mut self.context, threads) {
            tracing::error!("the number of threads stays as it was: {error}");
        }
    }

    /// Embeds texts, one vector each, not normalised.
    ///
    /// # Errors
    /// See [`StepError`].
    pub(in super::super) fn embed(&mut self, texts: &[&[Token]]) -> Result<Vec<Vec<f32>>, StepError> {
        let rows: usize = texts.iter().map(|text| text.len()).sum();
        if texts.is_empty() || texts.len() > self.texts || rows > self.rows {
            let why = format!("{} texts with {rows} tokens", texts.len());
            return Err(StepError::Refused(format!("{why}; a batch has 1 to {} with {}", self.texts, self.rows)));
        }
        if let Some(text) = texts.iter().find(|text| !(1..=self.longest).contains(&text.len())) {
            let why = format!("a text has {} tokens; the model takes 1 to {}", text.len(), self.longest);
            return Err(StepError::Refused(why));
        }
        if let Some(token) = texts.iter().copied().flatten().find(|token| !(0..self.vocabulary).contains(*token)) {
            return Err(StepError::Refused(format!("token {token} is not in the vocabulary")));
        }
        self.batch.clear();
        for (slot, text) in (0..).zip(texts) {
            for (pos, token) in (0..).zip(*text) {
                let added = self.batch.add(LlamaToken::new(*token), pos, &[slot], true);
                added.map_err(|error| StepError::Refused(error.to_string()))?;
            }
        }
        let result = self.context.decode(&mut self.batch);
        let vectors =
            result.map_err(|error| StepError::Backend(format!("{error}: {}", log::last_lines()))).and_then(|()| {
                let vector = |(slot, _)| {
                    let vector = self.context.embeddings_seq_ith(slot);
                    vector.map(<[f32]>::to_vec).map_err(|error| StepError::Backend(error.to_string()))
                };
                (0..).zip(texts).map(vector).collect()
            });
        self.context.clear_kv_cache();
        vectors
    }
}
