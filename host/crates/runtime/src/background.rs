//! Threads for guests that compute for long.
//!
//! The host's threads take turns with the guests: whoever wants an answer waits for the guests that are ahead. Most
//! compute for microseconds and then wait for a model. One that computes for longer goes on here, on threads to which
//! Linux prefers every other one, those of the workers too. It has all processor time that nobody else wants, and
//! some tenth of a core where all want more than there is, so it neither delays its neighbours nor starves.

use std::io;
use tokio::runtime::{Builder, Runtime};

/// A tenth of the weight of others. A thread may always become less important.
const NICE: i32 = 10;

/// The threads.
pub(crate) struct Background(Option<Runtime>);

impl Background {
    /// One for each core.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let defer = || {
            // For a process, and the caller itself, is on Linux for the calling thread.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::warn!("guests that compute for long take the time of others: setpriority({NICE}): {error}");
            }
        };
        let mut runtime = Builder::new_multi_thread();
        runtime.thread_name("background").on_thread_start(defer).enable_all();
        Ok(Self(Some(runtime.build()?)))
    }

    /// Drives a guest's task to its end.
    pub(crate) fn take(&self, task: impl Future<Output: Send> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
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
