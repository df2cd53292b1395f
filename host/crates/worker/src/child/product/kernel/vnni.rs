//! With the vector unit AVX-512 VNNI, whose instruction multiplies numbers without a sign by numbers with one. So 128 is
//! added to each weight when rows are packed, and 128 times the sum of the inputs is taken away again.

#![allow(clippy::indexing_slicing, reason = "constant indices into arrays of constant lengths")]

use super::{Block, Kernel, NUMBERS, Place, ROWS, Scratch, wide};
use std::arch::x86_64::{
    __cpuid, __m512, __m512i, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps, _mm_movehl_ps,
    _mm_prefetch, _mm_set1_epi16, _mm256_castps256_ps128, _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_dpbusd_epi32,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_load_si256, _mm256_loadu_si256, _mm256_mul_ps, _mm256_set1_epi8,
    _mm256_set1_ps, _mm256_setzero_ps, _mm256_xor_si256, _mm512_castsi256_si512, _mm512_cvtepi32_ps, _mm512_cvtph_ps,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_inserti64x4, _mm512_load_ps, _mm512_load_si512, _mm512_mask_storeu_ps,
    _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_i32x4,
    _mm512_store_ps, _mm512_store_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use std::cell::RefCell;
use std::sync::LazyLock;

/// Columns computed together: as many as keep the vector unit busy and leave registers for the weights.
const COLUMNS: usize = 8;
/// Numbers that one instruction multiplies and adds up.
const GROUP: usize = 4;
const GROUPS: usize = NUMBERS / GROUP;
/// Bytes of weights that are asked for ahead of their use: what the processor fetches by itself ends with a page.
const PAGE: usize = 4096;
/// The family of processors that a page ahead made faster where one sequence answered (EPYC, 2 cores: 1.14 of llama.cpp's
/// rate; 0.92 by ggml's way). The family before gained nothing by it, and no other was measured.
const ZEN_5: u32 = 26;

/// Products with AVX-512 VNNI.
pub(in super::super) struct Vnni;

/// Every four numbers of sixteen rows side by side.
#[derive(Clone)]
#[repr(C, align(64))]
pub(in super::super) struct Rows {
    /// With 128 added.
    numbers: [[u8; ROWS * GROUP]; GROUPS],
    scales: [f32; ROWS],
}

/// Every four numbers of eight columns side by side.
#[derive(Clone)]
#[repr(C, align(64))]
pub(in super::super) struct Columns {
    numbers: [[i32; COLUMNS]; GROUPS],
    scales: [f32; COLUMNS],
    /// What the weights' 128s add to a sum, to be taken away.
    corrections: [i32; COLUMNS],
}

/// The numbers of one column.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in super::super) struct Single {
    numbers: [i8; NUMBERS],
    /// What the weights' 128s add to each group's sum, to be taken away.
    corrections: [i32; GROUPS],
    scale: f32,
}

thread_local! {
    static SCRATCH: RefCell<Scratch<Vnni>> = RefCell::default();
}

impl Kernel for Vnni {
    const COLUMNS: usize = COLUMNS;
    const FEWEST: usize = 2;
    const SINGLE: bool = true;
    type Rows = Rows;
    type Columns = Columns;
    type Single = Single;
    const NO_ROWS: Rows = Rows { numbers: [[0; ROWS * GROUP]; GROUPS], scales: [0.0; ROWS] };
    const NO_COLUMNS: Columns =
        Columns { numbers: [[0; COLUMNS]; GROUPS], scales: [0.0; COLUMNS], corrections: [0; COLUMNS] };

