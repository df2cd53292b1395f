//! Real models must pass the preflight, hostile ones must be refused, each with a reason of its own.
//!
//! The files lie beside the repository, in `../shared/models`; without them these tests say so and pass, unless
//! `BOBBIN_REQUIRE_SHARED=1` declares them required.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::gguf::{self, GgufError};
use bobbin_bundle::{Pace, Repository, verify_in_place};
use std::collections::BTreeSet;
use std::path::Path;
use support::{gguf_files, shared_models};

#[test]
fn real_models_pass() {
    let Some(folder) = shared_models() else { return };
    for path in gguf_files(&folder) {
        let summary = gguf::preflight(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(summary.parameters > 100_000, "{summary:?}");
    }
}

#[test]
fn the_summary_of_stories_is_what_its_authors_say() {
    let Some(folder) = shared_models() else { return };
    let summary = gguf::preflight(&folder.join("stories260K-f16.gguf")).unwrap();
    assert_eq!(summary.architecture, "llama");
    assert_eq!((summary.block_count, summary.embedding_length, summary.context_length), (5, 64, 512));
    assert_eq!((summary.head_count, summary.head_count_kv, summary.key_length), (8, 4, 8));
    assert_eq!((summary.vocabulary, summary.tokenizer.as_str()), (512, "llama"));
    // 5 layers of 4 heads, 8 numbers of 2 bytes, for keys and for values.
    assert_eq!(summary.kv_bytes_per_token(), 5 * 4 * 8 * 2 * 2);
    assert!(!summary.encoder_only);
    assert!(gguf::preflight(&folder.join("all-MiniLM-L6-v2-q8_0.gguf")).unwrap().encoder_only);
}

#[test]
fn weights_say_where_they_come_from() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models");
    let about = gguf::preflight(&models.join("storyteller/1.0.0/storyteller-q8_0.gguf")).unwrap().about;
    assert_eq!((about.licence.as_deref(), about.languages.as_slice()), (Some("Apache-2.0"), &["en".to_owned()][..]));
    assert!(about.description.is_some_and(|text| text.contains("little stories")));
    assert_eq!((about.pooling, about.base_models.len()), (None, 0));
    let about = gguf::preflight(&models.join("sentence/1.0.0/sentence-q8_0.gguf")).unwrap().about;
    assert_eq!(about.pooling, Some(1), "it takes the mean");
}

#[test]
fn hostile_models_are_refused_each_for_its_own_reason() {
    let Some(folder) = shared_models() else { return };
    let mut reasons = BTreeSet::new();
    for path in gguf_files(&folder.join("hostile")) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let error = gguf::preflight(&path).expect_err(&name);
        println!("{name}: {error}");
        let as_expected = match name.as_str() {
            "bad_magic" => matches!(error, GgufError::Magic { .. }),
            "dup_token" => matches!(&error, GgufError::Token { problem, .. } if problem.contains("duplicate")),
            "layers_huge" => matches!(&error, GgufError::OutOfRange { key, .. } if key == "llama.block_count"),
            "tensor_out_of_file" => matches!(error, GgufError::TensorOutOfFile { .. }),
            "tiny_nobos" => matches!(&error, GgufError::OutOfRange { key, .. } if key.contains("bos_token_id")),
            _ => true,
        };
        assert!(as_expected, "{name}: {error}");
        assert!(reasons.insert(error.to_string()), "{name} shares its reason: {error}");
    }
}

#[test]
fn a_hostile_model_passes_once_its_one_fault_is_mended() {
    let Some(folder) = shared_models() else { return };
    let mut bytes = std::fs::read(folder.join("hostile/tiny_nobos.gguf")).unwrap();
    let key = b"tokenizer.ggml.bos_token_id";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&4_u32.to_le_bytes());
    gguf::preflight_reader(bytes.as_slice(), bytes.len() as u64).unwrap();
}

#[test]
fn the_projects_own_bundles_verify() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models");
    for listed in Repository::open(&repository).unwrap().list().unwrap() {
        let bundle = listed.bundle.unwrap();
        let report = verify_in_place(bundle.folder(), &mut Pace::full()).unwrap();
        let errors: Vec<_> = report.errors().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", bundle.id());
    }
}
