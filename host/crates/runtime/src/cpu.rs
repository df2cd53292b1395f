//! A guest's CPU budget, in epochs. An epoch only yields; wall time belongs to the deadlines, since a guest
//! that waits for its model is slow but honest.

use crate::state::State;
use std::time::Duration;
use wasmtime::{Store, UpdateDeadline};

/// Guests yield at every epoch, so this bounds how long one of them holds a thread.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// The guest ran for longer than its budget.
#[derive(Debug, thiserror::Error)]
#[error("the component ran for more than {} s of CPU time", .0.as_secs_f32())]
pub(crate) struct CpuBudgetExceeded(Duration);

/// Makes the guest yield at each epoch, and trap when it has seen more of them than its budget has.
pub(crate) fn limit(store: &mut Store<State>, budget: Duration) {
    let epochs = budget.as_millis() / EPOCH.as_millis();
    let mut seen: u128 = 0;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_store| {
        seen += 1;
        if seen > epochs {
            return Err(CpuBudgetExceeded(budget).into());
        }
        Ok(UpdateDeadline::Yield(1))
    });
}
