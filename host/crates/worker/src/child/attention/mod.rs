//! Attention over a key-value cache that many sequences share.
//!
//! All sequences of a worker have their cells in one cache, so that a prefix is kept once. llama.cpp's fused kernel looks
//! at every cell's mask for every row and every head, and fetches each head's keys anew: with many sequences that costs
//! more than the attention itself. The kernel here looks once for each row, sixteen cells at a time, keeps the list of
//! cells that the row sees, and computes the heads that share keys together. It adds up in 32-bit floats, where
//! llama.cpp's adds up values in 16-bit ones.
//!
//! The linker puts [`__wrap_ggml_compute_forward_flash_attn_ext`] in the place of ggml's function (`--wrap`, see the build
//! scripts), so that it runs within ggml's own threads. What it does not compute goes on to ggml's.

#![allow(unsafe_code, reason = "ggml calls it, and is called")]

mod kernel;
mod operation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_model;

use super::ggml::ThreadParams;
use llama_cpp_sys_2::ggml_tensor;
use operation::Operation;

/// Parts that were computed here.
#[cfg(test)]
static OURS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

unsafe extern "C" {
    /// ggml's own function, by the name that the linker gives it.
    fn __real_ggml_compute_forward_flash_attn_ext(params: *const ThreadParams, destination: *mut ggml_tensor);
}

/// One thread's part of a fused attention: ours where the operation fits, else ggml's.
///
/// # Safety
/// Called by ggml alone, with a valid operation, by all of its threads at once. No thread goes on to the next operation
/// before all have returned.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_ggml_compute_forward_flash_attn_ext(
    params: *const ThreadParams,
    destination: *mut ggml_tensor,
) {
    // SAFETY: ggml passes valid pointers, and nobody writes to either while the operation runs.
    let position = unsafe { (*params).position() };
    // SAFETY: as above; the tensors that an operation reads live as long as it runs.
    if let (Some((thread, threads)), Some(operation)) = (position, unsafe { Operation::of(destination) })
        && operation.is_for_us(threads)
    {
        operation.compute(thread, threads);
        #[cfg(test)]
        OURS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        return;
    }
    // SAFETY: exactly the call that ggml made.
    unsafe { __real_ggml_compute_forward_flash_attn_ext(params, destination) }
}
