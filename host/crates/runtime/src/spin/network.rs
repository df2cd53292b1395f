//! What every interface for a server elsewhere needs: a connection that is granted, counted and made in time.

use super::Spin;
use crate::outbound::{ConnectError, Exit, Target};
use bobbin_inference::{Charge, OverAccount, RequestContext};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

/// Connections that one instance may have open, to all kinds of servers: each is an open file of the host's process.
pub(super) const CONNECTIONS: usize = 128;
/// What a connection costs the host besides what is sent on it.
const CONNECTION_BYTES: u64 = 64 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWay {
    #[error("address {0} is not permitted")]
    NotPermitted(String),
    #[error("too many connections are open; {CONNECTIONS} are possible")]
    TooMany,
    #[error(transparent)]
    Full(#[from] OverAccount),
    #[error("{}", shown(.0))]
    Unconnected(#[from] ConnectError),
    #[error(transparent)]
    TimeOver(#[from] TimeOver),
}

/// Nobody waits for it any more.
#[derive(Debug, thiserror::Error)]
#[error("the request's time is over")]
pub(super) struct TimeOver;

/// The addresses of this host's networks are nobody's business.
fn shown(error: &ConnectError) -> String {
    match error {
        ConnectError::Blocked(_) | ConnectError::Admin(_) => "the address is blocked".into(),
        other => other.to_string(),
    }
}

/// What is needed outside of wasmtime's store to connect for a guest.
#[derive(Clone)]
pub(super) struct Way {
    exit: Arc<Exit>,
    places: Arc<Semaphore>,
    pub(super) context: Arc<RequestContext>,
}

/// The right to have a connection open.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _charge: Charge,
}

impl Spin {
    pub(super) fn way(&self) -> Way {
        let (exit, places) = (Arc::clone(&self.exit), Arc::clone(&self.places));
        Way { exit, places, context: Arc::clone(&self.context) }
    }
}

impl Way {
    /// The server, if the component is granted it.
    pub(super) fn check(&self, scheme: &str, host: &str, port: u16) -> Result<Target, NoWay> {
        self.exit.check(scheme, (host, port), &self.context).map_err(NoWay::NotPermitted)
    }

    pub(super) fn place(&self) -> Result<Place, NoWay> {
        let permit = Arc::clone(&self.places).try_acquire_owned().or(Err(NoWay::TooMany))?;
        let charge = self.context.account.charge(CONNECTION_BYTES)?;
        Ok(Place { _permit: permit, _charge: charge })
    }

    pub(super) async fn connect(&self, target: &Target) -> Result<TcpStream, NoWay> {
        self.told(target, self.exit.connect(target).await)
    }

    pub(super) async fn secure<S>(&self, target: &Target, stream: S) -> Result<TlsStream<S>, NoWay>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.told(target, self.exit.secure(target, stream).await)
    }

    /// What secures a connection later.
    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        self.exit.tls().await
    }

    /// The same for a connection to PostgreSQL. These authorities are trusted besides those that this machine trusts.
    pub(super) async fn postgres_tls(
        &self,
        more: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<ClientConfig>, ConnectError> {
        self.exit.postgres_tls(more).await
    }

    fn told<T>(&self, target: &Target, connected: Result<T, ConnectError>) -> Result<T, NoWay> {
        Ok(connected.inspect_err(|error| self.exit.failed(target, error))?)
    }
}

/// Waits at most until the request's time is over.
pub(super) async fn in_time<T, E: From<TimeOver>>(
    context: &RequestContext,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout_at(Instant::from_std(context.deadlines.soft), work).await {
        Ok(done) => done,
        Err(_elapsed) => Err(TimeOver.into()),
    }
}
