//! Counts what each thread asks of the allocator, so that a test can say what may not be asked for with every token.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ops::AddAssign;

thread_local! {
    static ASKED: Cell<Asked> = const { Cell::new(Asked { times: 0, bytes: 0 }) };
}

/// What was asked for. What C++ asks for is not among it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How often.
    pub(crate) times: usize,
    /// How much in all.
    pub(crate) bytes: usize,
}

impl AddAssign for Asked {
    fn add_assign(&mut self, other: Self) {
        self.times += other.times;
        self.bytes += other.bytes;
    }
}

/// The allocator of host and workers, watched.
pub(super) struct Counting;

fn asked(bytes: usize) {
    let Asked { times, bytes: before } = ASKED.get();
    ASKED.set(Asked { times: times + 1, bytes: before.wrapping_add(bytes) });
}

// SAFETY: every call goes to the allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        asked(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        asked(size);
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

/// Does the work and says what this thread asked for meanwhile.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Asked) {
    let before = ASKED.get();
    let result = work();
    let now = ASKED.get();
    (result, Asked { times: now.times - before.times, bytes: now.bytes.wrapping_sub(before.bytes) })
}

#[test]
fn what_is_asked_for_is_counted() {
    // What nobody looks at, the compiler does not ask for.
    let (numbers, asked) = during(|| std::hint::black_box(vec![1_u8; 100]));
    assert_eq!((numbers.len(), asked), (100, Asked { times: 1, bytes: 100 }));
    let (sum, asked) = during(|| numbers.iter().map(|number| u32::from(*number)).sum::<u32>());
    assert_eq!((sum, asked), (100, Asked::default()));
}
