//! Work that reads disks and computes digests while routes serve: on a thread of its own, which has the lowest priority
//! of the machine. A thread that has lowered its priority cannot raise it again, so it is not one of a pool.

use crate::live::Urgency;
use tokio::sync::oneshot;

/// Runs `work`, out of everybody's way unless nothing serves yet. It goes on to its end when nobody waits any more.
pub(crate) async fn run<T: Send + 'static>(
    urgency: Urgency,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (done, result) = oneshot::channel();
    let work = move || {
        if urgency == Urgency::Background
            && let Err(error) = rustix::process::nice(19)
        {
            tracing::warn!(%error, "a bundle is verified at normal priority");
        }
        // Nobody may be waiting.
        let _ = done.send(work());
    };
    let thread = std::thread::Builder::new().name("verify".into()).spawn(work);
    thread.map_err(|error| format!("there is no thread for its verification: {error}"))?;
    result.await.unwrap_or_else(|gone| Err(format!("its verification was interrupted: {gone}")))
}
