//! Products of a matrix of weights with the inputs of many rows, both quantised as Q8_0.
//!
//! Prompts and the next tokens of many sequences spend nearly all of their time here. ggml adds up the numbers of one
//! vector for each block of each pair of rows. The kernels here pack sixteen rows of weights side by side, so that a
//! vector's sums belong to sixteen rows and are never added up across it: measured on one core of an AMD EPYC (family 26)
//! with 32 inputs of 896 numbers, 2026-11-29, they make 4.0 times as many products with AVX-512 VNNI, and 1.3 times with
//! AVX2. The sums of a block are exact on both sides; blocks are added up in another order.
//!
//! The linker puts [`__wrap_llamafile_sgemm`] in the place of ggml's function (`--wrap`, see the build scripts). What it
//! does not compute goes on to ggml's: other quantisations, and few inputs where the vector unit gains nothing with them.
//!
//! A single input, the next token of one sequence, is another matter ([`single`]): each weight is read once, and what counts
//! is how steadily they come from memory.
//!
//! Threads take parts as they come to them. One that loses its core for a while, to the host or to a neighbour on the
//! physical machine, leaves the rest to the others, who would wait for it in each of hundreds of products.

#![allow(unsafe_code, reason = "ggml calls it, and is called")]

mod kernel;
mod operation;
mod single;
#[cfg(test)]
mod tests;

use super::ggml::ThreadParams;
use kernel::{Block, Fastest, Kernel};
use llama_cpp_sys_2::{GGML_TYPE_F32, GGML_TYPE_Q8_0};
use operation::{Matrix, Operation};
use std::ffi::{c_int, c_void};

/// Parts that were computed here.
#[cfg(test)]
static OURS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

unsafe extern "C" {
    /// ggml's own function, by the name that the linker gives it.
    fn __real_llamafile_sgemm(
        params: *const ThreadParams,
        rows: i64,
        columns: i64,
        blocks: i64,
        weights: *const c_void,
        weights_stride: i64,
        inputs: *const c_void,
        inputs_stride: i64,
        answers: *mut c_void,
        answers_stride: i64,
        weights_type: c_int,
        inputs_type: c_int,
        answers_type: c_int,
    ) -> bool;
    /// Waits until all threads are here.
    fn ggml_barrier(pool: *mut c_void);
    /// Sets the number of the next part that nobody has taken.
    fn ggml_threadpool_chunk_set(pool: *mut c_void, next: c_int);
    /// Takes parts, and returns the first one's number.
    fn ggml_threadpool_chunk_add(pool: *mut c_void, parts: c_int) -> c_int;
}

/// One thread's part of a product: ours where both matrices are Q8_0, else ggml's.
///
/// Strides are in blocks, those of the answers in numbers. It returns whether the product was computed.
///
/// # Safety
/// Called by ggml alone, with valid matrices of these shapes, by all threads of the pool at once.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments, reason = "ggml's function has as many")]
unsafe extern "C" fn __wrap_llamafile_sgemm(
    params: *const ThreadParams,
    rows: i64,
    columns: i64,
    blocks: i64,
    weights: *const c_void,
    weights_stride: i64,
    inputs: *const c_void,
    inputs_stride: i64,
    answers: *mut c_void,
    answers_stride: i64,
    weights_type: c_int,
    inputs_type: c_int,
    answers_type: c_int,
) -> bool {
    let types = [weights_type, inputs_type, answers_type].map(|kind| u32::try_from(kind).unwrap_or(u32::MAX));
    let operation = || {
        let ours = types == [GGML_TYPE_Q8_0, GGML_TYPE_Q8_0, GGML_TYPE_F32];
        let matrix = |data: *const c_void, rows, stride| Matrix::new(data.cast::<Block>(), rows, blocks, stride);
        let operation = Operation {
            weights: matrix(weights, rows, weights_stride)?,
            inputs: matrix(inputs, columns, inputs_stride)?,
            answers: answers.cast(),
            stride: usize::try_from(answers_stride).ok()?,
        };
        let gains = operation.inputs.rows >= Fastest::FEWEST || (operation.inputs.rows == 1 && Fastest::SINGLE);
        (ours && gains && operation.stride >= operation.weights.rows).then_some(operation)
    };
    // SAFETY: ggml passes valid parameters.
    let position = unsafe { (*params).position() };
    let (Some(operation), Some((thread, threads))) = (operation(), position) else {
        // SAFETY: exactly the call that ggml made.
        return unsafe {
            __real_llamafile_sgemm(
                params,
                rows,
                columns,
                blocks,
                weights,
                weights_stride,
                inputs,
                inputs_stride,
                answers,
                answers_stride,
                weights_type,
                inputs_type,
                answers_type,
            )
        };
    };
    #[cfg(test)]
    OURS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    // SAFETY: the pool is valid while its threads compute, and all of them come to the same decision above.
    unsafe {
        let pool = (*params).pool;
        if thread == 0 {
            // Every thread begins with the part of its own number.
            ggml_threadpool_chunk_set(pool, (*params).threads);
        }
        ggml_barrier(pool);
        let next = || usize::try_from(ggml_threadpool_chunk_add(pool, 1)).unwrap_or(usize::MAX);
        if operation.inputs.rows == 1 {
            operation.compute_single::<Fastest>(thread, threads, next);
        } else {
            operation.compute::<Fastest>(thread, threads, next);
        }
        // The next product of this operation counts its parts anew.
        ggml_barrier(pool);
    }
    true
}
