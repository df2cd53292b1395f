//! Connections that the host makes for itself, to servers that whoever runs it has named.

use super::connect::{ConnectError, secure_by, tcp};
use super::names::Lookups;
use super::tls::Trust;
use tokio::io::{AsyncRead, AsyncWrite};

/// Both ways of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DialError(ConnectError);

/// Makes connections. No grant is asked for, and no network is blocked: both are for what guests ask.
#[derive(Default)]
pub struct Dialer {
    trust: Trust,
    lookups: Lookups,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl Dialer {
    /// Connects to a server, and secures the connection if it shall be, with the certificates that this machine trusts.
    ///
    /// # Errors
    /// [`DialError`]
    pub async fn dial(&self, host: &str, port: u16, encrypted: bool) -> Result<Box<dyn Duplex>, DialError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let resolved = self.lookups.addresses(host, port).await.map_err(DialError)?;
        let stream = tcp(&resolved).await.map_err(DialError)?;
        if !encrypted {
            return Ok(Box::new(stream));
        }
        let stream = secure_by(self.trust.other().await, host, stream).await.map_err(DialError)?;
        Ok(Box::new(stream))
    }
}
