//! One connection to another host: resolved, checked, connected, and secured where the scheme says so.

use super::client_tls::ClientTls;
use super::config::DEFAULT_TIMEOUT;
use super::names::Lookups;
use super::networks::{Blocked, arrives};
use super::tls::{self, Trust};
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use wasmtime_wasi_http::Error as HttpError;

tokio::task_local! {
    /// For whom a connection is made. The client asks its connector without a word about the request that is being sent.
    pub(super) static ASKING: Asking;
}

/// Who needs a connection.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    /// Until when it must be there.
    pub(super) by: Instant,
    /// The component's.
    pub(super) lookups: Lookups,
}

/// Connections to all hosts together that are kept for the next request. Each is an open file of the host's process, and a
/// component that may ask any host can make as many as there are hosts.
pub(super) const KEPT: usize = 512;

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the target names no host")]
    NoHost,
    #[error("the host's name could not be resolved: {0}")]
    Unresolved(String),
    #[error("the addresses {0:?} are blocked by block_networks")]
    Blocked(Vec<SocketAddr>),
    #[error("the address {0} is the host's own admin listener")]
    Admin(SocketAddr),
    #[error("no connection in time")]
    Timeout,
    #[error("the connection was refused: {0}")]
    Refused(String),
    #[error("no certificate can hold the host's name: {0}")]
    Name(String),
    #[error("TLS failed: {0}")]
    Tls(String),
}

impl ConnectError {
    /// Whether it is for whoever runs the host to know, and not for the guest alone.
    pub(crate) fn concerns_the_host(&self) -> bool {
        match self {
            Self::Blocked(_) | Self::Admin(_) | Self::Tls(_) => true,
            Self::NoHost | Self::Unresolved(_) | Self::Timeout | Self::Refused(_) | Self::Name(_) => false,
        }
    }

    /// What the guest gets: what Spin gives.
    pub(super) fn to_wasi(&self) -> HttpError {
        let dns = |why: &str| HttpError::DnsError { rcode: Some(why.to_owned()), info_code: Some(0) };
        match self {
            Self::NoHost => HttpError::HttpRequestUriInvalid,
            Self::Unresolved(_) => dns("address not available"),
            Self::Name(_) => dns("invalid dns name"),
            Self::Blocked(_) | Self::Admin(_) => HttpError::DestinationIpProhibited,
            Self::Timeout => HttpError::ConnectionTimeout,
            Self::Refused(_) => HttpError::ConnectionRefused,
            Self::Tls(_) => HttpError::TlsProtocolError,
        }
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    shared: Arc<Shared>,
    /// How HTTP is secured, where that is told for a component and a host.
    own: Option<ClientTls>,
}

/// What holds for all connections.
struct Shared {
    blocked: Blocked,
    /// Where this host's own admin API listens, once it does.
    admin: OnceLock<SocketAddr>,
    connections: Option<Arc<Semaphore>>,
    kept: Arc<Semaphore>,
    trust: Trust,
}

impl Connector {
    pub(super) fn new(blocked: Blocked, max_connections: Option<usize>) -> Self {
        let connections = max_connections.map(|most| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))));
        let kept = Arc::new(Semaphore::new(KEPT));
        let shared = Shared { blocked, admin: OnceLock::new(), connections, kept, trust: Trust::default() };
        Self { shared: Arc::new(shared), own: None }
    }

    /// The same, but HTTP is secured in this way.
    pub(super) fn secured_by(&self, tls: &ClientTls) -> Self {
        Self { shared: Arc::clone(&self.shared), own: Some(tls.clone()) }
    }

    /// Keeps guests from the host's admin listener, whose users need no token on this machine.
    pub(super) fn keep_from(&self, admin: SocketAddr) {
        // There is one for as long as the host runs.
        let _ = self.shared.admin.set(admin);
    }

    /// A connection that speaks no HTTP. `host` is an address, or a name that was checked.
    pub(super) async fn tcp(&self, host: &str, port: u16, lookups: &Lookups) -> Result<TcpStream, ConnectError> {
        tcp(&self.shared.resolve(host, port, lookups).await?).await
    }

    /// The same, secured; but what the host reads of it first goes through `stream`.
    pub(super) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<TlsStream<S>, ConnectError> {
        secure_by(self.tls().await, host, stream).await
    }

    /// The client's side of TLS for whoever secures a connection later.
    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        self.shared.trust.other().await
    }

    /// The same for PostgreSQL. These authorities are trusted besides.
    pub(super) async fn postgres_tls(&self, more: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
        if more.is_empty() { self.shared.trust.postgres().await } else { tls::with(more).await }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connector = self.clone();
        let asking = ASKING
            .try_with(Asking::clone)
            .unwrap_or_else(|_outside| Asking { by: Instant::now() + DEFAULT_TIMEOUT, lookups: Lookups::default() });
        Box::pin(async move {
            match timeout_at(asking.by, connector.connect(&target, &asking.lookups)).await {
                Ok(connected) => connected,
                Err(_elapsed) => Err(ConnectError::Timeout),
            }
        })
    }
}

