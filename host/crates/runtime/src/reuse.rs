//! Instances that answer one request after another, for components that ask for it.

use crate::state::State;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime_wasi_http::handler::Proxy;

/// Instances of one component that wait for a request.
pub(crate) const MOST_IDLE: u32 = 64;
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

/// What waits for its next use, and is dropped when none comes.
pub(crate) struct Idle<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    /// With the moment since when; the longest waiting first.
    all: Vec<(Instant, T)>,
    /// Somebody drops those that wait for too long.
    swept: bool,
}

impl<T: Send + 'static> Idle<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Waiting { all: Vec::new(), swept: false })))
    }

    /// The one that was used last: its memory is the warmest.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().all.pop().map(|(_, one)| one)
    }

    /// Keeps one where there is room, and drops it elsewhere.
    pub(crate) fn keep(self: &Arc<Self>, one: T) {
        let mut waiting = self.0.lock();
        if waiting.all.len() >= MOST_IDLE as usize {
            return;
        }
        waiting.all.push((Instant::now(), one));
        if !std::mem::replace(&mut waiting.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Drops what has waited for too long by now. Returns whether any is left.
    fn expire(&self, now: Instant) -> bool {
        let mut waiting = self.0.lock();
        let old = waiting.all.iter().take_while(|(since, _)| now - *since >= PATIENCE).count();
        let expired: Vec<_> = waiting.all.drain(..old).collect();
        waiting.swept = !waiting.all.is_empty();
        let left = waiting.swept;
        // Dropping a store takes longer than anybody should wait for the lock.
        drop(waiting);
        drop(expired);
        left
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
