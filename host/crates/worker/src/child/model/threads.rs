//! How many threads a context computes with, changed while it lives.
#![allow(unsafe_code, reason = "llama-cpp-2 0.1.160 has no call for this, nor one that gives out its context")]

use llama_cpp_2::context::LlamaContext;
use std::ffi::c_void;
use std::ptr::NonNull;

/// ggml's own bound.
const MOST: u32 = 512;

unsafe extern "C" {
    fn llama_set_n_threads(context: *mut c_void, threads: i32, threads_batch: i32);
    fn llama_n_threads(context: *mut c_void) -> i32;
}

/// Has the next steps of a context computed with so many threads; 0 counts as 1.
///
/// # Errors
/// When the context cannot be reached, which shows with the first call and not later.
pub(super) fn set(context: &mut LlamaContext<'static>, threads: u32) -> Result<(), String> {
    let address = address(&format!("{context:?}"))
        .ok_or("llama-cpp-2 does not say where its context is any more; see child/model/threads.rs")?;
    let threads = i32::try_from(threads.clamp(1, MOST)).unwrap_or(1);
    // SAFETY: the address is that of the llama_context which `context` owns and has not freed, borrowed mutably
    // here, so nobody computes with it. The call stores both numbers in it, the second stores nothing.
    let now = unsafe {
        llama_set_n_threads(address.as_ptr(), threads, threads);
        llama_n_threads(address.as_ptr())
    };
    if now == threads { Ok(()) } else { Err(format!("llama.cpp computes with {now} threads instead of {threads}")) }
}

/// The pointer in what `LlamaContext` shows of itself, which is the only way to it from outside of its crate. The
/// version of that crate is pinned, and a worker that finds no pointer here refuses to load.
fn address(shown: &str) -> Option<NonNull<c_void>> {
    let digits = shown.strip_prefix("LlamaContext { context: 0x")?.strip_suffix(" }")?;
    let address = usize::from_str_radix(digits, 16).ok()?;
    NonNull::new(std::ptr::with_exposed_provenance_mut(address))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn only_what_a_context_shows_is_an_address() {
        let found = address("LlamaContext { context: 0x7f10c0de }").unwrap();
        assert_eq!(found.as_ptr() as usize, 0x7f10_c0de);
        for other in
            ["", "LlamaContext { .. }", "LlamaContext { context: 0x0 }", "LlamaContext { context: 0x12, x: 1 }"]
        {
            assert_eq!(address(other), None, "{other}");
        }
    }
}
