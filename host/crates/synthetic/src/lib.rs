//! Model files with the shapes of real models and weights that say nothing.
//!
//! How fast a model computes depends on its shapes and its quantisation, not on its values. So a benchmark need not
//! download anything: it writes a file that every llama.cpp loads and computes as it would compute the real one. What
//! such a model answers is noise, and its words are not those of the real one: its vocabulary has the real size, made of
//! single bytes and of words that nobody says.

mod header;
mod noise;
mod quant;
mod shape;
mod state_space;

pub use quant::{Quant, UnknownQuant};
pub use shape::{Architecture, SHAPES, Shape, UnknownShape};
pub use state_space::StateSpace;

use header::Tensor;
use noise::Noise;
use std::io::{self, Write};

/// A tensor begins at a multiple of this, in bytes.
const ALIGNMENT: u64 = 32;

/// Why a file cannot be written.
#[derive(Debug)]
pub enum Error {
    /// The rows of some tensor cannot be quantised so.
    Rows {
        /// The tensor.
        tensor: String,
        /// Numbers in one of its rows.
        row: u64,
        /// The quantisation.
        quant: Quant,
    },
    /// The operating system refused.
    Io(io::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rows { tensor, row, quant } => write!(
                f,
                "the rows of {tensor} have {row} numbers, and {quant} takes {} at a time; choose another quantisation",
                quant.block()
            ),
            Self::Io(error) => write!(f, "{error}; check the disk's space"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rows { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes a GGUF file of a shape, its matrices quantised, and returns its size in bytes. Other seeds give other weights
/// of the same shape.
///
/// # Errors
/// [`Error`], when the shape cannot be quantised so, or the file cannot be written.
pub fn write(out: &mut impl Write, shape: &Shape, quant: Quant, seed: u64) -> Result<u64, Error> {
    let tensors = header::tensors(shape);
    if let Some(tensor) = tensors.iter().find(|tensor| !tensor.fits(quant)) {
        return Err(Error::Rows { tensor: tensor.name.clone(), row: tensor.row(), quant });
    }
    Ok(write_all(out, header::of(shape, &tensors, quant), &tensors, quant, seed)?)
}

/// Writes a GGUF file of a small model whose layers keep a state of what they have seen, its matrices in `Q8_0`, and
/// returns its size in bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn write_state_space(out: &mut impl Write, kind: StateSpace, seed: u64) -> io::Result<u64> {
    let tensors = state_space::tensors(kind);
    write_all(out, header::head(state_space::keys(kind), &tensors, Quant::Q8_0), &tensors, Quant::Q8_0, seed)
}

fn write_all(out: &mut impl Write, mut head: Vec<u8>, tensors: &[Tensor], quant: Quant, seed: u64) -> io::Result<u64> {
    pad(&mut head);
    out.write_all(&head)?;
    let noise = Noise::new(quant, seed);
    let mut written = head.len() as u64;
    for tensor in tensors {
        written += body(out, tensor, quant, &noise)?;
    }
    out.flush()?;
    Ok(written)
}

/// Tokens that stand before the pieces of [`write_words`]: unknown, beginning, end, and one for each byte.
pub const BEFORE_PIECES: usize = header::BEFORE_PIECES as usize;

/// Writes a GGUF file that has a vocabulary of these pieces and no weights, and returns its size in bytes. No two pieces may
/// be alike, and none what a token before them is called (`<s>`, `<0x20>`).
///
/// # Errors
/// When the file cannot be written.
pub fn write_words(out: &mut impl Write, name: &str, pieces: &[String]) -> io::Result<u64> {
    let mut head = header::of_words(name, pieces);
    pad(&mut head);
    out.write_all(&head)?;
    out.flush()?;
    Ok(head.len() as u64)
}

/// Writes the numbers of one tensor, up to where the next one begins.
fn body(out: &mut impl Write, tensor: &Tensor, quant: Quant, noise: &Noise) -> io::Result<u64> {
    let bytes = tensor.bytes(quant);
    let source = noise.of(tensor.content);
    // Whole blocks, which are at most as long as these.
    let from = tensor.skip * quant.block_bytes() as usize % source.len().max(1);
    let mut rest = source.get(from..).unwrap_or(source);
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).map_or(rest, |left| rest.get(..left).unwrap_or(rest));
        out.write_all(part)?;
        left -= part.len() as u64;
        rest = source;
    }
    let gap = bytes.next_multiple_of(ALIGNMENT) - bytes;
    io::copy(&mut io::Read::take(io::repeat(0), gap), out)?;
    Ok(bytes + gap)
}

fn pad(head: &mut Vec<u8>) {
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
}
