//! Fuzz target of the preflight: sound files, changed field by field and byte by byte.
//!
//! Whatever the file: the preflight comes to an end without a panic, asks for no more memory than the file's size
//! permits, answers the same however the bytes are delivered, refuses in one short line, and accepts only what a
//! second reading of the format agrees with. `support/hostile.rs` says how to run more cases, and others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::gguf::{GgufError, GgufSummary, preflight_adapter, preflight_reader};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};
use support::hostile::{Slow, holds};
use support::memory::{self, Watching};
use support::pieces::Change::{self, *};
use support::pieces::Part::*;
use support::pieces::{Pieces, changes};
use support::starts::Starts;

#[global_allocator]
static WATCHING: Watching = Watching;

/// Memory for one byte of the file: the tables of keys, tensors and tokens take some ten times what describes them.
const PER_BYTE: usize = 16;
/// An error's text, and what tables take that are all but empty.
const BESIDES: usize = 8 << 10;
const LONGEST_MESSAGE: usize = 1000;

/// Cases that once failed, as they were printed.
const KEPT: &[(&str, &[Change])] = &[
    // A control character of a key reached the message.
    ("llama", &[Field { part: Keys, piece: 15, field: 3, value: 1, add: true }]),
    // A message was as long as the name of the architecture.
    ("llama", &[Grow { part: Keys, piece: 0, text: 1, by: 6000, with: 'x' }]),
    // Of several faults another one was reported each time.
    ("scaled", &[All { kind: 6, value: 4_294_967_295 }]),
    ("scaled", &[All { kind: 4, value: 4_294_967_295 }]),
];

/// What the preflight says, as text, so that two verdicts can be compared.
fn verdict(result: &Result<GgufSummary, GgufError>) -> String {
    match result {
        Ok(summary) => format!("{summary:?}"),
        Err(error) => error.to_string(),
    }
}

/// Of a file that is there to its end: whatever is wrong with it is said before it is read in vain.
fn is_a_sound_refusal(error: &GgufError) {
    assert!(!matches!(error, GgufError::Io { .. }), "{error}");
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= LONGEST_MESSAGE, "a message of {} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "a control character in {text:?}");
}

fn asks_for_no_more_than_its_size_permits<T>(size: usize, besides: usize, work: impl FnOnce() -> T) -> T {
    let (result, asked) = memory::during(work);
    let allowed = PER_BYTE * size + besides;
    assert!(asked.peak <= allowed, "{asked:?} for a file of {size} bytes");
    result
}

fn survives(bytes: &[u8]) -> Result<GgufSummary, GgufError> {
    let len = bytes.len() as u64;
    let result = asks_for_no_more_than_its_size_permits(bytes.len(), BESIDES, || preflight_reader(bytes, len));
    let whole = verdict(&result);
    // Long files are not read byte by byte: that tells nothing more.
    let most = if bytes.len() < 1 << 16 { 1 } else { 4097 };
    let slow = verdict(&preflight_reader(Slow::new(bytes, most), len));
    assert_eq!(whole, slow, "another verdict when delivered in small parts");
    let shrunk = preflight_reader(Slow::new(&bytes[..bytes.len() / 2], 4097), len);
    assert!(
        matches!(shrunk, Err(GgufError::Io { .. })) || verdict(&shrunk) == whole,
        "half of the file is there, and {shrunk:?}"
    );
    match &result {
        Ok(summary) => agrees(bytes, summary),
        Err(error) => is_a_sound_refusal(error),
    }
    result
}

/// Numbers in a block and its bytes, for the types that the starting files have.
fn block(kind: u64) -> Option<(u64, u64)> {
    BTreeMap::from([(0, (1, 4)), (1, (1, 2)), (2, (32, 18)), (8, (32, 34)), (30, (1, 2))]).get(&kind).copied()
}

