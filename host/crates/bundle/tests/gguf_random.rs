//! Files broken at random: the preflight answers, never panics, and never asks for more memory than it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::gguf::{GgufError, GgufSummary, preflight_reader};
use proptest::prelude::*;
use support::gguf::Gguf;
use support::memory::{self, Watching};

fn check_bytes(bytes: &[u8]) -> Result<GgufSummary, GgufError> {
    preflight_reader(bytes, bytes.len() as u64)
}

fn llama() -> Gguf {
    Gguf::llama()
}

#[test]
fn every_truncation_is_refused() {
    let bytes = llama().build();
    for len in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
        assert!(check_bytes(&bytes[..len]).is_err(), "{len} of {} bytes passed", bytes.len());
    }
}

#[test]
fn a_file_shorter_than_it_says_is_an_error_and_no_wait() {
    let bytes = llama().build();
    let error = preflight_reader(&bytes[..bytes.len() - 10], bytes.len() as u64).unwrap_err();
    assert!(matches!(error, GgufError::Io { .. }), "{error}");
}

#[global_allocator]
static WATCHING: Watching = Watching;

/// A chunk of the data section, or a few times the file.
const ALLOWED: usize = 2 << 20;

fn survives(bytes: &[u8]) {
    let largest = memory::during(|| drop(check_bytes(bytes))).1.largest;
    assert!(largest <= ALLOWED, "{largest} bytes asked for at once by a file of {}", bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bits_never_panic_nor_allocate_without_bound(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..8),
        sentence_piece: bool,
    ) {
        let mut bytes = if sentence_piece { Gguf::sentence_piece() } else { llama() }.build();
        // Most bits are weights; the interesting ones are before them.
        let header = bytes.len() / 4;
        for (at, bit) in flips {
            bytes[at.index(header)] ^= 1 << bit;
        }
        survives(&bytes);
    }

    #[test]
    fn overwritten_numbers_never_panic_nor_allocate_without_bound(
        at: prop::sample::Index,
        number: u64,
        narrow: bool,
    ) {
        let mut bytes = llama().build();
        let place = at.index(2000);
        let width = if narrow { 4 } else { 8 };
        bytes[place..place + width].copy_from_slice(&number.to_le_bytes()[..width]);
        survives(&bytes);
    }

    #[test]
    fn truncation_never_panics_and_never_passes(len: prop::sample::Index) {
        let bytes = Gguf::sentence_piece().build();
        prop_assert!(check_bytes(&bytes[..len.index(bytes.len())]).is_err());
    }

    #[test]
    fn noise_is_never_a_model(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), with_magic: bool) {
        if with_magic && bytes.len() > 8 {
            bytes[..8].copy_from_slice(b"GGUF\x03\0\0\0");
        }
        prop_assert!(check_bytes(&bytes).is_err());
    }
}
