//! Accepting connections: within a bound, and for as long as the listener is wanted, whatever the system says.

use crate::connection::{Connection, Ends, drive, tune};
use crate::limits::Limits;
use crate::tls::Tls;
use crate::wire::Wire;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// How long to wait when the system has no descriptor or memory for another connection.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A bound listener, and what it speaks.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) tls: Option<Tls>,
}

/// The connection with its encryption. A client that is slow to agree on one is as slow as one that sends no head.
async fn secured(stream: TcpStream, tls: Option<Tls>, limits: &Limits) -> io::Result<Wire> {
    let Some(Tls(acceptor)) = tls else { return Ok(Wire::Plain(stream)) };
    let agreed = tokio::time::timeout(limits.header_timeout, acceptor.accept(stream)).await;
    Ok(Wire::Tls(Box::new(agreed.map_err(io::Error::from)??)))
}

/// Serves connections until told to stop; then closes the listener. What `answer` returns goes to the client.
pub(crate) async fn accept<F, A, B>(
    Listener { socket: listener, tls }: Listener,
    answer: F,
    limits: Limits,
    ends: Ends,
    tasks: TaskTracker,
) where
    F: Fn(Arc<Connection>, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let limits = Arc::new(limits);
    loop {
        let next = async {
            // The place first: a connection without one waits in the kernel's queue and costs nothing here.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = ends.stop.cancelled() => return,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                back_off(&error).await;
                continue;
            }
        };
        tune(&stream);
        let (connection, answer) = (Connection::new(peer, tls.is_some(), &ends.abort), answer.clone());
        let tls = tls.clone();
        let (limits, ends, shared) = (Arc::clone(&limits), ends.clone(), Arc::clone(&connection));
        tasks.spawn(async move {
            let service = service_fn(move |request| {
                let answered = answer(Arc::clone(&shared), request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            match secured(stream, tls, &limits).await {
                Ok(wire) => drive(wire, service, connection, &limits, ends).await,
                Err(error) => tracing::debug!(%peer, %error, "a client and this host did not agree on TLS"),
            }
            drop(place);
        });
    }
}

/// A connection that failed while it waited concerns nobody else; a shortage passes.
async fn back_off(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        tracing::debug!(%error, "a connection ended before it was accepted");
        return;
    }
    tracing::warn!(%error, "connections cannot be accepted just now; trying on");
    tokio::time::sleep(BACK_OFF).await;
}
