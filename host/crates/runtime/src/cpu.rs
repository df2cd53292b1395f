//! A guest's CPU budget.
//!
//! Epochs only make a busy guest yield. What counts is the time that a thread really spent on the guest: a guest
//! that waits for its model is slow but honest, and waiting costs nothing here; wall time belongs to the deadlines.
//! Asking for a thread's own time is a system call. So a guest is charged by the clock while its turns are short, and
//! by its thread's own time once one was long.

use crate::state::State;
use bobbin_inference::{CpuBudget, thread_time};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wasmtime::Store;

/// Guests yield at every epoch, so this bounds how long one of them holds a thread.
pub(crate) const EPOCH: Duration = Duration::from_millis(2);

/// Hardly any turn so short loses its core meanwhile, and none loses more than this.
const SHORT: Duration = Duration::from_micros(200);

/// Makes the guest yield at each epoch.
pub(crate) fn yield_at_epochs(store: &mut Store<State>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
}

/// The guest ran for longer than its budget, or had the host work for longer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CpuBudgetExceeded;

/// Tells how much CPU time a future's polls use.
#[derive(Default)]
struct Meter {
    /// The last poll was long.
    long: bool,
}

impl Meter {
    /// Polls, and says what it took.
    fn poll<F: Future + ?Sized>(&mut self, future: Pin<&mut F>, cx: &mut Context<'_>) -> (Poll<F::Output>, Duration) {
        // A poll stays on its thread, and ends at the latest with the next epoch.
        let own = self.long.then(thread_time);
        let begun = Instant::now();
        let poll = future.poll(cx);
        let took = begun.elapsed();
        self.long = took >= SHORT;
        let used = own.map_or(took, |before| thread_time().saturating_sub(before));
        (poll, used)
    }
}

/// A future whose polls may use so much CPU time together, besides what the host spends on it elsewhere.
pub(crate) struct Budgeted<F> {
    inner: F,
    budget: Arc<CpuBudget>,
    meter: Meter,
}

impl<F: Future + Unpin> Budgeted<F> {
    pub(crate) fn new(inner: F, budget: Arc<CpuBudget>) -> Self {
        Self { inner, budget, meter: Meter::default() }
    }
}

impl<F: Future + Unpin> Future for Budgeted<F> {
    type Output = Result<F::Output, CpuBudgetExceeded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Whoever had the host spend it does not go on.
        if this.budget.is_over() {
            return Poll::Ready(Err(CpuBudgetExceeded));
        }
        let (poll, used) = this.meter.poll(Pin::new(&mut this.inner), cx);
        this.budget.compute(used);
        match poll {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if this.budget.is_over() => Poll::Ready(Err(CpuBudgetExceeded)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What a guest may compute at once, and in the long run by the time that passes, before it is one that computes for
/// long: one that answers with a model's tokens needs a hundredth of this.
const AT_ONCE: Duration = Duration::from_millis(1);
const SHARE: u32 = 4;

/// A future that is not driven any further here once its guest has computed for long: then what is left of it comes out as
/// the error. Within it a [`Budgeted`] counts what the guest computes.
pub(crate) struct Brief<F> {
    inner: Option<Pin<Box<F>>>,
    budget: Arc<CpuBudget>,
    since: Instant,
}

impl<F: Future> Brief<F> {
    pub(crate) fn new(inner: F, budget: Arc<CpuBudget>) -> Self {
        Self { inner: Some(Box::pin(inner)), budget, since: Instant::now() }
    }

    fn is_long(&self) -> bool {
        let computed = self.budget.computed();
        computed > AT_ONCE && computed > AT_ONCE + self.since.elapsed() / SHARE
    }
}

impl<F: Future> Future for Brief<F> {
    type Output = Result<F::Output, Pin<Box<F>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = &mut self.inner else { return Poll::Pending };
        match inner.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.is_long() => match self.inner.take() {
                Some(rest) => Poll::Ready(Err(rest)),
                None => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn budget(milliseconds: u64) -> Arc<CpuBudget> {
        Arc::new(CpuBudget::new(Duration::from_millis(milliseconds)))
    }

    #[tokio::test]
    async fn what_the_host_spends_for_a_guest_counts_and_the_guest_does_not_go_on() {
        let budget = budget(50);
        let (spent, went_on) = (Arc::clone(&budget), std::cell::Cell::new(false));
        let guest = async {
            tokio::task::yield_now().await;
            spent.spend(Duration::from_millis(60));
            tokio::task::yield_now().await;
            went_on.set(true);
        };
        assert_eq!(Budgeted::new(pin!(guest), budget).await, Err(CpuBudgetExceeded));
        assert!(!went_on.get());
    }

    #[tokio::test]
    async fn waiting_costs_nothing() {
        let wait = tokio::time::sleep(Duration::from_millis(200));
        assert_eq!(Budgeted::new(pin!(wait), budget(50)).await, Ok(()));
    }

    async fn work(turns: u32) -> u32 {
        for _ in 0..turns {
            let end = thread_time() + Duration::from_millis(2);
            while thread_time() < end {}
            tokio::task::yield_now().await;
        }
        turns
    }

    #[tokio::test]
    async fn work_is_counted_over_all_polls() {
        assert_eq!(Budgeted::new(pin!(work(u32::MAX)), budget(20)).await, Err(CpuBudgetExceeded));
    }

    fn brief<F: Future>(guest: F) -> Brief<impl Future<Output = Result<F::Output, CpuBudgetExceeded>>> {
        let budget = budget(60_000);
        Brief::new(Budgeted::new(Box::pin(guest), Arc::clone(&budget)), budget)
    }

    #[tokio::test]
    async fn what_computes_for_long_is_given_back_and_goes_on_elsewhere() {
        let Err(rest) = brief(work(20)).await else { panic!("it took 40 ms of processor time in one go") };
        assert_eq!(rest.await, Ok(20));
    }

    #[tokio::test]
    async fn what_waits_or_computes_little_stays() {
        let wait = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            work(1).await
        };
        assert_eq!(brief(wait).await.ok(), Some(Ok(1)));
    }
}
