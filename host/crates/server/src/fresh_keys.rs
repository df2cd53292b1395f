//! The keys as their file has them at the moment when somebody asks.
//!
//! Whether the file is another one is seen by its number and its times, which the kernel has in memory; that one look is
//! all that nearly every request does, and no lock is taken for it. Only a look keeps what `bobbin key revoke` promises: the
//! file may lie on another machine's disk, or be changed by hand, and no watcher tells of that before the next request. Once
//! it is another one, it is read where that may take time, once for all who ask meanwhile.

use bobbin_keys::Keys;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Keys, and who reads them anew.
#[derive(Debug)]
pub(crate) struct FreshKeys {
    keys: Arc<Keys>,
    /// Held by the one who has them read.
    reading: Mutex<()>,
}

impl FreshKeys {
    pub(crate) fn new(keys: Arc<Keys>) -> Arc<Self> {
        Arc::new(Self { keys, reading: Mutex::default() })
    }

    /// The keys as they were last read, for what does not depend on the last change.
    pub(crate) fn last(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// The keys as the file has them now.
    pub(crate) async fn now(&self) -> &Keys {
        if !self.keys.is_current() {
            let _one = self.reading.lock().await;
            if !self.keys.is_current() {
                let keys = Arc::clone(&self.keys);
                if let Err(lost) = tokio::task::spawn_blocking(move || keys.refresh()).await {
                    tracing::error!(%lost, "the keys could not be read; they stay as they were");
                }
            }
        }
        &self.keys
    }
}
