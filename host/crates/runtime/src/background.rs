//! Threads for guests that compute for long.
//!
//! The host's threads take turns with the guests: whoever wants an answer waits for the guests that are ahead. Most
//! compute for microseconds and then wait for a model. One that computes for longer goes on here, on threads which
//! give way to every other one, those of the workers too, and which do not starve.

use bobbin_inference::{Cause, RequestContext};
use std::io;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// What a thread does first, so that the system lets others go before it.
pub type GiveWay = fn() -> io::Result<()>;

/// The threads.
pub(crate) struct Background(Option<Runtime>);

impl Background {
    /// One for each core.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn start(give_way: GiveWay) -> io::Result<Self> {
        let defer = move || {
            if let Err(error) = give_way() {
                tracing::warn!("guests that compute for long take the time of others: {error}");
            }
        };
        let mut runtime = Builder::new_multi_thread();
        runtime.thread_name("background").on_thread_start(defer).enable_all();
        Ok(Self(Some(runtime.build()?)))
    }

    /// Drives a guest's task to its end, and ends its request at its deadline: these threads may come to that late, and
    /// whoever waits for an answer waits no longer than the request may take.
    pub(crate) fn take(&self, task: impl Future<Output: Send> + Send + 'static, context: &Arc<RequestContext>) {
        let Some(runtime) = &self.0 else { return };
        let (over, context) = (runtime.spawn(task), Arc::clone(context));
        tokio::spawn(async move {
            tokio::select! {
                // However it ended, whoever asked hears of it elsewhere.
                _ended = over => {}
                () = tokio::time::sleep_until(context.deadlines.hard.into()) => context.end(Cause::DeadlineExceeded),
            }
        });
    }
}

/// Returns once the request is past its deadline; never where it ends otherwise, or not at all. Then the store is gone before
/// anybody hears of the end, which past the deadline nobody waits for.
pub(crate) async fn late(context: &RequestContext) {
    context.cancel.cancelled().await;
    if context.cause.get() != Some(&Cause::DeadlineExceeded) {
        std::future::pending::<()>().await;
    }
}

impl Drop for Background {
    /// Whoever drops it may be a task, which must not wait for threads.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
