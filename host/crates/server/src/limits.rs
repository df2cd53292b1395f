//! The bounds that the server keeps.

use std::time::Duration;

/// Everything that the server bounds. The defaults suit a small node; for what a manifest may declare they are
/// those of the manifest.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests that components work on at once; never more than the pool of instances. Over it: 503.
    pub max_in_flight: usize,
    /// Calls between components at once, of all requests; never more than the pool has instances besides.
    pub calls: usize,
    /// Open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Bytes of a request's body. Over it: 413.
    pub body_bytes: u64,
    /// Bytes of a request's header names and values together. Over it: 431.
    pub header_bytes: usize,
    /// Bytes of a request's target. Over it: 414.
    pub target_bytes: usize,
    /// How long a client may take to send the head of a request, the first or the next one; and how long nothing may come of
    /// a body that is not answered yet. Over that: 408.
    pub header_timeout: Duration,
    /// From here on a compute answers `timeout`: the soft deadline, counted from admission.
    pub request_timeout: Duration,
    /// From the soft deadline to the hard one, where the component is ended.
    pub timeout_grace: Duration,
    /// Bytes that the host holds for one request.
    pub account_bytes: u64,
    /// How long requests in flight may go on once the host stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            calls: 64,
            max_connections: 1024,
            body_bytes: 1 << 20,
            header_bytes: 32 << 10,
            target_bytes: 8 << 10,
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            timeout_grace: Duration::from_secs(5),
            account_bytes: 64 << 20,
            drain: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_a_manifest_that_says_nothing() {
        let (ours, manifest) = (Limits::default(), bobbin_manifest::Limits::default());
        assert_eq!(ours.max_in_flight, manifest.max_in_flight as usize);
        assert_eq!((ours.request_timeout, ours.timeout_grace), (manifest.request, manifest.grace));
        assert_eq!((ours.body_bytes, ours.account_bytes), (manifest.body_bytes, manifest.account_bytes));
        assert_eq!(ours.drain, manifest.drain);
    }
}
