//! What can be wrong with a GGUF file: every variant names the key or tensor, what was found and what is allowed.

use std::fmt::{self, Display, Formatter, Write};
use std::io;

/// The most bytes of a key, a name or a value in a message.
const MOST_SHOWN: usize = 120;

/// Why a GGUF file is refused before llama.cpp sees it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file could not be read.
    #[error("the GGUF file cannot be read: {source}")]
    Io {
        /// The cause.
        #[from]
        source: io::Error,
    },
    /// The first four bytes are not `GGUF`.
    #[error("the file begins with \"{found}\", not with \"GGUF\"; it is no GGUF file")]
    Magic {
        /// The first bytes, escaped.
        found: String,
    },
    /// A version this reader does not know.
    #[error("GGUF version {found} is not supported; versions 2 and 3 (little-endian) are")]
    Version {
        /// The version field.
        found: u32,
    },
    /// The file ends before what it declares.
    #[error(
        "the file ends inside {}: {needed} bytes are needed at offset {offset}, {available} are left; \
         it is truncated or its lengths are wrong",
        Shown(.what)
    )]
    Truncated {
        /// What was being read.
        what: String,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// A count or length is above what any honest file has.
    #[error("{} is {found}; at most {limit} is allowed", Shown(.what))]
    TooLarge {
        /// The count or length.
        what: String,
        /// Its value.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// A metadata key is empty, repeated or unreadable.
    #[error("metadata key {index} (\"{}\") {problem}", Shown(.key))]
    Key {
        /// Its position in the file, from 0.
        index: u64,
        /// The key, as far as it can be read.
        key: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A value's type number, or a byte or string of it, is not valid GGUF.
    #[error("metadata key \"{}\" {problem}", Shown(.key))]
    Value {
        /// The key.
        key: String,
        /// What is wrong, with what is allowed.
        problem: String,
    },
    /// A key that the model needs is absent.
    #[error("metadata key \"{}\" is missing; {why}", Shown(.key))]
    MissingKey {
        /// The key.
        key: String,
        /// What needs it.
        why: &'static str,
    },
    /// A key has another type than llama.cpp reads.
    #[error("metadata key \"{}\" is of type {found}; {expected} is expected", Shown(.key))]
    WrongType {
        /// The key.
        key: String,
        /// Its type.
        found: String,
        /// The type that is read.
        expected: &'static str,
    },
    /// A key's value is impossible.
    #[error("metadata key \"{}\" is {}; {allowed}", Shown(.key), Shown(.found))]
    OutOfRange {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What is allowed, as a sentence's end.
        allowed: String,
    },
    /// llama.cpp has no such architecture.
    #[error(
        "architecture \"{}\" is unknown to this version of llama.cpp; convert the model for one that it has",
        Shown(.found)
    )]
    UnknownArchitecture {
        /// `general.architecture`.
        found: String,
    },
    /// llama.cpp has it, but it answers no prompt by itself.
    #[error("architecture \"{found}\" cannot be served: it {why}")]
    UnsupportedArchitecture {
        /// `general.architecture`.
        found: String,
        /// Why not.
        why: &'static str,
    },
    /// A tensor's description is impossible.
    #[error("tensor \"{}\" {problem}", Shown(.tensor))]
    Tensor {
        /// Its name, as far as it can be read.
        tensor: String,
        /// What is wrong, with what is allowed.
        problem: String,
    },
    /// Two tensors share bytes.
    #[error(
        "tensor \"{}\" overlaps tensor \"{}\": it begins at {offset}, the other ends at {end}",
        Shown(.tensor),
        Shown(.other)
    )]
    TensorOverlap {
        /// The later one.
        tensor: String,
        /// The earlier one.
        other: String,
        /// Where the later begins, in the data section.
        offset: u64,
        /// Where the earlier ends, padding included.
        end: u64,
    },
    /// A tensor's bytes are not all in the file.
    #[error("tensor \"{}\" ends at byte {end}; the file has {file} bytes", Shown(.tensor))]
    TensorOutOfFile {
        /// Its name.
        tensor: String,
        /// Its end, from the start of the file.
        end: u64,
        /// The file's size.
        file: u64,
    },
    /// A tensor that the architecture needs is absent.
    #[error("tensor \"{}\" is missing; architecture \"{architecture}\" needs it", Shown(.tensor))]
    MissingTensor {
        /// Its name.
        tensor: String,
        /// `general.architecture`.
        architecture: String,
    },
    /// A tensor has another shape than the metadata says.
    #[error("tensor \"{}\" has shape {found}; the metadata makes it {expected}", Shown(.tensor))]
    Shape {
        /// Its name.
        tensor: String,
        /// Its dimensions.
        found: String,
        /// The dimensions it must have.
        expected: String,
    },
    /// A weight is NaN or infinite.
    #[error(
        "tensor \"{}\" holds a value that is not finite, in block {block}; the weights are damaged",
        Shown(.tensor)
    )]
    NotFinite {
        /// Its name.
        tensor: String,
        /// Which block of the tensor's type, from 0.
        block: u64,
    },
    /// A vocabulary entry is empty, repeated, too long or unusable.
    #[error("token {id} ({token:?}) {problem}")]
    Token {
        /// Its id.
        id: usize,
        /// Its text, shortened.
        token: String,
        /// What is wrong.
        problem: String,
    },
    /// The tokenizer needs something that the vocabulary does not have.
    #[error("the \"{tokenizer}\" vocabulary has no {what}; {why}")]
    Vocabulary {
        /// `tokenizer.ggml.model`.
        tokenizer: String,
        /// What is missing.
        what: String,
        /// What would happen without it.
        why: &'static str,
    },
    /// A merge rule is no pair of known tokens.
    #[error("merge {index} ({merge:?}) {problem}")]
    Merge {
        /// Its position, from 0.
        index: usize,
        /// The rule, shortened.
        merge: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What a file says, in a message: it may be as long as the file, and may hold what a terminal obeys.
struct Shown<'a>(&'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut left = MOST_SHOWN;
        for character in self.0.chars() {
            let quote = matches!(character, '"' | '\'' | '\\');
            let size = if quote { 1 } else { character.escape_debug().map(char::len_utf8).sum() };
            let Some(rest) = left.checked_sub(size) else { return f.write_char('…') };
            left = rest;
            if quote { f.write_char(character)? } else { write!(f, "{}", character.escape_debug())? }
        }
        Ok(())
    }
}
