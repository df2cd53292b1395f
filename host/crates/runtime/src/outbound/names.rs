//! The addresses of names. The system looks them up in a thread that blocks, and goes on when nobody waits any more: so
//! each component may keep some of these threads, and no more.

use super::connect::ConnectError;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Names that one component has looked up at once. Files, stores and databases need threads of the same kind.
const LOOKUPS: usize = 16;

/// The lookups of one component. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Lookups {
    /// The addresses of a host, which is an address itself or a name.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = host.to_owned();
        self.run(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
    }

    /// Whoever gives up waiting for a place has looked nothing up; whoever gives up later keeps the place until the system
    /// has answered.
    async fn run(
        &self,
        look_up: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let unresolved = |why: &dyn std::fmt::Display| ConnectError::Unresolved(why.to_string());
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|closed| unresolved(&closed))?;
        let looked_up = tokio::task::spawn_blocking(move || {
            let _place = place;
            look_up()
        });
        let found = looked_up.await.map_err(|lost| unresolved(&lost))?.map_err(|error| unresolved(&error))?;
        if found.is_empty() { Err(unresolved(&"it has no address")) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, mpsc};
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn who_gives_up_again_and_again_leaves_no_more_threads_behind_than_there_may_be() {
        let (lookups, begun) = (Lookups::default(), Arc::new(AtomicUsize::new(0)));
        // A server of names that does not answer until this end is dropped.
        let (answers, silence) = mpsc::channel::<()>();
        let silence = Arc::new(Mutex::new(silence));
        for _ in 0..4 * LOOKUPS {
            let (begun, silence) = (Arc::clone(&begun), Arc::clone(&silence));
            let slow = lookups.run(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = silence.lock().unwrap().recv();
                Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 1))])
            });
            assert!(
                timeout(Duration::from_millis(1), slow).await.is_err(),
                "nobody answered, and yet it has an address"
            );
        }
        assert!(begun.load(Ordering::SeqCst) <= LOOKUPS, "{} look names up", begun.load(Ordering::SeqCst));
        // Others are not concerned, and addresses need no lookup.
        assert!(Lookups::default().addresses("localhost", 1).await.is_ok());
        assert!(lookups.addresses("::1", 1).await.is_ok());
        drop(answers);
        assert!(lookups.addresses("localhost", 1).await.is_ok(), "the places were not given back");
    }
}
