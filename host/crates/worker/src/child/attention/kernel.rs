//! The arithmetic: heads that share keys, over the cells that one row sees, with the vector units AVX2, FMA and F16C.

#![allow(unsafe_code, reason = "vector units are addressed through intrinsics, cells through ggml's pointers")]

use std::arch::x86_64::{
    _mm_add_ps, _mm_cvtph_ps, _mm_cvtsi32_si128, _mm_cvtss_f32, _mm_loadu_si128, _mm_storeu_ps, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_cmpeq_epi16, _mm256_cvtph_ps, _mm256_extractf128_ps, _mm256_fmadd_ps,
    _mm256_hadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi16, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps,
};

/// Heads computed together.
pub(super) const MOST_HEADS: usize = 4;
/// Cells whose scores are held at a time.
const BLOCK: usize = 64;
/// Numbers of a vector.
pub(super) const LANES: usize = 8;
/// A 16-bit float's minus infinity: the mask of a cell that a row does not see.
pub(super) const UNSEEN: u16 = 0xfc00;

/// What a thread keeps from one row to the next.
#[derive(Default)]
pub(super) struct Scratch {
    /// The cells that the row sees, with what their mask adds to a score.
    cells: Vec<(u32, f32)>,
    /// Scores of a block: a line of `MOST_HEADS` for each cell.
    scores: Vec<[f32; MOST_HEADS]>,
}

/// Up to four heads of one row, whose keys and values are the same.
pub(super) struct Group<'a> {
    /// One query for each head; the last one is repeated where there are fewer heads.
    pub(super) queries: [&'a [f32]; MOST_HEADS],
    /// The first cell's key, and bytes from one cell's to the next.
    pub(super) keys: *const u16,
    pub(super) key_stride: usize,
    /// The same of values.
    pub(super) values: *const u16,
    pub(super) value_stride: usize,
    /// Where the heads' answers go, one after the other.
    pub(super) answers: &'a mut [f32],
    /// Numbers of a key, a value, a query: a multiple of eight.
    pub(super) width: usize,
    /// What a score is multiplied with.
    pub(super) scale: f32,
}

impl Scratch {
    /// Lists the cells that a row sees.
    pub(super) fn list(&mut self, mask: &[u16]) {
        self.cells.clear();
        let (chunks, rest) = mask.as_chunks::<16>();
        let mut first = 0;
        for chunk in chunks {
            // SAFETY: sixteen numbers are there; the instructions are, as the build script found.
            let unseen = unsafe {
                let masks = _mm256_loadu_si256(chunk.as_ptr().cast());
                _mm256_movemask_epi8(_mm256_cmpeq_epi16(masks, _mm256_set1_epi16(UNSEEN.cast_signed())))
            };
            // Two bits for each number.
            let mut seen = !unseen.cast_unsigned();
            while seen != 0 {
                let index = (seen.trailing_zeros() / 2) as usize;
                self.see(first + index, chunk.get(index).copied().unwrap_or(UNSEEN));
                seen &= !(3 << (2 * index));
            }
            first += 16;
        }
        for (index, mask) in rest.iter().enumerate().filter(|(_, mask)| **mask != UNSEEN) {
            self.see(first + index, *mask);
        }
    }

    fn see(&mut self, cell: usize, mask: u16) {
        // SAFETY: the instruction is there.
        let wide = || unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(mask)))) };
        let added = if mask == 0 { 0.0 } else { wide() };
        self.cells.push((u32::try_from(cell).unwrap_or(u32::MAX), added));
    }
}

