//! A whole model whose heads are wide, by the kernel and by llama.cpp's plain attention.

use super::OURS;
use bobbin_synthetic::{Architecture, Quant, Shape};
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

/// llama.cpp's numbers for whether attention is fused.
const PLAIN: i32 = 0;
const FUSED: i32 = 1;
const SEQUENCES: usize = 12;
const VOCABULARY: u32 = 512;

const SHAPE: Shape = Shape {
    name: "wide heads",
    architecture: Architecture::Llama,
    layers: 3,
    width: 256,
    feed_forward: 512,
    heads: 4,
    kv_heads: 2,
    head_width: 64,
    vocabulary: VOCABULARY,
    context: 1024,
    tied: false,
    rope_base: 1e4,
    epsilon: 1e-5,
};

/// The token at a position of a sequence.
fn token(sequence: usize, position: usize) -> LlamaToken {
    let token = (sequence * 131 + position * 37 + 7) % VOCABULARY as usize;
    LlamaToken::new(i32::try_from(token).unwrap())
}

/// Logits after each sequence's prompt and after each of some tokens that follow: prompts of different lengths at once,
/// then a step for one more token of each sequence.
fn logits(backend: &LlamaBackend, model: &LlamaModel, attention: i32) -> Vec<Vec<f32>> {
    let params = LlamaContextParams::default()
        .with_flash_attention_policy(attention)
        .with_n_ctx(NonZeroU32::new(512))
        .with_n_batch(512)
        .with_n_ubatch(512)
        .with_n_seq_max(u32::try_from(SEQUENCES).unwrap())
        .with_kv_unified(true)
        .with_n_threads(2)
        .with_n_threads_batch(2);
    let mut context = model.new_context(backend, params).unwrap();
    let mut batch = LlamaBatch::new(512, 1);
    let mut all = Vec::new();
    let prompt = |sequence: usize| 5 + sequence;
    for step in 0..=6 {
        batch.clear();
        let mut last = Vec::new();
        for sequence in 0..SEQUENCES {
            let end = prompt(sequence) + step;
            for position in if step == 0 { 0..end } else { end - 1..end } {
                let (at, id) = (i32::try_from(position).unwrap(), i32::try_from(sequence).unwrap());
                batch.add(token(sequence, position), at, &[id], position + 1 == end).unwrap();
            }
            last.push(batch.n_tokens() - 1);
        }
        context.decode(&mut batch).unwrap();
        all.extend(last.into_iter().map(|row| context.get_logits_ith(row).to_vec()));
    }
    all
}

#[test]
fn a_model_with_wide_heads_answers_as_with_plain_attention() {
    let file = tempfile::NamedTempFile::new().unwrap();
    bobbin_synthetic::write(&mut file.as_file(), &SHAPE, Quant::F16, 1).unwrap();
    let backend = LlamaBackend::init().unwrap();
    let model = LlamaModel::load_from_file(&backend, file.path(), &LlamaModelParams::default()).unwrap();

    let plain = logits(&backend, &model, PLAIN);
    let before = OURS.load(Ordering::Relaxed);
    let ours = logits(&backend, &model, FUSED);
    assert!(OURS.load(Ordering::Relaxed) > before, "the kernel computed nothing");

    for (index, (plain, ours)) in plain.iter().zip(&ours).enumerate() {
        let largest = plain.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
        let apart = plain.iter().zip(ours).map(|(plain, ours)| (plain - ours).abs()).fold(0.0, f32::max);
        assert!(apart < 0.01 * largest, "sequence {}: {apart} apart, of {largest}", index % SEQUENCES);
    }
}
