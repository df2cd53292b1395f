//! Another host: a small web server in the test's own process, which remembers what it was asked.

use crate::{Authority, Issued, Result};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The last value of each header.
    pub headers: BTreeMap<String, String>,
    /// The body, as text.
    pub body: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The certificate that the client showed, in DER.
    pub client: Option<Vec<u8>>,
}

/// Which certificate a server with TLS asks of its clients.
#[derive(Clone, Copy)]
pub enum Clients<'a> {
    /// None.
    Anybody,
    /// One of this authority's, if they have one.
    Asked(&'a Authority),
    /// One of this authority's.
    Demanded(&'a Authority),
}

/// The server. It ends when this is dropped.
///
/// | path | answer |
/// |---|---|
/// | `/silent` | none, ever |
/// | `/drip` | `one`, then `two` after [`Web::go_on`] |
/// | `/endless` | as much as anybody reads |
/// | any other | `outside` |
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
    /// The certificate that its clients must trust, in PEM; none where it speaks plainly.
    certificate: Option<String>,
}

#[derive(Debug)]
struct State {
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    go_on: Semaphore,
}

/// One request that is not answered to its end yet.
struct Open(Arc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

type Body = StreamBody<BoxStream<'static, std::result::Result<Frame<Bytes>, Infallible>>>;

impl Web {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> Result<Self> {
        Self::listen(None, None).await
    }

    /// The same with TLS, for the name `localhost`.
    ///
    /// # Errors
    /// When it cannot listen, or make a certificate.
    pub async fn secure() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = made.signing_key.serialize_pem();
        let issued = Issued { der: made.cert.der().clone(), certificate: made.cert.pem(), key };
        let tls = tls(&issued, Clients::Anybody)?;
        Self::listen(Some(tls), Some(issued.certificate)).await
    }

    /// The same with a certificate of an authority's, which clients are to trust.
    ///
    /// # Errors
    /// When it cannot listen, or the certificate cannot be used.
    pub async fn secured_by(issued: &Issued, clients: Clients<'_>) -> Result<Self> {
        Self::listen(Some(tls(issued, clients)?), None).await
    }

    async fn listen(tls: Option<TlsAcceptor>, certificate: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = State {
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            go_on: Semaphore::new(0),
        };
        let state = Arc::new(state);
        let accepting = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let (state, tls) = (Arc::clone(&accepting), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(connection) = tls.accept(connection).await {
                                let shown = connection.get_ref().1.peer_certificates().and_then(<[_]>::first);
                                let client = shown.map(|certificate| certificate.to_vec());
                                serve(connection, state, client).await;
                            }
                        }
                        None => serve(connection, state, None).await,
                    }
                });
            }
        });
        Ok(Self { address, state, serving, certificate })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A URL of it, by its address.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its certificate in PEM, where it has one.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that were ever made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Requests whose answers somebody still waits for.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Lets one more answer of `/drip` go on to its end.
    pub fn go_on(&self) {
        self.state.go_on.add_permits(1);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The server's side of TLS.
fn tls(issued: &Issued, clients: Clients<'_>) -> Result<TlsAcceptor> {
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = |authority: &Authority| {
        anyhow::Ok(WebPkiClientVerifier::builder_with_provider(authority.trusted()?.into(), Arc::clone(&provider)))
    };
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = match clients {
        Clients::Anybody => builder.with_no_client_auth(),
        Clients::Asked(authority) => {
            builder.with_client_cert_verifier(verifier(authority)?.allow_unauthenticated().build()?)
        }
        Clients::Demanded(authority) => builder.with_client_cert_verifier(verifier(authority)?.build()?),
    };
    let mut config = builder.with_single_cert(vec![issued.der.clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    state: Arc<State>,
    client: Option<Vec<u8>>,
) {
    let service = service_fn(move |request| answer(Arc::clone(&state), request, client.clone()));
    // A client that leaves is no news: tests look at what is open.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
}

async fn answer(state: Arc<State>, request: Request<Incoming>, client: Option<Vec<u8>>) -> Result<Response<Body>> {
    state.open.fetch_add(1, Ordering::SeqCst);
    let open = Open(Arc::clone(&state));
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let asked = Asked {
        method: head.method.to_string(),
        target: target.clone(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned(),
        version: format!("{:?}", head.version),
        client,
    };
    state.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let pieces: BoxStream<'static, Bytes> = match target.as_str() {
        "/silent" => std::future::pending().await,
        "/drip" => {
            let two = async move {
                if let Ok(permit) = state.go_on.acquire().await {
                    permit.forget();
                }
                Bytes::from_static(b"two")
            };
            stream::once(async { Bytes::from_static(b"one") }).chain(stream::once(two)).boxed()
        }
        "/endless" => stream::repeat_with(|| Bytes::from_static(&[b'x'; 16 << 10])).boxed(),
        _ => stream::once(async { Bytes::from_static(b"outside") }).boxed(),
    };
    let body = pieces.map(move |piece| {
        // Counted as open until the last piece is taken or nobody takes any more.
        let _open = &open;
        Ok(Frame::data(piece))
    });
    Ok(Response::new(StreamBody::new(body.boxed())))
}
