//! What ggml hands to those who compute a part of an operation (`ggml-cpu-impl.h`).

use std::ffi::{c_int, c_void};

/// What a thread knows of itself (`ggml_compute_params`). Only its beginning is here.
#[repr(C)]
pub(super) struct ThreadParams {
    pub(super) thread: c_int,
    pub(super) threads: c_int,
    scratch_length: usize,
    scratch: *mut c_void,
    /// The threads that compute together (`ggml_threadpool`).
    pub(super) pool: *mut c_void,
}

impl ThreadParams {
    /// This thread's number and how many there are; nothing if ggml said what makes no sense.
    pub(super) fn position(&self) -> Option<(usize, usize)> {
        let (thread, threads) = (usize::try_from(self.thread).ok()?, usize::try_from(self.threads).ok()?);
        (thread < threads).then_some((thread, threads))
    }
}
