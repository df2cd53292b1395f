//! What both fuzz targets share: how a case runs, damage to bytes, and a reader that delivers them badly.
//!
//! The cases are the same in every run. For more of them, or others, there are proptest's own variables:
//!
//!     PROPTEST_CASES=1000000 PROPTEST_RNG_SEED=7 cargo test --release -p bobbin-bundle --test gguf_fuzz changed_files
//!
//! The release profile does not check arithmetic for overflow; without `--release` it is checked, and all is some
//! twenty times slower. `PROPTEST_VERBOSE=2` prints each case before it runs, for a failure that ends the process.

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestError, TestRunner, contextualize_config};
use std::io::{self, Read};

/// Runs a property on so many cases. One that fails is made as small as it can be and printed as Rust, to be kept.
pub(crate) fn holds<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(&S::Value)) {
    let defaults = ProptestConfig::default();
    let seed = RngSeed::Fixed(1);
    let config = contextualize_config(ProptestConfig { cases, rng_seed: seed, failure_persistence: None, ..defaults });
    let result = TestRunner::new(config).run(strategy, |case| {
        property(&case);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\nkeep this case: {case:?}"),
        Err(TestError::Abort(reason)) => panic!("no case could be made: {reason}"),
    }
}

/// Numbers beside which bounds tend to lie.
const BOUNDARIES: [u64; 26] = [
    0,
    1,
    2,
    3,
    4,
    31,
    32,
    33,
    63,
    64,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    1 << 20,
    1 << 24,
    i32::MAX as u64,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 31,
    u64::MAX,
];

pub(crate) fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![4 => prop::sample::select(&BOUNDARIES[..]), 2 => 0_u64..64, 1 => any::<u64>()]
}

/// Near the beginning, where most of what is not data lies, or anywhere.
pub(crate) fn places() -> impl Strategy<Value = usize> {
    prop_oneof![2 => 0_usize..64, 2 => 0_usize..4096, 1 => 0_usize..1 << 20]
}

/// Damage that knows nothing of what the bytes mean. Places are taken modulo their number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Damage {
    Flip {
        at: usize,
        bit: u8,
    },
    /// All from here on is lost.
    Cut {
        at: usize,
    },
    Remove {
        at: usize,
        len: usize,
    },
    /// A span a second time, behind itself.
    Repeat {
        at: usize,
        len: usize,
    },
    /// Two spans change places.
    Swap {
        one: usize,
        other: usize,
        len: usize,
    },
    /// From here on the bytes of another input.
    Splice {
        at: usize,
        from: usize,
    },
    Append {
        byte: u8,
    },
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let len = || prop_oneof![1_usize..16, 1_usize..512];
    prop_oneof![
        4 => (places(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        1 => places().prop_map(|at| Damage::Cut { at }),
        1 => (places(), len()).prop_map(|(at, len)| Damage::Remove { at, len }),
        1 => (places(), len()).prop_map(|(at, len)| Damage::Repeat { at, len }),
        1 => (places(), places(), len()).prop_map(|(one, other, len)| Damage::Swap { one, other, len }),
        1 => (places(), places()).prop_map(|(at, from)| Damage::Splice { at, from }),
        1 => any::<u8>().prop_map(|byte| Damage::Append { byte }),
    ]
}

impl Damage {
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>, other: &[u8]) {
        if let Self::Append { byte } = self {
            bytes.push(*byte);
        }
        if bytes.is_empty() {
            return;
        }
        let size = bytes.len();
        let span = |at: usize, len: usize| at % size..size.min(at % size + len);
        match *self {
            Self::Flip { at, bit } => bytes[at % size] ^= 1 << bit,
            Self::Cut { at } => bytes.truncate(at % size),
            Self::Remove { at, len } => drop(bytes.drain(span(at, len))),
            Self::Repeat { at, len } => {
                let again = bytes[span(at, len)].to_vec();
                let end = span(at, len).end;
                bytes.splice(end..end, again);
            }
            Self::Swap { one, other, len } => {
                let (first, second) = (one.min(other) % size, one.max(other) % size);
                for step in 0..len.min(size - first.max(second)) {
                    bytes.swap(first + step, second + step);
                }
            }
            Self::Splice { at, from } => {
                bytes.truncate(at % size);
                bytes.extend(other.iter().skip(from % other.len().max(1)));
            }
            Self::Append { .. } => {}
        }
    }
}

/// Delivers a few bytes at a time, and is interrupted before each delivery.
pub(crate) struct Slow<'a> {
    rest: &'a [u8],
    most: usize,
    interrupted: bool,
    reads_after_the_end: u32,
}

impl<'a> Slow<'a> {
    pub(crate) fn new(bytes: &'a [u8], most: usize) -> Self {
        Self { rest: bytes, most, interrupted: false, reads_after_the_end: 0 }
    }
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.rest.is_empty() && !buffer.is_empty() {
            self.reads_after_the_end += 1;
            // Who goes on reading would go on for ever.
            assert!(self.reads_after_the_end < 64, "read again and again after the end");
        }
        let count = self.rest.len().min(buffer.len()).min(self.most);
        let (now, later) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = later;
        Ok(count)
    }
}
