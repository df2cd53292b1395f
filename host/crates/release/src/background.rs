//! Work that reads disks and computes digests while routes serve: on a thread of its own, which has the lowest priority
//! of the machine. A thread that has lowered its priority cannot raise it again, so it is not one of a pool.

use crate::live::Urgency;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

/// Whether anybody still waits for some work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interest(Arc<AtomicBool>);

impl Interest {
    /// Breaks off where nobody does.
    pub(crate) fn goes_on(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Ends the interest when whoever waits is dropped.
struct Waiting(Interest);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work`, out of everybody's way unless nothing serves yet. When nobody waits for it any more, it is told so, and
/// ends where it can.
pub(crate) async fn run<T: Send + 'static>(
    urgency: Urgency,
    work: impl FnOnce(&Interest) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    let waiting = Waiting(Interest::default());
    let interest = waiting.0.clone();
    let work = move || {
        if urgency == Urgency::Background
            && let Err(error) = rustix::process::nice(19)
        {
            tracing::warn!(%error, "a bundle is verified at normal priority");
        }
        // Nobody may be waiting.
        let _ = done.send(work(&interest));
    };
    let thread = std::thread::Builder::new().name("verify".into()).spawn(work);
    thread.map_err(|error| format!("there is no thread for its verification: {error}"))?;
    let result = result.await;
    drop(waiting);
    result.unwrap_or_else(|gone| Err(format!("its verification was interrupted: {gone}")))
}
