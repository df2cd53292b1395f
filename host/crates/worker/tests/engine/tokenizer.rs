//! Bundles that ship the tokenizer of their model, and bundles that ship another one.

use crate::worker::{Worker, shared, spec};
use bobbin_inference::GraphKind;
use bobbin_inference::wire::LoadSpec;
use std::path::PathBuf;

const STORIES: &str = "tinystories-656K";
const SENTENCES: &str = "all-MiniLM-L6-v2";

/// A model with a tokenizer.json beside it.
fn with_tokenizer(model: &str, tokenizer: PathBuf) -> Option<LoadSpec> {
    let kind = if model == SENTENCES { GraphKind::Embed } else { GraphKind::Generate };
    let spec = spec(&format!("{model}-q8_0.gguf"))?;
    Some(LoadSpec { kind, context: 256, tokenizer: Some(tokenizer), ..spec })
}

fn tokenizer(model: &str) -> Option<PathBuf> {
    shared(&format!("{model}-tokenizer.json"))
}

#[test]
fn a_model_with_its_own_tokenizer_loads() {
    for model in [STORIES, SENTENCES] {
        let Some(spec) = tokenizer(model).and_then(|tokenizer| with_tokenizer(model, tokenizer)) else { return };
        Worker::load(spec).unwrap_or_else(|error| panic!("{model}: {error}"));
    }
}

#[test]
fn a_model_with_anothers_tokenizer_is_refused() {
    for (model, other) in [(STORIES, SENTENCES), (SENTENCES, STORIES)] {
        let Some(spec) = tokenizer(other).and_then(|tokenizer| with_tokenizer(model, tokenizer)) else { return };
        let message = Worker::load(spec).err().unwrap();
        for part in
            ["the tokenizer.json of test@1.0.0 is not that of its weights", "\"Hello world\"", "convert the weights"]
        {
            assert!(message.contains(part), "{model}: {message}");
        }
    }
}

#[test]
fn two_tokens_that_changed_places_are_noticed() {
    let Some(file) = tokenizer(SENTENCES) else { return };
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let words = json["model"]["vocab"].as_object_mut().unwrap();
    let (one, other) = (words["quick"].clone(), words["brown"].clone());
    words.insert("quick".into(), other);
    words.insert("brown".into(), one);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let message = Worker::load(with_tokenizer(SENTENCES, path).unwrap()).err().unwrap();
    assert!(message.contains("The quick brown fox"), "{message}");
}

#[test]
fn a_tokenizer_that_does_not_read_is_refused() {
    for text in ["", "{}", "[1, 2", "{\"model\": {\"type\": \"BPE\"}}", "\u{0}\u{1}"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, text).unwrap();
        let Some(spec) = with_tokenizer(STORIES, path) else { return };
        let message = Worker::load(spec).err().unwrap();
        assert!(message.contains("the tokenizer of test@1.0.0 cannot be read"), "{text:?}: {message}");
    }
}
