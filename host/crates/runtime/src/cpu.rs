//! A guest's CPU budget.
//!
//! Epochs only make a busy guest yield. What counts is the time that a thread really spent on the guest: a guest
//! that waits for its model is slow but honest, and waiting costs nothing here; wall time belongs to the deadlines.
//! Asking for a thread's own time is a system call. So a guest is charged by the clock while its turns are short, and
//! by its thread's own time once one was long.

use crate::state::State;
use rustix::time::{ClockId, clock_gettime};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wasmtime::Store;

/// Guests yield at every epoch, so this bounds how long one of them holds a thread.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// Hardly any turn so short loses its core meanwhile, and none loses more than this.
const SHORT: Duration = Duration::from_micros(200);

/// Makes the guest yield at each epoch.
pub(crate) fn yield_at_epochs(store: &mut Store<State>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
}

/// The guest ran for longer than its budget.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CpuBudgetExceeded;

/// A future whose polls may use so much CPU time together.
pub(crate) struct Budgeted<F> {
    inner: Pin<Box<F>>,
    left: Duration,
    /// The last poll was long.
    long: bool,
}

impl<F: Future> Budgeted<F> {
    pub(crate) fn new(inner: F, budget: Duration) -> Self {
        Self { inner: Box::pin(inner), left: budget, long: false }
    }
}

impl<F: Future> Future for Budgeted<F> {
    type Output = Result<F::Output, CpuBudgetExceeded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A poll stays on its thread, and ends at the latest with the next epoch.
        let own = self.long.then(thread_time);
        let begun = Instant::now();
        let poll = self.inner.as_mut().poll(cx);
        let took = begun.elapsed();
        self.long = took >= SHORT;
        let used = own.map_or(took, |before| thread_time().saturating_sub(before));
        self.left = self.left.saturating_sub(used);
        match poll {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.left.is_zero() => Poll::Ready(Err(CpuBudgetExceeded)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_costs_nothing() {
        let wait = tokio::time::sleep(Duration::from_millis(200));
        assert_eq!(Budgeted::new(wait, Duration::from_millis(50)).await, Ok(()));
    }

    #[tokio::test]
    async fn work_is_counted_over_all_polls() {
        let work = async {
            loop {
                let end = thread_time() + Duration::from_millis(2);
                while thread_time() < end {}
                tokio::task::yield_now().await;
            }
        };
        let end: Result<(), _> = Budgeted::new(work, Duration::from_millis(20)).await;
        assert_eq!(end, Err(CpuBudgetExceeded));
    }
}