impl Connector {
    async fn connect(&self, target: &Uri, lookups: &Lookups) -> Result<Stream, ConnectError> {
        let secure = target.scheme() == Some(&Scheme::HTTPS);
        let host = target.host().ok_or(ConnectError::NoHost)?.trim_start_matches('[').trim_end_matches(']');
        let port = target.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let addresses = self.shared.resolve(host, port, lookups).await?;
        let permit = match &self.shared.connections {
            // The semaphore is never closed.
            Some(connections) => Arc::clone(connections).acquire_owned().await.ok(),
            None => None,
        };
        let tcp = tcp(&addresses).await?;
        let kept = Arc::clone(&self.shared.kept).try_acquire_owned().ok();
        if !secure {
            return Ok(Stream { io: TokioIo::new(Box::new(tcp)), http2: false, kept, _permit: permit });
        }
        let config = match &self.own {
            Some(ClientTls(config)) => Ok(Arc::clone(config)),
            None => self.shared.trust.web().await,
        };
        let tls = secure_by(config, host, tcp).await?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Stream { io: TokioIo::new(Box::new(tls)), http2, kept, _permit: permit })
    }
}

impl Shared {
    /// The addresses that are asked are those that were checked: a name that changes meanwhile changes nothing.
    async fn resolve(&self, host: &str, port: u16, lookups: &Lookups) -> Result<Vec<SocketAddr>, ConnectError> {
        let resolved = lookups.addresses(host, port).await?;
        if let Some(admin) = self.admin.get()
            && let Some(asked) = resolved.iter().find(|asked| arrives(**asked, *admin))
        {
            return Err(ConnectError::Admin(*asked));
        }
        let (blocked, free): (Vec<_>, Vec<_>) =
            resolved.into_iter().partition(|address| self.blocked.covers(address.ip()));
        if free.is_empty() { Err(ConnectError::Blocked(blocked)) } else { Ok(free) }
    }
}

pub(super) async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let tcp = TcpStream::connect(addresses).await.map_err(|error| refused(&error))?;
    // What is written is a whole head, or a piece that somebody waits for.
    tcp.set_nodelay(true).map_err(|error| refused(&error))?;
    Ok(tcp)
}

pub(super) async fn secure_by<S: AsyncRead + AsyncWrite + Unpin>(
    config: Result<Arc<ClientConfig>, String>,
    host: &str,
    stream: S,
) -> Result<TlsStream<S>, ConnectError> {
    let config = config.map_err(ConnectError::Tls)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| ConnectError::Name(error.to_string()))?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    stream.map_err(|error| ConnectError::Tls(error.to_string()))
}

fn refused(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => ConnectError::Unresolved(error.to_string()),
        _ => ConnectError::Refused(error.to_string()),
    }
}

/// A connection, and the right to have it.
pub(super) struct Stream {
    io: TokioIo<Box<dyn Transport>>,
    http2: bool,
    /// The right to be kept for the next request.
    kept: Option<OwnedSemaphorePermit>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// TCP, or TLS on it.
trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = if self.http2 { Connected::new().negotiated_h2() } else { Connected::new() };
        if self.kept.is_none() {
            // The client's word for one that serves no other request.
            connected.poison();
        }
        connected
    }
}

impl Read for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use tokio::net::TcpListener;

    fn connector(private: bool) -> Connector {
        Connector::new(Blocked { networks: Vec::new(), private }, None)
    }

    async fn connect(connector: &Connector, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let target = format!("http://{host}:{port}/").parse().unwrap();
        let mut connector = connector.clone();
        // The call itself looks up until when.
        ASKING.scope(asking(Duration::from_secs(60)), async { connector.call(target).await }).await
    }

    fn asking(within: Duration) -> Asking {
        Asking { by: Instant::now() + within, lookups: Lookups::default() }
    }

    #[tokio::test]
    async fn the_address_that_a_name_resolves_to_is_checked() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let refused = connect(&connector(true), host, port).await;
            assert!(matches!(refused, Err(ConnectError::Blocked(_))), "{host}: {:?}", refused.err());
        }
        assert!(connect(&connector(false), "localhost", port).await.is_ok());
        let (_connection, peer) = listener.accept().await.unwrap();
        assert!(peer.ip().is_loopback());
        let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(more.is_err(), "a connection that was refused was made all the same");
    }

    #[tokio::test]
    async fn the_hosts_own_admin_listener_is_nobodys() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let admin = listener.local_addr().unwrap();
        let connector = connector(false);
        connector.keep_from(admin);
        for host in ["localhost", "127.0.0.1", "0.0.0.0"] {
            let refused = connect(&connector, host, admin.port()).await;
            assert!(matches!(refused, Err(ConnectError::Admin(_))), "{host}: {:?}", refused.err());
        }
    }

    #[tokio::test]
    async fn who_waits_for_a_place_waits_no_longer_than_a_connection_may_take() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connector = Connector::new(Blocked::default(), Some(1));
        let first = connect(&connector, "127.0.0.1", port).await.unwrap();
        let target: Uri = format!("http://127.0.0.1:{port}/").parse().unwrap();
        let mut asked = connector.clone();
        let second = ASKING.scope(asking(Duration::from_millis(20)), async { asked.call(target).await }).await;
        assert!(matches!(second, Err(ConnectError::Timeout)), "{:?}", second.err());
        drop(first);
        assert!(connect(&connector, "127.0.0.1", port).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_listens_or_nobody_is_known() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = connect(&connector(false), "127.0.0.1", port).await;
        assert!(matches!(refused, Err(ConnectError::Refused(_))), "{:?}", refused.err());
        let unknown = connect(&connector(false), "nobody.invalid", 80).await;
        assert!(matches!(unknown, Err(ConnectError::Unresolved(_))), "{:?}", unknown.err());
    }
}
