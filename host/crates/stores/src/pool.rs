//! A few connections to one SQLite file, used from threads that may block.

use parking_lot::Mutex;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The host is stopping, and its threads with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopping;

/// Connections that wait for work. Whoever has none waits for one without holding a thread.
pub(crate) struct Pool {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(connections: Vec<Connection>) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Arc::new(Self { idle: Mutex::new(connections), permits })
    }

    /// Works with a connection. Work that began goes on to its end, also when nobody waits for it any more.
    ///
    /// # Errors
    /// When the host is stopping.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Stopping> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.or(Err(Stopping))?;
        let pool = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let connection = pool.idle.lock().pop();
            let answer = connection.map(|mut connection| {
                let answer = work(&mut connection);
                pool.idle.lock().push(connection);
                answer
            });
            // After the connection is back: whoever gets the permit finds it.
            drop(permit);
            answer
        });
        done.await.ok().flatten().ok_or(Stopping)
    }
}
