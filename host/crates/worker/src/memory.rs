//! The allocator of host and workers.
//!
//! What many requests held at once must go back to the system when they end, or a burst decides for good how much
//! memory a node needs. glibc's allocator keeps such memory in its arenas, and mimalloc keeps it until a thread
//! happens to allocate again, unless it is told not to wait.

#![allow(unsafe_code, reason = "mimalloc is configured through its C interface")]

#[cfg(test)]
pub(crate) mod counting;

#[cfg(not(test))]
use mimalloc::MiMalloc as Allocator;

#[cfg(test)]
use counting::Counting as Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// `mi_option_purge_delay` of mimalloc 3, which its bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has freed memory returned to the system at once, and stay there. Called first thing in `main`.
pub fn return_at_once() {
    // SAFETY: the call stores a number in a table of the allocator, under an index that the table has.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    huge_pages(false);
}

/// Whether the kernel may put huge pages under this process, which its children inherit. It does so on its own time
/// too: what a host gave back in small pieces would come back as two megabytes each, when nobody asked for any.
pub(crate) fn huge_pages(allowed: bool) {
    // A kernel without huge pages refuses, and needs no telling.
    // SAFETY: a plain prctl call with integer arguments.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!allowed), 0, 0, 0) };
}
