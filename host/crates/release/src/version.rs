//! A bundle version on this host: its state, and who still needs it.

use crate::live::Live;
use crate::status::{State, Status};
use arc_swap::ArcSwap;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One bundle version, shared by all releases that name it.
pub struct Version {
    bundle: Arc<str>,
    leases: AtomicUsize,
    before: ArcSwap<Status>,
    live: RwLock<Option<Arc<dyn Live>>>,
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version").field("bundle", &self.bundle).field("leases", &self.leases()).finish_non_exhaustive()
    }
}

impl Version {
    pub(crate) fn new(bundle: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            bundle,
            leases: AtomicUsize::new(0),
            before: ArcSwap::from_pointee(Status::now(State::Available, None)),
            live: RwLock::new(None),
        })
    }

    /// `name@version`.
    #[must_use]
    pub fn bundle(&self) -> &Arc<str> {
        &self.bundle
    }

    /// Requests that hold a lease on it.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.load(Ordering::Acquire)
    }

    /// Its worker, once there is one.
    #[must_use]
    pub fn live(&self) -> Option<Arc<dyn Live>> {
        self.live.read().clone()
    }

    /// Where it is. With a worker, the worker's own word counts.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.live() {
            Some(live) => live.status(),
            None => Status::clone(&self.before.load()),
        }
    }

    pub(crate) fn enter(&self, state: State, reason: Option<String>) {
        self.before.store(Arc::new(Status::now(state, reason)));
    }

    pub(crate) fn attach(&self, live: Arc<dyn Live>) {
        *self.live.write() = Some(live);
    }
}

/// Keeps a version's worker alive.
#[derive(Debug)]
pub struct Lease(Arc<Version>);

impl Lease {
    pub(crate) fn take(version: &Arc<Version>) -> Self {
        version.leases.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(version))
    }

    /// What is leased.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.0
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Self::take(&self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::AcqRel);
    }
}
