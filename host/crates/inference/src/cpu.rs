//! The processor time that one guest may use, wherever it is spent: by the guest itself, or by the host on what the guest
//! asked for.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is left of a guest's processor time. Several threads may spend it at once.
#[derive(Debug)]
pub struct CpuBudget {
    /// In nanoseconds.
    left: AtomicU64,
    /// What the guest itself has spent, in nanoseconds.
    computed: AtomicU64,
}

impl CpuBudget {
    /// So much, and nothing spent yet.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        Self { left: AtomicU64::new(nanos(budget)), computed: AtomicU64::new(0) }
    }

    /// Takes what the guest itself has spent.
    pub fn compute(&self, used: Duration) {
        self.computed.fetch_add(nanos(used), Ordering::Relaxed);
        self.spend(used);
    }

    /// What the guest itself has spent so far.
    #[must_use]
    pub fn computed(&self) -> Duration {
        Duration::from_nanos(self.computed.load(Ordering::Relaxed))
    }

    /// Takes what was spent; what is more than was left makes no debt.
    pub fn spend(&self, used: Duration) {
        let used = nanos(used);
        let less = |left: u64| Some(left.saturating_sub(used));
        // It cannot fail: there is always a next value.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// What is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        Duration::from_nanos(self.left.load(Ordering::Relaxed))
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The processor time of the thread that asks, since it began.
#[must_use]
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_gone_and_more_than_all_is_all() {
        let budget = CpuBudget::new(Duration::from_millis(10));
        budget.spend(Duration::from_millis(4));
        assert_eq!((budget.left(), budget.is_over()), (Duration::from_millis(6), false));
        assert_eq!(budget.computed(), Duration::ZERO);
        budget.compute(Duration::from_secs(1));
        assert!(budget.is_over());
        assert_eq!(budget.computed(), Duration::from_secs(1));
        assert!(!CpuBudget::new(Duration::MAX).is_over());
    }

    #[test]
    fn a_thread_that_waits_spends_nothing() {
        let before = thread_time();
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_time() - before < Duration::from_millis(40));
    }
}
