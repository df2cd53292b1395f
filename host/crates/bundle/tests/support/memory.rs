//! Counts what is asked of the allocator, so that a small input that asks for much is caught.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, watched; a test binary makes it its global one.
pub(crate) struct Watching;

/// What some work asked for, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The largest request.
    pub(crate) largest: usize,
    /// The most that it held at one time.
    pub(crate) peak: usize,
}

fn taken(size: usize) {
    LARGEST.set(LARGEST.get().max(size));
    LIVE.set(LIVE.get().saturating_add_unsigned(size));
    PEAK.set(PEAK.get().max(LIVE.get()));
}

fn given_back(size: usize) {
    LIVE.set(LIVE.get().saturating_sub_unsigned(size));
}

#[allow(unsafe_code, reason = "an allocator can only be watched from inside; it passes everything on")]
// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may be there together while the bytes are moved.
        taken(size);
        given_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        given_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Does the work on this thread and says what it asked for.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Asked) {
    let before = LIVE.get();
    LARGEST.set(0);
    PEAK.set(before);
    let result = work();
    let peak = usize::try_from(PEAK.get() - before).unwrap_or(0);
    (result, Asked { largest: LARGEST.get(), peak })
}
