//! A tenure: a stretch of time in which a version answers for a release, and the requests that it took on.
//!
//! It is active while the table names it, ended once another version has its place (it finishes what it took on), and
//! retired when the drain is over: then its sessions end or move, and it lets go of the version.

use crate::table::ReleaseId;
use crate::version::{Hold, Version};
use bobbin_inference::{Cause, RequestContext};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A version in the service of a release.
#[derive(Debug)]
pub struct Tenure {
    release: ReleaseId,
    bundle: Arc<str>,
    post: Mutex<Post>,
    retired: CancellationToken,
    leases: Count,
    seats: Mutex<Seats>,
    /// Sessions.
    open: Count,
    /// Sessions in the middle of an answer.
    busy: Count,
}

#[derive(Debug)]
enum Post {
    Active(Hold),
    Ended(Arc<Version>),
    Retired,
}

#[derive(Debug, Default)]
struct Seats {
    last: u64,
    taken: HashMap<u64, Arc<Seat>>,
}

#[derive(Debug)]
struct Seat {
    context: Arc<RequestContext>,
    busy: AtomicBool,
}

/// A number of things, and a way to wait until there is none.
#[derive(Debug, Default)]
struct Count {
    held: AtomicUsize,
    none: Notify,
}

impl Count {
    fn up(&self) {
        self.held.fetch_add(1, Ordering::AcqRel);
    }

    fn down(&self) {
        if self.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none.notify_waiters();
        }
    }

    fn get(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    async fn none(&self) {
        loop {
            let mut none = std::pin::pin!(self.none.notified());
            // Heard from here on, so that the last one cannot leave between the look and the wait.
            none.as_mut().enable();
            if self.get() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Tenure {
    pub(crate) fn new(release: ReleaseId, hold: Hold) -> Arc<Self> {
        Arc::new(Self {
            release,
            bundle: Arc::clone(hold.version().bundle()),
            post: Mutex::new(Post::Active(hold)),
            retired: CancellationToken::new(),
            leases: Count::default(),
            seats: Mutex::default(),
            open: Count::default(),
            busy: Count::default(),
        })
    }

    /// `name@version`.
    #[must_use]
    pub fn bundle(&self) -> &Arc<str> {
        &self.bundle
    }

    pub(crate) fn release(&self) -> &ReleaseId {
        &self.release
    }

    /// Requests that it has taken on.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.get()
    }

    /// Its version; `None` once it has retired.
    #[must_use]
    pub fn version(&self) -> Option<Arc<Version>> {
        match &*self.post.lock() {
            Post::Active(hold) => Some(Arc::clone(hold.version())),
            Post::Ended(version) => Some(Arc::clone(version)),
            Post::Retired => None,
        }
    }

    /// Its version, while it takes on requests.
    pub(crate) fn active(&self) -> Option<Arc<Version>> {
        match &*self.post.lock() {
            Post::Active(hold) => Some(Arc::clone(hold.version())),
            Post::Ended(_) | Post::Retired => None,
        }
    }

    /// Whether its version answers now, and may be asked.
    pub(crate) fn is_ready(&self) -> bool {
        match &*self.post.lock() {
            Post::Active(hold) => hold.version().is_ready(),
            Post::Ended(_) | Post::Retired => false,
        }
    }

    /// Fires when its drain is over.
    pub(crate) fn retired(&self) -> &CancellationToken {
        &self.retired
    }

    /// Takes on no further request; false where it had ended before.
    pub(crate) fn end(&self) -> bool {
        let mut post = self.post.lock();
        let Post::Active(hold) = &*post else { return false };
        let version = Arc::clone(hold.version());
        let hold = std::mem::replace(&mut *post, Post::Ended(version));
        drop(post);
        // Letting go of a role tells of it, which is not done under the lock.
        drop(hold);
        true
    }

    /// Its sessions end or move from now on.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    /// Lets go of the version, whoever still holds a lease.
    pub(crate) fn evict(&self) {
        self.retired.cancel();
        let post = std::mem::replace(&mut *self.post.lock(), Post::Retired);
        drop(post);
    }

    /// Waits until every request that it took on is over.
    pub(crate) async fn idle(&self) {
        self.leases.none().await;
    }

    /// Waits until no request has a session: what is left has not asked the model for anything, or will not again.
    pub(crate) async fn unused(&self) {
        self.open.none().await;
    }

    /// Waits until no session is in the middle of an answer.
    pub(crate) async fn quiet(&self) {
        self.busy.none().await;
    }

    /// Ends the requests whose sessions are still in the middle of an answer; returns how many.
    pub(crate) fn cut(&self) -> usize {
        let busy = |seat: &&Arc<Seat>| seat.busy.load(Ordering::Acquire);
        let open: Vec<_> = self.seats.lock().taken.values().filter(busy).cloned().collect();
        // Ending a request may drop its sessions, which take the lock.
        open.iter().for_each(|seat| seat.context.end(Cause::VersionRetired));
        open.len()
    }
}

/// A request's part in a tenure.
#[derive(Debug)]
pub struct Lease {
    tenure: Arc<Tenure>,
    /// The version at the time; `None` where the tenure had ended: such a lease holds nothing.
    version: Option<std::sync::Weak<Version>>,
}

impl Lease {
    pub(crate) fn take(tenure: &Arc<Tenure>) -> Self {
        let post = tenure.post.lock();
        let version = match &*post {
            Post::Active(hold) => {
                tenure.leases.up();
                hold.version().lease();
                Some(Arc::downgrade(hold.version()))
            }
            Post::Ended(_) | Post::Retired => None,
        };
        drop(post);
        Self { tenure: Arc::clone(tenure), version }
    }

    pub(crate) fn tenure(&self) -> &Arc<Tenure> {
        &self.tenure
    }

    /// Whether it was taken in time.
    pub(crate) fn counts(&self) -> bool {
        self.version.is_some()
    }

    /// A place for a session of this request.
    pub(crate) fn sit(&self, context: &Arc<RequestContext>) -> SeatGuard {
        let seat = Arc::new(Seat { context: Arc::clone(context), busy: AtomicBool::new(false) });
        let mut seats = self.tenure.seats.lock();
        seats.last += 1;
        let number = seats.last;
        seats.taken.insert(number, Arc::clone(&seat));
        drop(seats);
        self.tenure.open.up();
        SeatGuard { tenure: Arc::clone(&self.tenure), number, seat }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(version) = self.version.take() else { return };
        // The version first: whoever waits for the last lease may look at the version next.
        if let Some(version) = version.upgrade() {
            version.release();
        }
        self.tenure.leases.down();
    }
}

/// A session's place in a tenure.
#[derive(Debug)]
pub(crate) struct SeatGuard {
    tenure: Arc<Tenure>,
    number: u64,
    seat: Arc<Seat>,
}

impl SeatGuard {
    /// Whether the session is in the middle of an answer.
    pub(crate) fn busy(&self, busy: bool) {
        if self.seat.busy.swap(busy, Ordering::AcqRel) != busy {
            if busy { self.tenure.busy.up() } else { self.tenure.busy.down() }
        }
    }
}

impl Drop for SeatGuard {
    fn drop(&mut self) {
        self.busy(false);
        self.tenure.seats.lock().taken.remove(&self.number);
        self.tenure.open.down();
    }
}
