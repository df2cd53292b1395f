//! Who computes with how many threads.
//!
//! Workers that together run more compute threads than there are cores spin against each other and lose
//! most of their speed, so the host divides the cores among the workers that are alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The cores that compute, divided among live workers.
#[derive(Debug, Clone)]
pub struct CpuBudget {
    cores: u32,
    live: Arc<AtomicU32>,
}

/// One live worker's part in a [`CpuBudget`]; dropping it leaves its part to the others.
#[derive(Debug)]
pub struct CpuShare {
    budget: CpuBudget,
}

impl CpuBudget {
    /// A budget of so many cores; 0 counts as 1.
    #[must_use]
    pub fn new(cores: u32) -> Self {
        Self { cores: cores.max(1), live: Arc::default() }
    }

    /// Counts one more live worker.
    #[must_use]
    pub fn join(&self) -> CpuShare {
        self.live.fetch_add(1, Ordering::AcqRel);
        CpuShare { budget: self.clone() }
    }

    /// Workers that share the budget now.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.live.load(Ordering::Acquire)
    }
}

impl CpuShare {
    /// Compute threads for a process started now. A running process keeps what it was started with.
    #[must_use]
    pub fn threads(&self) -> u32 {
        threads(self.budget.cores, self.budget.live())
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        self.budget.live.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An even part of the cores, and never none.
fn threads(cores: u32, live: u32) -> u32 {
    (cores / live.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_divided_evenly_and_everybody_gets_one() {
        for (cores, live, expected) in [(8, 0, 8), (8, 1, 8), (8, 3, 2), (2, 2, 1), (2, 5, 1), (0, 1, 1)] {
            assert_eq!(threads(cores, live), expected, "{cores} cores, {live} workers");
        }
    }

    #[test]
    fn a_worker_that_leaves_makes_room_for_the_next() {
        let budget = CpuBudget::new(4);
        let first = budget.join();
        assert_eq!(first.threads(), 4);
        let second = budget.join();
        assert_eq!(second.threads(), 2);
        drop(first);
        assert_eq!(second.threads(), 4);
    }
}
