//! The arithmetic: products of numbers of eight bits, summed in 32. One kernel for each vector unit.

#![allow(unsafe_code, reason = "vector units are addressed through intrinsics, matrices through ggml's pointers")]

#[cfg(any(test, not(vnni)))]
mod avx2;
#[cfg(vnni)]
mod vnni;

#[cfg(any(test, not(vnni)))]
pub(super) use avx2::Avx2;
#[cfg(vnni)]
pub(super) use vnni::Vnni;

use std::arch::x86_64::{_mm_cvtph_ps, _mm_cvtsi32_si128, _mm_cvtss_f32};

/// The fastest one that the target has.
#[cfg(vnni)]
pub(super) type Fastest = Vnni;
#[cfg(not(vnni))]
pub(super) type Fastest = Avx2;

/// Numbers of a block.
pub(super) const NUMBERS: usize = 32;
/// Rows that are packed together.
pub(super) const ROWS: usize = 16;

/// Numbers with a common factor, as ggml has them (`block_q8_0`).
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Block {
    /// The factor, a 16-bit float.
    pub(super) scale: u16,
    pub(super) numbers: [i8; NUMBERS],
}

/// Where the products of packed rows and columns go.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The first row's product with the first column; the next row's is beside it.
    pub(super) first: *mut f32,
    /// Numbers from one column's products to the next one's.
    pub(super) stride: usize,
    /// Rows that there are, up to [`ROWS`].
    pub(super) rows: usize,
    /// Columns that there are, up to [`Kernel::COLUMNS`].
    pub(super) columns: usize,
}

/// What a thread keeps from one product to the next.
pub(super) struct Scratch<K: Kernel + ?Sized> {
    /// Rows of weights, packed, strip by strip.
    pub(super) rows: Vec<K::Rows>,
    /// Columns of inputs, packed, panel by panel.
    pub(super) columns: Vec<K::Columns>,
    /// A column that is alone.
    pub(super) single: Vec<K::Single>,
}

impl<K: Kernel> Default for Scratch<K> {
    fn default() -> Self {
        Self { rows: Vec::new(), columns: Vec::new(), single: Vec::new() }
    }
}

/// A way to multiply.
pub(super) trait Kernel {
    /// Columns computed together: as many as there are registers for.
    const COLUMNS: usize;
    /// Fewer columns are computed faster without packing rows for them.
    const FEWEST: usize;
    /// A single column is computed faster than by ggml.
    const SINGLE: bool;
    /// One block of each of [`ROWS`] rows.
    type Rows: Clone;
    /// One block of each of [`Kernel::COLUMNS`] columns.
    type Columns: Clone;
    /// One block of a column that is alone.
    type Single: Clone;
    /// Rows that nothing was packed into.
    const NO_ROWS: Self::Rows;
    /// Columns that nothing was packed into.
    const NO_COLUMNS: Self::Columns;

    /// Packs one block of each row.
    ///
    /// # Safety
    /// Each pointer leads to a block.
    unsafe fn pack_rows(packed: &mut Self::Rows, blocks: [*const Block; ROWS]);

    /// Puts one column's block in its place.
    fn pack_column(packed: &mut Self::Columns, column: usize, block: &Block);

    /// The products of rows and columns, which have as many blocks.
    ///
    /// # Safety
    /// The place has numbers for its rows and columns, which nobody else uses meanwhile.
    unsafe fn multiply(rows: &[Self::Rows], columns: &[Self::Columns], place: Place);

    /// One block of a column that is alone.
    fn pack_single(block: &Block) -> Self::Single;

    /// Whether a column that is alone is computed faster where weights are asked for ahead of their use.
    fn fetches_ahead() -> bool;

    /// The product of one row, not packed, and a column that is alone; they have as many blocks.
    fn multiply_single<const AHEAD: bool>(row: &[Block], column: &[Self::Single]) -> f32;

    /// Runs something with this thread's scratch.
    fn with_scratch<T>(run: impl FnOnce(&mut Scratch<Self>) -> T) -> T;
}

/// A 16-bit float as one of 32 bits.
fn wide(half: u16) -> f32 {
    // SAFETY: the instruction is there, as the build script found.
    unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(half)))) }
}
