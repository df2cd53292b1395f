//! A repository that is watched: which versions appear, change and go.
//!
//! The kernel's word (inotify) only says that it is time to look; what is reported comes from listing the
//! repository and comparing. So a lost event, a full table or a queue that ran over costs nothing but time, and
//! a listing happens now and then in any case: network file systems say nothing about what other machines write.

mod ledger;
mod scan;

use crate::BundleError;
use ledger::{Id, Ledger};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader};
use rustix::io::Errno;
use scan::{Scan, Watched};
use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A version of a repository appeared, changed or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleChange {
    /// The bundle's name: the name of the folder above the version's.
    pub name: String,
    /// The name of the version's folder; whether it is a version is for [`Bundle::open`](crate::Bundle::open) to say.
    pub version: String,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a version's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is there now.
    Appeared,
    /// A file in it was written, truncated, replaced, added or removed, or got other permissions.
    Changed,
    /// It is there no more.
    Removed,
}

impl ChangeKind {
    /// The name in events and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    /// How long a version must have stood still before it is reported.
    quiet: Duration,
    /// Between two listings while some folder cannot be watched.
    blind: Duration,
    /// Between two listings while all is well.
    safety: Duration,
}

const RHYTHM: Rhythm =
    Rhythm { quiet: Duration::from_millis(200), blind: Duration::from_secs(2), safety: Duration::from_secs(60) };

/// How many events are taken at once; whoever writes without a pause does not keep the watcher from looking.
const EVENTS: usize = 4096;

/// Reports what happens to the versions of a repository, from a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct RepositoryWatch {
    blind: Arc<Mutex<Option<String>>>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl RepositoryWatch {
    /// Watches the repository in `folder` and calls `on` for every version (a folder `<name>/<version>`) that
    /// appears, changes or goes, once it has stood still for a fifth of a second. What is there already is not
    /// reported: list the repository after this call, and nothing is missed. Names that begin with a dot are
    /// being written and do not count. A file that is written through a memory map is noticed at the next
    /// listing, within a minute.
    ///
    /// Where the kernel's table of watches is full the repository is listed every two seconds instead, and
    /// [`blind`](Self::blind) says why.
    ///
    /// # Errors
    /// [`BundleError::Io`] where the folder cannot be listed or no thread can be started.
    pub fn start(folder: &Path, on: impl Fn(BundleChange) + Send + 'static) -> Result<Self, BundleError> {
        let kernel = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Self::with(folder, on, kernel, RHYTHM)
    }

    fn with(
        folder: &Path,
        on: impl Fn(BundleChange) + Send + 'static,
        kernel: Option<OwnedFd>,
        rhythm: Rhythm,
    ) -> Result<Self, BundleError> {
        let failed = |source: io::Error| BundleError::Io { path: folder.to_owned(), action: "watched", source };
        std::fs::read_dir(folder).map_err(failed)?;
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let scan = Scan::of(folder, kernel.as_ref().map(AsFd::as_fd));
        let blind = Arc::new(Mutex::new(scan.blind.clone()));
        let watcher = Watcher {
            folder: folder.to_owned(),
            kernel,
            stopped,
            rhythm,
            ledger: Ledger::new(rhythm.quiet, scan.versions),
            watched: scan.watched,
            blind: Arc::clone(&blind),
            on,
        };
        let thread =
            std::thread::Builder::new().name("bundle-watch".into()).spawn(move || watcher.run()).map_err(failed)?;
        Ok(Self { blind, stop: Some(stop), thread: Some(thread) })
    }

    /// Why the repository is listed every two seconds instead of when something happens; `None` where the kernel
    /// tells.
    #[must_use]
    pub fn blind(&self) -> Option<String> {
        self.blind.lock().clone()
    }
}

impl Drop for RepositoryWatch {
    /// Waits for a report that is being made, unless it is this report that drops the watch.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A report that panicked has ended the thread already, and said so on standard error.
            drop(thread.join());
        }
    }
}

struct Watcher<F> {
    folder: PathBuf,
    kernel: Option<OwnedFd>,
    stopped: UnixStream,
    rhythm: Rhythm,
    ledger: Ledger,
    watched: HashMap<i32, Watched>,
    blind: Arc<Mutex<Option<String>>>,
    on: F,
}

impl<F: Fn(BundleChange)> Watcher<F> {
    fn run(mut self) {
        let mut due = Instant::now() + self.pause();
        while self.wait(due) {
            let now = Instant::now();
            if self.take_events(now) {
                due = due.min(now + self.rhythm.quiet);
            }
            if now >= due {
                self.look();
                let latest = Instant::now() + self.pause();
                due = self.ledger.due().map_or(latest, |due| due.min(latest));
            }
        }
    }

    fn pause(&self) -> Duration {
        if self.blind.lock().is_some() { self.rhythm.blind } else { self.rhythm.safety }
    }

    /// Waits until something happened or `due` has come; false when it is time to end.
    fn wait(&self, due: Instant) -> bool {
        let left = due.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let stopped = PollFd::new(&self.stopped, PollFlags::IN);
        let kernel = self.kernel.as_ref().map(|kernel| PollFd::new(kernel, PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = [Some(stopped), kernel].into_iter().flatten().collect();
        match poll(&mut fds, Some(&timeout)) {
            // Nobody ever writes to it: whatever is said of it is that the other end was closed.
            Ok(_) => fds.first().is_some_and(|stopped| stopped.revents().is_empty()),
            Err(errno) => errno == Errno::INTR,
        }
    }

    /// Takes what the kernel has to say; whether any of it is a reason to look.
    fn take_events(&mut self, now: Instant) -> bool {
        let Some(kernel) = &self.kernel else { return false };
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(kernel, &mut buffer);
        let mut look = false;
        for _ in 0..EVENTS {
            // "Again" when the queue is empty; any other error leaves it to the next listing.
            let Ok(event) = reader.next() else { break };
            let name = event.file_name().map(CStr::to_string_lossy);
            if name.as_ref().is_some_and(|name| name.starts_with('.')) {
                continue;
            }
            look = true;
            let said = event.events();
            let written = said.intersects(
                ReadFlags::MODIFY | ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO,
            );
            match (self.watched.get(&event.wd()), name) {
                (Some(Watched::Version(id)), _) => self.ledger.touch(id.clone(), written, now),
                (Some(Watched::Name(above)), Some(version)) => {
                    let id = Id { name: above.clone(), version: version.into_owned() };
                    self.ledger.touch(id, written, now);
                }
                (Some(Watched::Name(_) | Watched::Repository) | None, _) => {}
            }
        }
        look
    }

    fn look(&mut self) {
        let mut scan = Scan::of(&self.folder, self.kernel.as_ref().map(AsFd::as_fd));
        scan.keep_unsure(self.ledger.known());
        if let Some(kernel) = &self.kernel {
            for number in self.watched.keys().filter(|number| !scan.watched.contains_key(number)) {
                // A folder that is gone took its watch with it.
                let _gone = inotify::remove_watch(kernel, *number);
            }
        }
        self.watched = scan.watched;
        *self.blind.lock() = scan.blind;
        for change in self.ledger.listed(&scan.versions, Instant::now()) {
            (self.on)(change);
        }
    }
}

#[cfg(test)]
mod tests;
