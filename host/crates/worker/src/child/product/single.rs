//! The product of a matrix with one input.

#![allow(unsafe_code, reason = "ggml's matrices are pointers and strides")]

use super::kernel::Kernel;
use super::operation::Operation;

impl Operation {
    /// Computes a thread's rows, one after the other as they lie in memory. Threads share nothing here and wait for nobody:
    /// a next token needs hundreds of these products, and each is over soon.
    pub(super) fn compute_single<K: Kernel>(&self, thread: usize, threads: usize) {
        let rows = self.weights.rows;
        K::with_scratch(|scratch| {
            scratch.single.clear();
            scratch.single.extend(self.inputs.row(0).iter().map(K::pack_single));
            for row in rows * thread / threads..rows * (thread + 1) / threads {
                let product = K::multiply_single(self.weights.row(row), &scratch.single);
                // SAFETY: there is an answer for each row, and no other thread has this row.
                unsafe { self.answers.add(row).write(product) };
            }
        });
    }
}