    #[inline(always)]
    unsafe fn pack_rows(packed: &mut Rows, blocks: [*const Block; ROWS]) {
        // SAFETY: a block has 32 numbers, an array of `numbers` 64 bytes, aligned; the instructions are there, as the
        // build script found.
        unsafe {
            let numbers = |row: usize| _mm256_loadu_si256((&raw const (*blocks[row]).numbers).cast());
            let pair = |row: usize| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(numbers(row)), numbers(row + GROUP));
            let upper = transposed([pair(0), pair(1), pair(2), pair(3)]);
            let lower = transposed([pair(8), pair(9), pair(10), pair(11)]);
            let offset = _mm512_set1_epi8(i8::MIN);
            let mut put = |group: usize, numbers: __m512i| {
                let place = packed.numbers[group].as_mut_ptr();
                _mm512_store_si512(place.cast(), _mm512_xor_si512(numbers, offset));
            };
            for group in 0..GROUPS / 2 {
                put(group, _mm512_shuffle_i32x4::<0b10_00_10_00>(upper[group], lower[group]));
                put(group + GROUPS / 2, _mm512_shuffle_i32x4::<0b11_01_11_01>(upper[group], lower[group]));
            }
            let scales: [u16; ROWS] = std::array::from_fn(|row| (*blocks[row]).scale);
            let scales = _mm512_cvtph_ps(_mm256_loadu_si256(scales.as_ptr().cast()));
            _mm512_store_ps(packed.scales.as_mut_ptr(), scales);
        }
    }

    #[inline(always)]
    fn pack_column(packed: &mut Columns, column: usize, block: &Block) {
        let (groups, _) = block.numbers.as_chunks::<GROUP>();
        for (place, group) in packed.numbers.iter_mut().zip(groups) {
            place[column] = i32::from_ne_bytes(group.map(i8::cast_unsigned));
        }
        packed.corrections[column] = -128 * block.numbers.iter().copied().map(i32::from).sum::<i32>();
        packed.scales[column] = wide(block.scale);
    }

    unsafe fn multiply(rows: &[Rows], columns: &[Columns], place: Place) {
        // SAFETY: as the caller says.
        unsafe {
            match place.columns {
                1 => multiply::<1>(rows, columns, place),
                2 => multiply::<2>(rows, columns, place),
                3 => multiply::<3>(rows, columns, place),
                4 => multiply::<4>(rows, columns, place),
                5 => multiply::<5>(rows, columns, place),
                6 => multiply::<6>(rows, columns, place),
                7 => multiply::<7>(rows, columns, place),
                _ => multiply::<COLUMNS>(rows, columns, place),
            }
        }
    }

    fn pack_single(block: &Block) -> Single {
        let (groups, _) = block.numbers.as_chunks::<GROUP>();
        let sum = |group: usize| groups[group].iter().copied().map(i32::from).sum::<i32>();
        let corrections = std::array::from_fn(|group| -128 * sum(group));
        Single { numbers: block.numbers, corrections, scale: wide(block.scale) }
    }

    fn fetches_ahead() -> bool {
        static FETCHES: LazyLock<bool> = LazyLock::new(|| family() == ZEN_5);
        *FETCHES
    }

    #[inline(always)]
    fn multiply_single<const AHEAD: bool>(row: &[Block], column: &[Single]) -> f32 {
        // SAFETY: the instructions are there, as the build script found; arrays are as long as what is loaded of them, and
        // what is fetched ahead need not be there.
        unsafe {
            let offset = _mm256_set1_epi8(i8::MIN);
            let mut all = _mm256_setzero_ps();
            for (block, input) in row.iter().zip(column) {
                if AHEAD {
                    _mm_prefetch::<_MM_HINT_T0>((&raw const *block).cast::<i8>().wrapping_add(PAGE));
                }
                let weights = _mm256_xor_si256(_mm256_loadu_si256(block.numbers.as_ptr().cast()), offset);
                let inputs = _mm256_load_si256(input.numbers.as_ptr().cast());
                let corrections = _mm256_load_si256(input.corrections.as_ptr().cast());
                let sums = _mm256_dpbusd_epi32(corrections, weights, inputs);
                let scale = _mm256_cvtph_ps(_mm_set1_epi16(block.scale.cast_signed()));
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(input.scale));
                all = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, all);
            }
            let halves = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
            let pairs = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_add_ss(pairs, _mm_movehdup_ps(pairs)))
        }
    }

    fn with_scratch<T>(run: impl FnOnce(&mut Scratch<Self>) -> T) -> T {
        SCRATCH.with_borrow_mut(run)
    }
}

/// The processor's family, as it says itself.
fn family() -> u32 {
    let version = __cpuid(1).eax;
    ((version >> 8) & 0xf) + ((version >> 20) & 0xff)
}

/// Transposes four by four numbers of 32 bits within each quarter.
///
/// # Safety
/// The instructions are there.
#[inline(always)]
unsafe fn transposed([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: as the caller says.
    unsafe {
        let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (other_low, other_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(low, other_low),
            _mm512_unpackhi_epi64(low, other_low),
            _mm512_unpacklo_epi64(high, other_high),
            _mm512_unpackhi_epi64(high, other_high),
        ]
    }
}

/// The products with so many columns.
///
/// # Safety
/// As of [`Kernel::multiply`].
#[inline(always)]
unsafe fn multiply<const N: usize>(rows: &[Rows], columns: &[Columns], place: Place) {
    // SAFETY: packed blocks are aligned; the place is as the caller says, and the mask leaves out rows that are not there.
    unsafe {
        let mut all: [__m512; N] = [_mm512_setzero_ps(); N];
        for (rows, columns) in rows.iter().zip(columns) {
            let mut sums: [__m512i; N] = std::array::from_fn(|column| _mm512_set1_epi32(columns.corrections[column]));
            for (weights, inputs) in rows.numbers.iter().zip(&columns.numbers) {
                let weights = _mm512_load_si512(weights.as_ptr().cast());
                for (sum, input) in sums.iter_mut().zip(inputs) {
                    *sum = _mm512_dpbusd_epi32(*sum, weights, _mm512_set1_epi32(*input));
                }
            }
            let scales = _mm512_load_ps(rows.scales.as_ptr());
            for ((all, sum), scale) in all.iter_mut().zip(sums).zip(columns.scales) {
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(scale));
                *all = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, *all);
            }
        }
        let there = u16::MAX >> (ROWS - place.rows.clamp(1, ROWS));
        for (column, products) in all.into_iter().enumerate() {
            _mm512_mask_storeu_ps(place.first.add(column * place.stride), there, products);
        }
    }
}
