//! Instances that answer one request after another, for components that ask for it.

use crate::state::State;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;

/// Instances of one component that wait for a request.
pub(crate) const MOST_IDLE: u32 = 64;
/// Threads have shelves of their own, up to so many: two for each core, since guests that compute for long have threads
/// besides the host's.
const MOST_SHELVES: usize = 128;
/// Requests that one instance answers: what its guest leaks goes with it.
const MOST_REQUESTS: u32 = 128;
/// How long an instance waits before it gives its memory back.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store and what runs in it.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    /// `None` until it is instantiated.
    pub(crate) proxy: Option<Proxy>,
    answered: u32,
}

impl Instance {
    pub(crate) fn new(store: Store<State>) -> Self {
        Self { store, proxy: None, answered: 0 }
    }

    /// After an answer that came to a good end: lets go of the request, and tells whether another may come. An instance
    /// that was refused memory may be short of it for good.
    pub(crate) fn answered(&mut self) -> bool {
        self.answered += 1;
        self.store.data_mut().rest();
        self.proxy.is_some() && self.answered < MOST_REQUESTS && !self.store.data().memory.refused()
    }
}

/// What waits for its next use, and is dropped when none comes. Each thread finds what it has used itself first: what
/// another one has used is in the caches of that one's core, and an instance is some hundred lines of them.
pub(crate) struct Idle<T> {
    shelves: Box<[Shelf<T>]>,
    /// Of all shelves.
    held: AtomicUsize,
    /// Somebody drops those that wait for too long.
    swept: AtomicBool,
}

/// What some threads have used; with the moment since when it waits, the longest waiting first. In lines of its own.
#[repr(align(128))]
struct Shelf<T>(Mutex<Vec<(Instant, T)>>);

/// The number of this thread among those that have asked.
fn thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}

impl<T: Send + 'static> Idle<T> {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_shelves(std::thread::available_parallelism().map_or(1, |cores| (2 * cores.get()).min(MOST_SHELVES)))
    }

    fn with_shelves(shelves: usize) -> Arc<Self> {
        let shelves = (0..shelves).map(|_| Shelf(Mutex::new(Vec::new()))).collect();
        Arc::new(Self { shelves, held: AtomicUsize::new(0), swept: AtomicBool::new(false) })
    }

    /// A thread's shelf, and then all others.
    fn nearest(&self, thread: usize) -> impl Iterator<Item = &Shelf<T>> {
        let (before, from_own) = self.shelves.split_at(thread % self.shelves.len().max(1));
        from_own.iter().chain(before)
    }

    /// The one that was used last, nearby where there is any: its memory is the warmest.
    pub(crate) fn take(&self) -> Option<T> {
        self.take_as(thread())
    }

    fn take_as(&self, thread: usize) -> Option<T> {
        let (_, one) = self.nearest(thread).find_map(|shelf| shelf.0.lock().pop())?;
        self.held.fetch_sub(1, Ordering::AcqRel);
        Some(one)
    }

    /// Keeps one where there is room, and drops it elsewhere.
    pub(crate) fn keep(self: &Arc<Self>, one: T) {
        self.keep_as(thread(), one);
    }

    fn keep_as(self: &Arc<Self>, thread: usize, one: T) {
        let more = |held: usize| (held < MOST_IDLE as usize).then_some(held + 1);
        let (true, Some(own)) =
            (self.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok(), self.nearest(thread).next())
        else {
            return;
        };
        own.0.lock().push((Instant::now(), one));
        if !self.swept.swap(true, Ordering::SeqCst) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Drops what has waited for too long by now. Returns whether any is left.
    fn expire(&self, now: Instant) -> bool {
        let mut expired = Vec::new();
        for Shelf(shelf) in &self.shelves {
            let mut waiting = shelf.lock();
            let old = waiting.iter().take_while(|(since, _)| now.saturating_duration_since(*since) >= PATIENCE).count();
            expired.extend(waiting.drain(..old));
        }
        self.held.fetch_sub(expired.len(), Ordering::AcqRel);
        // First nobody sweeps, then it is looked whether somebody must: who keeps one in between has it swept by another.
        self.swept.store(false, Ordering::SeqCst);
        self.held.load(Ordering::SeqCst) > 0 && !self.swept.swap(true, Ordering::SeqCst)
        // What expired is dropped here: that takes longer than anybody should wait for a lock.
    }
}

async fn sweep<T: Send + 'static>(idle: Weak<Idle<T>>) {
    loop {
        tokio::time::sleep(PATIENCE).await;
        if !idle.upgrade().is_some_and(|idle| idle.expire(Instant::now())) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_used_is_taken_first_and_what_is_over_the_bound_is_dropped() {
        let idle = Idle::new();
        let kept: Vec<Arc<u32>> = (0..=MOST_IDLE).map(Arc::new).collect();
        kept.iter().for_each(|one| idle.keep(Arc::clone(one)));
        assert_eq!(idle.take().as_deref(), Some(&(MOST_IDLE - 1)));
        assert_eq!(kept.last().map(Arc::strong_count), Some(1));
    }

    #[tokio::test]
    async fn each_thread_takes_what_it_has_used_itself_and_what_others_have_where_it_has_none() {
        let idle = Idle::with_shelves(2);
        idle.keep_as(0, 1);
        idle.keep_as(1, 2);
        idle.keep_as(0, 3);
        assert_eq!([0, 0, 2, 1].map(|thread| idle.take_as(thread)), [Some(3), Some(1), Some(2), None]);
        idle.keep_as(1, 4);
        idle.keep_as(0, 5);
        assert_eq!([1, 1].map(|thread| idle.take_as(thread)), [Some(4), Some(5)]);
    }

    #[tokio::test]
    async fn what_nobody_uses_is_dropped_however_busy_the_others_are() {
        let idle = Idle::new();
        let (unused, used) = (Arc::new(1), Arc::new(2));
        idle.keep(Arc::clone(&unused));
        let between = Instant::now();
        idle.keep(Arc::clone(&used));
        assert!(idle.expire(between), "neither has waited for long");
        assert_eq!((Arc::strong_count(&unused), Arc::strong_count(&used)), (2, 2));
        assert!(idle.expire(between + PATIENCE), "one is left");
        assert_eq!((Arc::strong_count(&unused), Arc::strong_count(&used)), (1, 2));
        assert!(!idle.expire(Instant::now() + PATIENCE));
        assert_eq!(idle.take(), None);
    }
}
