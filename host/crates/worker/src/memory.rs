//! The allocator of host and workers.
//!
//! What many requests held at once must go back to the system when they end, or a burst decides for good how much
//! memory a node needs. glibc's allocator keeps such memory in its arenas, and mimalloc keeps it until a thread
//! happens to allocate again, unless it is told not to wait, or somebody looks.

#![allow(unsafe_code, reason = "mimalloc is configured through its C interface")]

#[cfg(test)]
pub(crate) mod counting;

#[cfg(not(test))]
use mimalloc::MiMalloc as Allocator;
use std::sync::LazyLock;
use std::time::Duration;

#[cfg(test)]
use counting::Counting as Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// `mi_option_purge_delay` of mimalloc 3, which its bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// How long a host keeps what it has freed: the next request takes it again, and need not ask the system.
const KEPT: Duration = Duration::from_millis(100);

/// Has freed memory returned to the system at once, and stay there. Called first thing in `main`.
pub fn return_at_once() {
    return_after(Duration::ZERO);
    huge_pages(false);
}

/// From now on in a fraction of a second, by a thread of its own: for hosts, which free and take again all the time. Never
/// for a worker, whose cage is closed around the one thread that it has.
pub fn return_soon() {
    static LOOKS: LazyLock<bool> = LazyLock::new(|| {
        let look = || loop {
            std::thread::sleep(KEPT);
            // SAFETY: the call takes a plain value. It returns what any thread has given back to the arenas long enough ago.
            unsafe { libmimalloc_sys::mi_collect(false) };
        };
        std::thread::Builder::new().name("memory".into()).spawn(look).is_ok()
    });
    return_after(if *LOOKS { KEPT } else { Duration::ZERO });
}

fn return_after(kept: Duration) {
    let milliseconds = kept.as_millis().try_into().unwrap_or(libc::c_long::MAX);
    // SAFETY: the call stores a number in a table of the allocator, under an index that the table has.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, milliseconds) };
}

/// Whether the kernel may put huge pages under this process, which its children inherit. It does so on its own time
/// too: what a host gave back in small pieces would come back as two megabytes each, when nobody asked for any.
pub(crate) fn huge_pages(allowed: bool) {
    // A kernel without huge pages refuses, and needs no telling.
    // SAFETY: a plain prctl call with integer arguments.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, libc::c_ulong::from(!allowed), 0, 0, 0) };
}
