//! Who is between the host and a server.

use rustls::ClientConfig;
use std::fmt;
use std::sync::Arc;

/// Who could read what is said to a server, and pretend to be it.
#[derive(Clone)]
pub enum Privacy {
    /// Nobody, once the connection is secured with these certificates.
    Tls(Arc<ClientConfig>),
    /// Nobody but the machine's own: the server is at one of its loopback addresses.
    Loopback,
    /// Whoever is on the way.
    Open,
}

impl fmt::Debug for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls(_) => "Tls",
            Self::Loopback => "Loopback",
            Self::Open => "Open",
        })
    }
}
