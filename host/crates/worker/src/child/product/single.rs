//! The product of a matrix with one input.

#![allow(unsafe_code, reason = "ggml's matrices are pointers and strides")]

use super::kernel::{Block, Kernel};
use super::operation::{Operation, PARTS};

/// Bytes of weights of one part, at most: while a thread is held up by the last one, the others wait.
const PART: usize = 512 << 10;
/// Rows of one part, at least: fewer are computed sooner than they are taken.
const FEWEST_ROWS: usize = 16;

impl Operation {
    /// Computes parts until none is left, each row by row as they lie in memory: the thread's own first, then those that
    /// `next` gives.
    pub(super) fn compute_single<K: Kernel>(&self, thread: usize, threads: usize, next: impl FnMut() -> usize) {
        if K::fetches_ahead() {
            self.compute_rows::<K, true>(thread, threads, next);
        } else {
            self.compute_rows::<K, false>(thread, threads, next);
        }
    }

    /// The same, with weights asked for ahead of their use or not.
    pub(super) fn compute_rows<K: Kernel, const AHEAD: bool>(
        &self,
        thread: usize,
        threads: usize,
        mut next: impl FnMut() -> usize,
    ) {
        let rows = self.weights.rows;
        let fair = rows / (threads * PARTS);
        let fit = PART / (self.weights.blocks * size_of::<Block>());
        let of_a_part = fit.min(fair).max(FEWEST_ROWS);
        K::with_scratch(|scratch| {
            scratch.single.clear();
            scratch.single.extend(self.inputs.row(0).iter().map(K::pack_single));
            let mut first = thread * of_a_part;
            while first < rows {
                for row in first..rows.min(first + of_a_part) {
                    let product = K::multiply_single::<AHEAD>(self.weights.row(row), &scratch.single);
                    // SAFETY: there is an answer for each row, and no other thread has this part.
                    unsafe { self.answers.add(row).write(product) };
                }
                first = next().saturating_mul(of_a_part);
            }
        });
    }
}
