//! Embeddings.

use crate::worker::{Worker, goldens, greedy, models, spec, spec_of, text};
use bobbin_inference::wire::LoadSpec;
use bobbin_inference::{GraphKind, Reason, Work};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What the reference has of a text: the mean over its tokens, and what was made of the first and of the last of them.
const POOLINGS: [&str; 3] = ["vector", "first", "last"];

fn minilm() -> Option<LoadSpec> {
    let spec = spec("all-MiniLM-L6-v2-q8_0.gguf")?;
    Some(LoadSpec { kind: GraphKind::Embed, context: 256, ..spec })
}

fn sentence_weights() -> PathBuf {
    models().join("sentence/1.0.0/sentence-q8_0.gguf")
}

/// The project's own embedder, with its weights or with others.
fn sentence(weights: PathBuf) -> LoadSpec {
    LoadSpec {
        kind: GraphKind::Embed,
        context: 256,
        bundle: "sentence@1.0.0".into(),
        tokenizer: Some(models().join("sentence/1.0.0/tokenizer.json")),
        warm_up: vec!["Where is my order?".into()],
        tolerance: 0.0,
        ..spec_of(weights)
    }
}

/// What its reference says.
fn sentence_cases() -> Vec<Value> {
    let text = std::fs::read_to_string(models().join("recipes/sentence/golden.json")).unwrap();
    let goldens: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sentence_weights().file_name().unwrap().to_str(), goldens["file"].as_str());
    goldens["cases"].as_array().unwrap().clone()
}

fn numbers(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|x| x.as_f64().unwrap().to_string().parse().unwrap()).collect()
}

