//! What the process does to itself before anything else: it outlives no parent, leaves no core dump, obeys
//! no terminal, and keeps its standard streams apart from the link.
#![allow(unsafe_code, reason = "signals, prctl, resource limits and descriptors have no safe interface in std")]

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::raw::c_char;
use std::time::Duration;

/// The option by which the supervisor names itself: `--parent PID`.
const PARENT_OPTION: &str = "--parent";
/// The option of a worker that runs with what others leave over.
const BACKGROUND_OPTION: &str = "--background";

/// A priority below that of what answers requests, as Linux counts niceness.
#[derive(Debug, Clone, Copy)]
#[repr(i32)]
pub(super) enum Priority {
    /// Some 10 % of a core that another thread wants: a load goes on, however busy the host is.
    Loading = 10,
    /// Some 1.5 % of it: with what is left over.
    Background = 19,
}

unsafe extern "C" {
    /// llama.cpp's own account of the CPU features it was built for; a pointer to a static buffer.
    fn llama_print_system_info() -> *const c_char;
}

/// Sets what must hold before the first frame is read. Call it while the process has one thread.
///
/// # Errors
/// When the parent is gone already, or the kernel refuses.
pub(super) fn harden() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        // The cage would be closed around one of them.
        return Err(io::Error::other(format!("a worker begins with one thread, and this process has {threads}")));
    }
    // SAFETY: ignoring a signal installs no handler, and no other thread runs yet.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("GGML_NO_BACKTRACE", "1") };
    // SAFETY: plain prctl calls with integer arguments and a NUL-terminated name.
    unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        check(libc::prctl(libc::PR_SET_NAME, c"bobbin-worker".as_ptr()))?;
    }
    limit(libc::RLIMIT_CORE, 0)?;
    // Matrices gain from them what the host would lose.
    crate::memory::huge_pages(true);
    if std::env::args().any(|argument| argument == BACKGROUND_OPTION) {
        lower_priority(Priority::Background)?;
    }
    // The parent may have died before the signal was asked for; then nobody will ever send it.
    match expected_parent() {
        Some(parent) if parent != std::os::unix::process::parent_id() => {
            Err(io::Error::other(format!("the host with process id {parent} is gone; nothing was loaded")))
        }
        _ => Ok(()),
    }
}

fn expected_parent() -> Option<u32> {
    let mut arguments = std::env::args().skip_while(|argument| argument != PARENT_OPTION);
    arguments.next()?;
    arguments.next()?.parse().ok()
}

/// Gives this thread, and those that it starts from now on, a lower priority, for good; one that is lower already
/// keeps it. On Linux a priority belongs to a thread and not to its process.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn lower_priority(priority: Priority) -> io::Result<()> {
    let nice = crate::slice::niceness().max(priority as libc::c_int);
    // SAFETY: a plain call with integer arguments; 0 names the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })
}

/// Keeps this thread, and those that it starts from now on, on so many cores of those that it may use: the last ones,
/// as most that wakes is put on the first.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn stay_on_cores(count: u32) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let mut few = CpuSet::new();
    let last = (0..CpuSet::MAX_CPU).rev().filter(|cpu| allowed.is_set(*cpu));
    last.take(count.max(1) as usize).for_each(|cpu| few.set(cpu));
    Ok(sched_setaffinity(None, &few)?)
}

/// Takes the link from standard input. Afterwards standard input is empty, and what C++ prints on standard
/// output goes to the log on standard error, so nothing but frames is ever on the link.
///
/// # Errors
/// When descriptors cannot be duplicated.
pub(super) fn take_link() -> io::Result<OwnedFd> {
    // SAFETY: fcntl duplicates descriptor 0; the result is checked before it is owned.
    let link = unsafe { libc::fcntl(libc::STDIN_FILENO, libc::F_DUPFD_CLOEXEC, 3) };
    check(link)?;
    // SAFETY: the descriptor was just made and nobody else owns it.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    let null = File::open("/dev/null")?;
    // SAFETY: both sources are open; the targets are the standard streams, which std does not own.
    unsafe {
        check(libc::dup2(null.as_raw_fd(), libc::STDIN_FILENO))?;
        check(libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO))?;
    }
    Ok(link)
}

/// The version of the kernel's landlock; 0 where it has none, or it is switched off.
pub(super) fn landlock_abi() -> u32 {
    const VERSION: libc::c_uint = 1;
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag the kernel reads no attributes, answers with a number and makes nothing.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// Ends the process at once: no destructors, which would wait for threads inside llama.cpp.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and runs no user code.
    unsafe { libc::_exit(code) }
}

/// Limits private writable memory (`RLIMIT_DATA`); mapped weights do not count.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn limit_data(bytes: u64) -> io::Result<()> {
    limit(libc::RLIMIT_DATA, bytes)
}

fn limit(resource: libc::__rlimit_resource_t, bytes: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the pointer is to a live rlimit on the stack.
    check(unsafe { libc::setrlimit(resource, &raw const limit) })
}

/// Private writable memory of this process, from `/proc/self/statm`. Opened before the cage closes.
pub(super) struct DataMeter {
    statm: File,
    page: u64,
}

impl DataMeter {
    /// Opens the meter.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: sysconf only reads.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Ok(Self { statm: File::open("/proc/self/statm")?, page: u64::try_from(page).unwrap_or(4096) })
    }

    /// Bytes mapped now.
    ///
    /// # Errors
    /// When the file does not read as the kernel documents it.
    pub(super) fn bytes(&mut self) -> io::Result<u64> {
        self.statm.rewind()?;
        let mut text = String::new();
        self.statm.read_to_string(&mut text)?;
        let pages = text.split_whitespace().nth(5).and_then(|field| field.parse::<u64>().ok());
        let pages = pages.ok_or_else(|| io::Error::other(format!("/proc/self/statm reads \"{}\"", text.trim())))?;
        Ok(pages * self.page)
    }
}

/// llama.cpp's account of the CPU features it uses.
pub(super) fn system_info() -> String {
    // SAFETY: llama.cpp returns a NUL-terminated string in a static buffer; one thread calls this, once.
    let text = unsafe {
        let text = llama_print_system_info();
        if text.is_null() {
            return String::new();
        }
        CStr::from_ptr(text)
    };
    text.to_string_lossy().trim().to_owned()
}

/// Processor time that this thread has used: what a thread did, however busy the machine is.
pub(super) fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec on the stack.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
