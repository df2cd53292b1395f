//! What stands before a server and speaks TLS for it, as proxies of clouds do.

use crate::{Issued, Result};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// It ends when this is dropped.
#[derive(Debug)]
pub struct TlsFront {
    port: u16,
    serving: JoinHandle<()>,
}

impl TlsFront {
    /// Passes on to a port of this machine what arrives by TLS. A client that names protocols has to name this one.
    ///
    /// # Errors
    /// When it cannot listen, or the certificate cannot be used.
    pub async fn before(port: u16, issued: &Issued, protocol: &str) -> Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_single_cert(vec![issued.der.clone()], key)?;
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let own = listener.local_addr()?.port();
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let Ok(mut secured) = tls.accept(connection).await else { return };
                    let Ok(mut plain) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
                    // Either side may leave when it likes to.
                    let _ = copy_bidirectional(&mut secured, &mut plain).await;
                });
            }
        });
        Ok(Self { port: own, serving })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