/// The embedder's weights, but for what they say of how a text's vector is made of those of its tokens.
fn pooled(folder: &Path, pooling: u32) -> PathBuf {
    const KEY: &[u8] = b"bert.pooling_type";
    let mut bytes = std::fs::read(sentence_weights()).unwrap();
    let key = bytes.windows(KEY.len()).position(|window| window == KEY).unwrap();
    // Behind a key stands its value's type, which is 4 for this one, and then the value.
    let value = key + KEY.len() + 4;
    assert_eq!(bytes[value - 4..value + 4], [4, 0, 0, 0, 1, 0, 0, 0]);
    bytes[value..value + 4].copy_from_slice(&pooling.to_le_bytes());
    let path = folder.join(format!("pooling-{pooling}.gguf"));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn embed(texts: &[&str], dimensions: Option<u32>) -> Work {
    Work::Embed { texts: texts.iter().map(|text| (*text).to_owned()).collect(), dimensions }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn embeddings_are_those_of_the_reference() {
    let Some((spec, goldens)) = minilm().zip(goldens("all-MiniLM-L6-v2")) else { return };
    let mut worker = Worker::ready(spec);
    let texts: Vec<&str> = goldens.iter().map(|golden| golden["text"].as_str().unwrap()).collect();
    let answer = worker.compute(1, embed(&texts, None));
    assert_eq!(answer.values.len(), texts.len() * 384);
    for (vector, golden) in answer.values.chunks(384).zip(&goldens) {
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4, "{length}");
        let field = golden.as_object().unwrap().keys().find(|key| key.starts_with("embedding")).unwrap();
        let expected = numbers(&golden[field]);
        let cosine = cosine(&vector[..expected.len()], &expected);
        assert!(cosine >= 0.999, "{}: {cosine}", golden["text"]);
    }
    let tokens: usize = goldens.iter().map(|golden| golden["ids"].as_array().unwrap().len()).sum();
    assert_eq!(answer.usage.input_tokens as usize, tokens);
}

#[test]
fn the_projects_own_embedder_says_what_its_reference_says() {
    let cases = sentence_cases();
    let mut worker = Worker::ready(sentence(sentence_weights()));
    for (session, case) in (1..).zip(&cases) {
        let answer = worker.compute(session, embed(&[case["text"].as_str().unwrap()], None));
        let tokens = case["tokens"].as_array().unwrap().len();
        assert_eq!(answer.usage.input_tokens as usize, tokens, "{}", case["text"]);
        let expected = numbers(&case["vector"]);
        assert_eq!(answer.values.len(), expected.len());
        let cosine = cosine(&answer.values, &expected);
        assert!(cosine >= 0.999, "{}: {cosine}", case["text"]);
    }
    assert_eq!(cases.len(), 16);
}

#[test]
fn a_text_is_pooled_as_its_weights_say_and_its_vector_has_length_one() {
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<Value> = sentence_cases().into_iter().filter(|case| case.get("first").is_some()).collect();
    let texts: Vec<&str> = cases.iter().map(|case| case["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4);
    // Weights that say nothing of it are taken for those of a mean.
    for (pooling, expected) in [(0, "vector"), (1, "vector"), (2, "first"), (3, "last")] {
        let mut worker = Worker::ready(sentence(pooled(folder.path(), pooling)));
        // All at once: each text of a batch has a first token and a last one.
        let answer = worker.compute(1, embed(&texts, None));
        assert_eq!(answer.values.len(), 4 * 192);
        for (vector, case) in answer.values.chunks(192).zip(&cases) {
            let length: f32 = vector.iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-4, "{pooling}: {length}");
            for other in POOLINGS {
                let cosine = cosine(vector, &numbers(&case[other]));
                // No mean evens out what 8 bits round of a single token. The three are at most 0.9 like each other.
                let is_it = if other == expected { cosine >= 0.995 } else { cosine < 0.95 };
                assert!(is_it, "pooling {pooling}, {other} of {}: {cosine}", case["text"]);
            }
        }
    }
}

#[test]
fn weights_that_rank_texts_make_no_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Worker::load(sentence(pooled(folder.path(), 4))).err().unwrap();
    assert!(refused.contains("sentence@1.0.0 ranks texts and makes no vectors"), "{refused}");
}

#[test]
fn many_texts_take_several_batches_and_keep_their_order() {
    let Some(spec) = minilm() else { return };
    let mut worker = Worker::ready(spec);
    let texts: Vec<String> = (0..100).map(|n| format!("story number {n} about a cat and a very long road")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let many = worker.start(1, embed(&texts, None));
    let one = worker.compute(2, embed(&texts[57..58], None)).values;
    let many = worker.finish(many).values;
    assert_eq!(many.len(), 100 * 384);
    assert!(cosine(&many[57 * 384..58 * 384], &one) > 0.999);
    assert!(cosine(&many[57 * 384..58 * 384], &many[..384]) < 0.9999);
}

#[test]
fn shorter_vectors_have_length_one_too() {
    let Some(spec) = minilm() else { return };
    let mut worker = Worker::ready(spec);
    let vector = worker.compute(1, embed(&["a cat"], Some(64))).values;
    assert_eq!(vector.len(), 64);
    assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
}

#[test]
fn wrong_input_is_refused() {
    let Some(spec) = minilm() else { return };
    let mut worker = Worker::ready(spec);
    for (work, reason) in [
        (embed(&[], None), Reason::InvalidInput),
        (embed(&["a"], Some(385)), Reason::InvalidOption),
        (embed(&["a"], Some(0)), Reason::InvalidOption),
        (embed(&[&"word ".repeat(300)], None), Reason::ContextExceeded),
        (text("Once", greedy(1)), Reason::UnsupportedByModel),
        (Work::Logits { tokens: vec![1] }, Reason::UnsupportedByModel),
    ] {
        let error = worker.refuse(1, work.clone());
        assert_eq!(error.reason, reason, "{work:?}: {}", error.message);
    }
    let error = worker.refuse(1, embed(&["fine", &"word ".repeat(300)], None));
    assert!(error.message.contains("text 1") && error.message.contains("256"), "{}", error.message);
    assert_eq!(worker.compute(1, embed(&["fine"], None)).values.len(), 384);
}
