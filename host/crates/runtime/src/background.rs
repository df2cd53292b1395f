//! Threads for guests that compute for long.
//!
//! The host's threads take turns with the guests: whoever wants an answer waits for the guests that are ahead. Most
//! compute for microseconds and then wait for a model. One that computes for longer goes on here, on threads which
//! give way to every other one, those of the workers too, and which do not starve.

use bobbin_inference::{Cause, RequestContext};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::runtime::{Builder, Handle, Runtime};

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
    /// whoever waits for an answer waits no longer than the request may take. Called on the host's threads, which do
    /// what the task starts.
    pub(crate) fn take(&self, task: impl Future<Output: Send> + Send + 'static, context: &Arc<RequestContext>) {
        let Some(runtime) = &self.0 else { return };
        let host = Handle::current();
        let over = runtime.spawn(Guest { task: Some(Box::pin(task)), host: host.clone() });
        let context = Arc::clone(context);
        host.spawn(async move {
            tokio::select! {
                // However it ended, whoever asked hears of it elsewhere.
                _ended = over => {}
                () = tokio::time::sleep_until(context.deadlines.hard.into()) => context.end(Cause::DeadlineExceeded),
            }
        });
    }
}

/// A task that is polled on these threads. Whatever it starts belongs to the host: tasks, connections that others use too,
/// timers and sockets must not wait for threads that everybody goes before. It must not block in place: tokio would go on
/// with the host's handle and these threads' tasks.
struct Guest<F> {
    /// `None` only while it is dropped.
    task: Option<Pin<Box<F>>>,
    host: Handle,
}

impl<F: Future> Future for Guest<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let _host = this.host.enter();
        match &mut this.task {
            Some(task) => task.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Guest<F> {
    fn drop(&mut self) {
        let _host = self.host.enter();
        self.task = None;
    }
}

/// Returns once the request is past its deadline, and never where it ends otherwise: then the store is gone before anybody
/// hears of the end. Past the deadline nobody waits for that.
pub(crate) async fn late(context: &RequestContext) {
    context.cancel.cancelled().await;
    // A call within a request ends with it, and then has no cause of its own.
    let is_late = context.cause.get() == Some(&Cause::DeadlineExceeded) || Instant::now() >= context.deadlines.hard;
    if !is_late {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bobbin_inference::Deadlines;
    use std::time::Duration;
    use tokio::sync::oneshot;

    /// Of a request that has a minute.
    pub(crate) fn context() -> Arc<RequestContext> {
        Arc::new(RequestContext::new(
            "test".into(),
            Deadlines::after(Duration::from_secs(60), Duration::from_secs(1)),
            1 << 20,
        ))
    }

    fn thread() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_a_guest_of_these_threads_starts_is_done_by_the_threads_of_the_host() {
        let background = Background::start(|| Ok(())).unwrap();
        let (told_tx, told) = oneshot::channel();
        let guest = async move {
            let own = thread();
            let host = tokio::spawn(async { thread() }).await.unwrap();
            let blocking = tokio::task::spawn_blocking(thread).await.unwrap();
            told_tx.send((own, host, blocking)).unwrap();
        };
        background.take(guest, &context());
        let (own, host, blocking) = told.await.unwrap();
        assert_eq!(own.as_deref(), Some("background"));
        assert_ne!(host, own);
        assert_ne!(blocking, own);
    }
}