/// Computes a group over the listed cells. A row that sees none gets zeros.
///
/// # Safety
/// Every listed cell is within keys and values, whose rows have `width` numbers, as have the queries; the answers
/// have `width` numbers for each head. `width` is a multiple of eight.
pub(super) unsafe fn attend(group: Group<'_>, scratch: &mut Scratch) {
    let Group { queries, keys, key_stride, values, value_stride, answers, width, scale } = group;
    let Scratch { cells, scores } = scratch;
    scores.resize(BLOCK, [0.0; MOST_HEADS]);
    answers.fill(0.0);
    let (mut most, mut sums) = ([f32::NEG_INFINITY; MOST_HEADS], [0.0_f32; MOST_HEADS]);
    for block in cells.chunks(BLOCK) {
        let mut highest = [f32::NEG_INFINITY; MOST_HEADS];
        for ((cell, added), score) in block.iter().zip(scores.iter_mut()) {
            // SAFETY: the cell is within the keys, and all rows have `width` numbers, as the caller says.
            let dots = unsafe { dots(&queries, keys.byte_add(*cell as usize * key_stride), width) };
            for ((score, dot), highest) in score.iter_mut().zip(dots).zip(&mut highest) {
                *score = dot.mul_add(scale, *added);
                *highest = highest.max(*score);
            }
        }
        let heads = most.iter_mut().zip(&highest).zip(&mut sums).zip(answers.chunks_exact_mut(width));
        for (((most, highest), sum), answer) in heads {
            if highest > most {
                let shrink = (*most - highest).exp();
                *most = *highest;
                *sum *= shrink;
                answer.iter_mut().for_each(|number| *number *= shrink);
            }
        }
        for score in scores.iter_mut().take(block.len()) {
            for ((score, most), sum) in score.iter_mut().zip(most).zip(&mut sums) {
                *score = (*score - most).exp();
                *sum += *score;
            }
        }
        // SAFETY: as above, of the values.
        unsafe { add_values(block, scores, values, value_stride, answers, width) };
    }
    for (answer, sum) in answers.chunks_exact_mut(width).zip(sums) {
        let share = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        answer.iter_mut().for_each(|number| *number *= share);
    }
}

/// The products of four queries with one key.
///
/// # Safety
/// All of them have `width` numbers.
#[inline(always)]
unsafe fn dots(queries: &[&[f32]; MOST_HEADS], key: *const u16, width: usize) -> [f32; MOST_HEADS] {
    // SAFETY: every load stays below `width`.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); MOST_HEADS];
        for first in (0..width).step_by(LANES) {
            let key = _mm256_cvtph_ps(_mm_loadu_si128(key.add(first).cast()));
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = _mm256_fmadd_ps(key, _mm256_loadu_ps(query.as_ptr().add(first)), *sum);
            }
        }
        let [a, b, c, d] = sums;
        let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        let all = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
        let mut dots = [0.0; MOST_HEADS];
        _mm_storeu_ps(dots.as_mut_ptr(), all);
        dots
    }
}

/// Adds a block's values to the answers, each by its score.
///
/// # Safety
/// The cells are within the values, whose rows have `width` numbers; there is a score for each cell.
#[inline(always)]
unsafe fn add_values(
    block: &[(u32, f32)],
    scores: &[[f32; MOST_HEADS]],
    values: *const u16,
    stride: usize,
    answers: &mut [f32],
    width: usize,
) {
    let heads = answers.len() / width;
    for first in (0..width).step_by(LANES) {
        // SAFETY: every load and store stays below `width`, and below the answers' length.
        unsafe {
            let mut sums = [_mm256_setzero_ps(); MOST_HEADS];
            for ((cell, _), score) in block.iter().zip(scores) {
                let value = values.byte_add(*cell as usize * stride).add(first);
                let value = _mm256_cvtph_ps(_mm_loadu_si128(value.cast()));
                for (sum, score) in sums.iter_mut().zip(score) {
                    *sum = _mm256_fmadd_ps(value, _mm256_set1_ps(*score), *sum);
                }
            }
            for (head, sum) in sums.into_iter().enumerate().take(heads) {
                let answer = answers.as_mut_ptr().add(head * width + first);
                _mm256_storeu_ps(answer, _mm256_add_ps(_mm256_loadu_ps(answer), sum));
            }
        }
    }
}
