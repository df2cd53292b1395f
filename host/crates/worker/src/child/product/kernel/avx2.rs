//! With the vector unit AVX2, which has no instruction for sums of products of eight bits that could not overflow. So
//! numbers are widened to 16 bits when they are packed, two of which are multiplied and added up at a time.

#![allow(clippy::indexing_slicing, reason = "constant indices into arrays of constant lengths")]

use super::{Block, Kernel, NUMBERS, Place, ROWS, Scratch, wide};
use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_fmadd_ps,
    _mm256_load_ps, _mm256_load_si256, _mm256_madd_epi16, _mm256_mul_ps, _mm256_permute2x128_si256, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_store_si256, _mm256_storeu_ps,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};
use std::cell::RefCell;

/// Columns computed together.
const COLUMNS: usize = 4;
/// Sums of 32 bits that a vector holds.
const LANES: usize = 8;
/// Vectors for a number of each row.
const HALVES: usize = ROWS / LANES;
/// Numbers that one instruction multiplies and adds up.
const GROUP: usize = 2;
const GROUPS: usize = NUMBERS / GROUP;

/// Products with AVX2 and FMA.
pub(in super::super) struct Avx2;

/// Every pair of numbers of sixteen rows side by side.
#[derive(Clone)]
#[repr(C, align(64))]
pub(in super::super) struct Rows {
    numbers: [[[i16; LANES * GROUP]; HALVES]; GROUPS],
    scales: [[f32; LANES]; HALVES],
}

/// Every pair of numbers of four columns side by side.
#[derive(Clone)]
#[repr(C, align(64))]
pub(in super::super) struct Columns {
    numbers: [[i32; COLUMNS]; GROUPS],
    scales: [f32; COLUMNS],
}

thread_local! {
    static SCRATCH: RefCell<Scratch<Avx2>> = RefCell::default();
}

impl Kernel for Avx2 {
    const COLUMNS: usize = COLUMNS;
    const FEWEST: usize = 8;
    /// ggml's way is as fast.
    const SINGLE: bool = false;
    type Rows = Rows;
    type Columns = Columns;
    type Single = Block;
    const NO_ROWS: Rows = Rows { numbers: [[[0; LANES * GROUP]; HALVES]; GROUPS], scales: [[0.0; LANES]; HALVES] };
    const NO_COLUMNS: Columns = Columns { numbers: [[0; COLUMNS]; GROUPS], scales: [0.0; COLUMNS] };

    #[inline(always)]
    unsafe fn pack_rows(packed: &mut Rows, blocks: [*const Block; ROWS]) {
        for half in 0..HALVES {
            for part in 0..2 {
                // SAFETY: a block has twice sixteen numbers, an array of `numbers` 32 bytes, aligned.
                unsafe {
                    let widened = std::array::from_fn(|lane| {
                        let numbers = (&raw const (*blocks[half * LANES + lane]).numbers).cast::<i8>();
                        _mm256_cvtepi8_epi16(_mm_loadu_si128(numbers.add(part * NUMBERS / 2).cast()))
                    });
                    for (group, numbers) in transposed(widened).into_iter().enumerate() {
                        let place = packed.numbers[part * GROUPS / 2 + group][half].as_mut_ptr();
                        _mm256_store_si256(place.cast(), numbers);
                    }
                }
            }
            for lane in 0..LANES {
                // SAFETY: as the caller says.
                packed.scales[half][lane] = wide(unsafe { (*blocks[half * LANES + lane]).scale });
            }
        }
    }

    #[inline(always)]
    fn pack_column(packed: &mut Columns, column: usize, block: &Block) {
        let (groups, _) = block.numbers.as_chunks::<GROUP>();
        for (place, [first, second]) in packed.numbers.iter_mut().zip(groups) {
            let [a, b] = i16::from(*first).to_ne_bytes();
            let [c, d] = i16::from(*second).to_ne_bytes();
            place[column] = i32::from_ne_bytes([a, b, c, d]);
        }
        packed.scales[column] = wide(block.scale);
    }

