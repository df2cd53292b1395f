//! How long a thread may compute before one that has just woken takes its place.
//!
//! A request crosses some ten threads, each of which computes for microseconds and then wakes the next. On a machine
//! with few cores, the next one often wakes where an engine computes a step, or where a bundle is verified or loaded,
//! and Linux lets what runs there finish its slice, which takes up to a tick of 4 ms. A thread that has asked for
//! shorter slices does not wait for that (Linux 6.12 and later). It gets no more processor time than before.
#![allow(unsafe_code, reason = "scheduling attributes have no safe interface in std, nor in the crates used here")]

use std::io;

/// Some 50 times what a thread of the host computes before it waits again.
const SHORT: u64 = 500_000;

/// A tenth of the weight of others.
const GIVING_WAY: i32 = 10;

const SCHED_BATCH: u32 = libc::SCHED_BATCH as u32;

/// The kernel's `struct sched_attr`, first version.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Attributes {
    /// Of a thread about which nobody has said anything.
    const NONE: Self = Self { size: 48, policy: 0, flags: 0, nice: 0, priority: 0, runtime: 0, deadline: 0, period: 0 };
}

/// Has this thread, and those that it starts from now on, answer promptly. Called first thing in `main`: threads and
/// processes inherit it. Does nothing where the kernel knows no slices.
pub fn short() {
    // A kernel before 6.12 stores nothing, one before 3.14 has no such call; both go on as they did.
    let _ = ask(SHORT);
}

/// Gives this thread, and those that it starts from now on, the slices that Linux gives to others: it computes for
/// long, and what it computes has better caches when nobody interrupts it for less.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn ordinary() -> io::Result<()> {
    ask(0)
}

/// Has this thread, and those that it starts from now on, give way to every other: for what computes for long and for
/// which nobody waits. It has all processor time that nobody else wants, and some tenth of a core where all want more
/// than there is. Its slices are ordinary ones: among threads that take short ones, whoever wakes would wait for the end
/// of its slice.
///
/// # Errors
/// When the kernel refuses.
pub fn give_way() -> io::Result<()> {
    // A thread may always become less important, but not more: one that is less important already stays so. Of this class
    // none takes anybody's place when it wakes.
    set(&Attributes { policy: SCHED_BATCH, nice: GIVING_WAY.max(niceness()), ..Attributes::NONE })
}

/// Whether the kernel keeps the length of a slice that is asked for (Linux 6.12 and later). Asks for short ones.
pub(crate) fn are_known() -> bool {
    let mut now = Attributes::NONE;
    // SAFETY: the pointer is to a live structure of the size that is named, which the kernel fills; 0 is this thread.
    let read = |into: &mut Attributes| unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut *into, 48, 0) } == 0;
    ask(SHORT).is_ok() && read(&mut now) && now.runtime == SHORT
}

fn ask(nanoseconds: u64) -> io::Result<()> {
    set(&Attributes { nice: niceness(), runtime: nanoseconds, ..Attributes::NONE })
}

/// How unimportant this thread is: 0 where nobody has said anything, and up to 19.
pub(crate) fn niceness() -> i32 {
    // SAFETY: a plain call with integer arguments; 0 names the calling thread. It fails for no thread of one's own.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

fn set(attributes: &Attributes) -> io::Result<()> {
    // SAFETY: the pointer is to a live structure of the size that it names; 0 is the calling thread, and no flags.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
