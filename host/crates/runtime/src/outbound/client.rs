//! Requests to other hosts. One client for all components: a connection is kept for whoever asks the same host next.

use super::client_tls::ClientTls;
use super::config::OutboundConfig;
use super::connect::{ASKING, Asking, ConnectError, Connector};
use super::names::Lookups;
use super::networks::Blocked;
use super::waits::Waits;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{self, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::Duration;
use wasmtime_wasi_http::{Error, WasiBody};

/// The most that the host holds of one connection: what was read and what is to be written.
pub(super) const CONNECTION_BYTES: u64 = 128 << 10;
/// Bytes of a head, and of what is read ahead of a guest.
const READ_AHEAD: u32 = 64 << 10;
/// The same of all requests that share a connection: as much as HTTP/2 can say, since each is bounded by itself and charged. With
/// less, guests that do not read their answers would keep from others what they ask the same host for.
const READ_AHEAD_TOGETHER: u32 = i32::MAX.cast_unsigned();
/// Connections of one host that wait for the next request, and how long.
const IDLE: usize = 32;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Sends requests.
pub(crate) struct Client {
    pool: Pool<Connector, WasiBody>,
    connector: Connector,
    connection_pooling: bool,
}

impl Client {
    pub(crate) fn new(config: &OutboundConfig) -> Self {
        let blocked = Blocked { networks: config.block_networks.clone(), private: config.block_private };
        let connector = Connector::new(blocked, config.max_connections);
        Self::over(connector, config.connection_pooling)
    }

    /// One with connections of its own, secured in this way: what was shown on a connection is nobody else's. The bounds
    /// on connections are the same ones.
    pub(super) fn secured_by(&self, tls: &ClientTls) -> Self {
        Self::over(self.connector.secured_by(tls), self.connection_pooling)
    }

    fn over(connector: Connector, connection_pooling: bool) -> Self {
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new());
        pool.pool_idle_timeout(IDLE_FOR);
        pool.pool_max_idle_per_host(if connection_pooling { IDLE } else { 0 });
        pool.http1_max_buf_size(READ_AHEAD as usize);
        pool.http2_initial_stream_window_size(READ_AHEAD);
        pool.http2_initial_connection_window_size(READ_AHEAD_TOGETHER);
        pool.http2_max_send_buf_size(READ_AHEAD as usize);
        pool.http2_max_header_list_size(READ_AHEAD);
        Self { pool: pool.build(connector.clone()), connector, connection_pooling }
    }

    /// Keeps guests from the host's own admin listener.
    pub(crate) fn keep_from(&self, admin: SocketAddr) {
        self.connector.keep_from(admin);
    }

    /// How connections are made that speak no HTTP.
    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Sends a request whose target was checked. Dropping the future gives it up.
    pub(super) async fn send(
        &self,
        request: Request<WasiBody>,
        waits: &Waits,
        lookups: &Lookups,
    ) -> Result<Response<WasiBody>, Error> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let asking = Asking { by: waits.connected_by(), lookups: lookups.clone() };
        match ASKING.scope(asking, self.pool.request(request)).await {
            Ok(response) => Ok(response.map(|body| body.map_err(|error| received(&error)).boxed_unsync())),
            Err(error) => {
                match cause::<ConnectError>(&error) {
                    Some(connect) if connect.concerns_the_host() => {
                        tracing::warn!(%host, "an outbound request failed: {connect}");
                    }
                    Some(_) | None => {
                        tracing::debug!(%host, "an outbound request failed: {}", bobbin_databases::told(&error));
                    }
                }
                Err(sent(&error))
            }
        }
    }
}

/// The first cause of this type.
fn cause<E: StdError + 'static>(error: &legacy::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

/// What a guest gets for a request that got no answer.
fn sent(error: &legacy::Error) -> Error {
    if let Some(connect) = cause::<ConnectError>(error) {
        return connect.to_wasi();
    }
    match cause::<Error>(error) {
        // The request's own body broke: its length was not the one that was promised.
        Some(Error::HttpRequestBodySize(size)) => Error::HttpRequestBodySize(*size),
        _ => Error::HttpProtocolError,
    }
}

/// What a guest gets for an answer that breaks off.
fn received(error: &hyper::Error) -> Error {
    tracing::debug!("the answer to an outbound request broke off: {error}");
    Error::HttpProtocolError
}

#[cfg(test)]
mod tests {
    use super::super::connect::KEPT;
    use super::*;
    use http_body_util::Empty;
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server at each address of this machine's loopback network. Returns its port, and counts its open connections.
    async fn server(open: Arc<AtomicUsize>) -> u16 {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let open = Arc::clone(&open);
                open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut asked = [0; 1024];
                    while connection.read(&mut asked).await.is_ok_and(|read| read > 0) {
                        if connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                            break;
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        port
    }

    #[tokio::test]
    async fn connections_that_wait_for_the_next_request_are_bounded_for_all_hosts_together() {
        let open = Arc::new(AtomicUsize::new(0));
        let port = server(Arc::clone(&open)).await;
        let (client, lookups) = (Client::new(&OutboundConfig::default()), Lookups::default());
        for host in 0..KEPT + 64 {
            let target = format!("http://127.0.{}.{}:{port}/", host / 250, host % 250 + 1);
            let body = Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync();
            let request = Request::builder().uri(target).body(body).unwrap();
            let answer = client.send(request, &Waits::a_minute(), &lookups).await.unwrap();
            answer.into_body().collect().await.unwrap();
        }
        let bounded = async {
            while open.load(Ordering::SeqCst) > KEPT {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(IDLE_FOR / 2, bounded).await;
        assert!(waited.is_ok(), "{} connections are kept", open.load(Ordering::SeqCst));
        assert_eq!(open.load(Ordering::SeqCst), KEPT);
    }
}
