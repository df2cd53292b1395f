//! Admission: a bound on the requests that components work on at once. Over it a request is refused at once,
//! since a queue would only turn overload into timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bound, and how much of it is used.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: usize,
    in_flight: AtomicUsize,
}

/// The right to have a component work on one request. It goes with the request into its store, so that the
/// place is free only when the instance is gone.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Admission>);

impl Admission {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, in_flight: AtomicUsize::new(0) })
    }

    /// A permit, or `None` at the bound.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Permit> {
        let more = |held: usize| (held < self.limit).then_some(held + 1);
        let taken = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Permit(Arc::clone(self)))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_end_at_the_bound_and_come_back_when_dropped() {
        let admission = Admission::new(2);
        let first = admission.admit().unwrap();
        let _second = admission.admit().unwrap();
        assert!(admission.admit().is_none());
        assert_eq!(admission.in_flight(), 2);
        drop(first);
        assert!(admission.admit().is_some());
        assert_eq!(admission.in_flight(), 1);
    }

    #[test]
    fn many_threads_never_pass_the_bound() {
        let admission = Admission::new(3);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let permit = admission.admit();
                        assert!(admission.in_flight() <= 3);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(admission.in_flight(), 0);
    }
}