    unsafe fn multiply(rows: &[Rows], columns: &[Columns], place: Place) {
        // SAFETY: as the caller says.
        unsafe {
            match place.columns {
                1 => multiply::<1>(rows, columns, place),
                2 => multiply::<2>(rows, columns, place),
                3 => multiply::<3>(rows, columns, place),
                _ => multiply::<COLUMNS>(rows, columns, place),
            }
        }
    }

    fn pack_single(block: &Block) -> Block {
        *block
    }

    fn fetches_ahead() -> bool {
        false
    }

    fn multiply_single<const AHEAD: bool>(row: &[Block], column: &[Block]) -> f32 {
        let product = |(weights, inputs): (&Block, &Block)| {
            let pairs = weights.numbers.iter().zip(&inputs.numbers);
            let sum: i32 = pairs.map(|(weight, input)| i32::from(*weight) * i32::from(*input)).sum();
            sum as f32 * wide(weights.scale) * wide(inputs.scale)
        };
        row.iter().zip(column).map(product).sum()
    }

    fn with_scratch<T>(run: impl FnOnce(&mut Scratch<Self>) -> T) -> T {
        SCRATCH.with_borrow_mut(run)
    }
}

/// Transposes eight by eight numbers of 32 bits.
///
/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn transposed(rows: [__m256i; LANES]) -> [__m256i; LANES] {
    // SAFETY: as the caller says.
    unsafe {
        let quarters = |[a, b, c, d]: [__m256i; 4]| {
            let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (other_low, other_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(low, other_low),
                _mm256_unpackhi_epi64(low, other_low),
                _mm256_unpacklo_epi64(high, other_high),
                _mm256_unpackhi_epi64(high, other_high),
            ]
        };
        let [a, b, c, d, e, f, g, h] = rows;
        let (upper, lower) = (quarters([a, b, c, d]), quarters([e, f, g, h]));
        std::array::from_fn(|column| {
            let (upper, lower) = (upper[column % 4], lower[column % 4]);
            if column < 4 {
                _mm256_permute2x128_si256::<0x20>(upper, lower)
            } else {
                _mm256_permute2x128_si256::<0x31>(upper, lower)
            }
        })
    }
}

/// The products with so many columns.
///
/// # Safety
/// As of [`Kernel::multiply`].
#[inline(always)]
unsafe fn multiply<const N: usize>(rows: &[Rows], columns: &[Columns], place: Place) {
    // SAFETY: packed blocks are aligned; the place is as the caller says, and rows that are not there are left out.
    unsafe {
        let mut all: [[__m256; HALVES]; N] = [[_mm256_setzero_ps(); HALVES]; N];
        for (rows, columns) in rows.iter().zip(columns) {
            let mut sums: [[__m256i; HALVES]; N] = [[_mm256_setzero_si256(); HALVES]; N];
            for (weights, inputs) in rows.numbers.iter().zip(&columns.numbers) {
                let weights: [__m256i; HALVES] =
                    std::array::from_fn(|half| _mm256_load_si256(weights[half].as_ptr().cast()));
                for (sums, input) in sums.iter_mut().zip(inputs) {
                    let input = _mm256_set1_epi32(*input);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(weights, input));
                    }
                }
            }
            for ((all, sums), scale) in all.iter_mut().zip(sums).zip(columns.scales) {
                let scale = _mm256_set1_ps(scale);
                for ((all, sum), scales) in all.iter_mut().zip(sums).zip(&rows.scales) {
                    let scale = _mm256_mul_ps(_mm256_load_ps(scales.as_ptr()), scale);
                    *all = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, *all);
                }
            }
        }
        for (column, products) in all.into_iter().enumerate() {
            let mut numbers = [0.0; ROWS];
            for (half, products) in products.into_iter().enumerate() {
                _mm256_storeu_ps(numbers.as_mut_ptr().add(half * LANES), products);
            }
            let first = place.first.add(column * place.stride);
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), first, place.rows.min(ROWS));
        }
    }
}