/// Holds a summary against a second reading of the file.
fn agrees(bytes: &[u8], summary: &GgufSummary) {
    let pieces = Pieces::of(bytes).expect("what was accepted can be taken apart");
    let number = |key: &str| pieces.key(&format!("{}.{key}", summary.architecture)).map(|key| key.value() as u32);
    assert!(pieces.key("general.architecture").unwrap().bytes.ends_with(summary.architecture.as_bytes()));
    assert_eq!(number("block_count"), Some(summary.block_count));
    assert_eq!(number("embedding_length"), Some(summary.embedding_length));
    assert_eq!(number("context_length"), Some(summary.context_length));
    let tokens = pieces.key("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens.elements(), Some(summary.vocabulary.into()));
    let shared = summary.head_count.checked_rem(summary.head_count_kv);
    assert_eq!(shared.unwrap_or(0), 0, "heads that do not divide");
    let cells = u64::from(summary.head_count_kv) * u64::from(summary.key_length + summary.value_length);
    assert!(summary.kv_bytes_per_token() >= cells * 2);
    let data = Data::of(&pieces);
    assert_eq!(summary.parameters, data.parameters);
    assert!(pieces.data_start as u64 + summary.weight_bytes <= bytes.len() as u64, "more weights than bytes");
    if data.sizes_are_known {
        assert_eq!(summary.weight_bytes, data.bytes);
        let shorter = &bytes[..pieces.data_start + data.end as usize - 1];
        assert!(preflight_reader(shorter, shorter.len() as u64).is_err(), "the last weight is missing");
    }
}

/// What the descriptions of tensors say together.
struct Data {
    parameters: u64,
    bytes: u64,
    /// Where the last tensor ends.
    end: u64,
    sizes_are_known: bool,
}

impl Data {
    /// Fails where tensors overlap, share a name, or are not all in the file.
    fn of(pieces: &Pieces) -> Self {
        let mut names = BTreeSet::new();
        let mut all = Self { parameters: 0, bytes: 0, end: 0, sizes_are_known: true };
        for tensor in &pieces.tensors {
            assert!(names.insert(&tensor.name), "two tensors of one name");
            let (dims, kind, offset) = tensor.tensor();
            assert!(offset >= all.end, "an overlap");
            let elements = dims.iter().try_fold(1_u64, |product, dim| product.checked_mul(*dim));
            let elements = elements.expect("a shape that does not overflow");
            let size = block(kind).map(|(numbers, bytes)| elements / numbers * bytes);
            all.sizes_are_known &= size.is_some();
            all.parameters += elements;
            all.bytes += size.unwrap_or(1);
            all.end = offset + size.unwrap_or(1);
            assert!(all.end <= pieces.data.len() as u64, "a tensor outside the file");
        }
        all
    }
}

#[test]
fn what_every_starting_file_is_taken_apart_into_makes_it_again() {
    let starts = Starts::new();
    for name in starts.names() {
        let bytes = starts.of(name).changed(&[], |name| starts.of(name));
        assert_eq!(survives(&bytes).is_ok(), name != "adapter", "{name}: {:?}", survives(&bytes));
    }
}

#[test]
fn cases_that_once_failed_hold() {
    let starts = Starts::new();
    for (name, changes) in KEPT {
        drop(survives(&starts.of(name).changed(changes, |name| starts.of(name))));
    }
}

#[test]
fn changed_files_are_judged_soundly() {
    let starts = Starts::new();
    let seen = RefCell::new(BTreeMap::<String, u32>::new());
    let case = (prop::sample::select(starts.names()), changes(starts.names()));
    holds(20_000, &case, |(name, changes)| {
        let kind = match survives(&starts.of(name).changed(changes, |name| starts.of(name))) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => format!("{error:?}").split([' ', '{']).next().unwrap().to_owned(),
        };
        *seen.borrow_mut().entry(kind).or_default() += 1;
    });
    let seen = seen.into_inner();
    println!("{seen:?}");
    // Else the changes would no longer reach what they are for; few cases say nothing of that.
    let cases: u32 = seen.values().sum();
    assert!(cases < 10_000 || (seen.len() >= 16 && seen["accepted"] > cases / 20), "{seen:?}");
}

#[test]
fn changed_adapters_are_judged_soundly() {
    let starts = Starts::new();
    let file = RefCell::new(tempfile::tempfile().unwrap());
    holds(2_000, &changes(vec!["adapter", "llama"]), |changes| {
        let bytes = starts.of("adapter").changed(changes, |name| starts.of(name));
        let mut file = file.borrow_mut();
        file.rewind().unwrap();
        file.set_len(0).unwrap();
        file.write_all(&bytes).unwrap();
        // A file is read through a buffer of 1 MiB.
        let besides = BESIDES + (1 << 20);
        match asks_for_no_more_than_its_size_permits(bytes.len(), besides, || preflight_adapter(&file)) {
            Ok(summary) => {
                let pieces = Pieces::of(&bytes).unwrap();
                assert!(summary.alpha.is_finite());
                assert!((1..=pieces.tensors.len()).contains(&(2 * summary.pairs as usize)), "{summary:?}");
                let data = Data::of(&pieces);
                assert!(!data.sizes_are_known || summary.weight_bytes == data.bytes, "{summary:?}");
            }
            Err(error) => is_a_sound_refusal(&error),
        }
    });
}

#[test]
fn changed_models_of_other_makers_are_judged_soundly() {
    let Some(folder) = support::shared_models() else { return };
    // Larger ones would only take longer.
    let files: BTreeMap<String, Pieces> = support::gguf_files(&folder)
        .into_iter()
        .chain(support::gguf_files(&folder.join("hostile")))
        .filter(|path| path.metadata().unwrap().len() < 1 << 20)
        .filter_map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            Some((name, Pieces::of(&std::fs::read(path).unwrap())?))
        })
        .collect();
    assert!(files.len() >= 4, "{:?}", files.keys());
    let starts = Starts::new();
    let names: Vec<_> = files.keys().cloned().collect();
    holds(600, &(prop::sample::select(names), changes(starts.names())), |(name, changes)| {
        drop(survives(&files[name].changed(changes, |name| starts.of(name))));
    });
}
