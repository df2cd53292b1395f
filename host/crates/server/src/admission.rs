//! Admission: a bound on the requests and messages that components work on at once. Over it a request is refused at
//! once, since a queue would only turn overload into timeouts; a message waits where it was published.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The bound, and how much of it is used.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: usize,
    in_flight: AtomicUsize,
    /// Tells one who waits that a place has become free.
    freed: Notify,
}

/// The right to have a component work on one request. It goes with the request into its store, so that the
/// place is free only when the instance is gone.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Admission>);

impl Admission {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, in_flight: AtomicUsize::new(0), freed: Notify::new() })
    }

    /// A permit, or `None` at the bound.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Permit> {
        self.admit_leaving(0)
    }

    /// A permit once there is one, and `left` others besides.
    pub(crate) async fn place(self: &Arc<Self>, left: usize) -> Permit {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.admit_leaving(left) {
                return permit;
            }
            freed.await;
        }
    }

    fn admit_leaving(self: &Arc<Self>, left: usize) -> Option<Permit> {
        let more = |held: usize| (held + left < self.limit).then_some(held + 1);
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
        self.0.freed.notify_one();
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

    #[tokio::test]
    async fn who_waits_gets_a_place_that_becomes_free_and_leaves_some_to_others() {
        let admission = Admission::new(4);
        let mut held: Vec<_> = (0..4).filter_map(|_| admission.admit()).collect();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let admission = Arc::clone(&admission);
                tokio::spawn(async move { admission.place(1).await })
            })
            .collect();
        tokio::task::yield_now().await;
        held.pop();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|one| !one.is_finished()), "the last place is for others");
        held.clear();
        let mut placed = Vec::new();
        for one in waiting {
            placed.push(one.await.unwrap());
        }
        assert_eq!(admission.in_flight(), 2);
        placed.push(admission.place(1).await);
        assert!(futures::FutureExt::now_or_never(admission.place(1)).is_none());
        assert!(admission.admit().is_some());
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
