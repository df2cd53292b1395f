//! TLS on the application's listener: certificates and key of two PEM files, read once.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// What a listener needs to speak TLS.
#[derive(Clone)]
pub struct Tls(pub(crate) TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Certificates or a key that no listener can use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There are no certificates.
    #[error(
        "{path} has no certificates that can be read; give --tls-cert a PEM file with the server's certificate first"
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no key.
    #[error("{path} has no private key that can be read; give --tls-key a PEM file with the certificate's key")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// They do not go together.
    #[error(
        "the certificate in {certificates} and the key in {key} cannot be used together; check that they are a pair"
    )]
    Pair {
        /// The file of the certificates.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Tls {
    /// Reads certificates, the server's own first, and the key.
    ///
    /// # Errors
    /// [`TlsError`], with the file. The key's content is in none.
    pub fn read(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |source| TlsError::Certificates { path: certificates.to_owned(), source };
        let chain = CertificateDer::pem_file_iter(certificates).map_err(wrong)?;
        let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(wrong)?;
        if chain.is_empty() {
            return Err(wrong(rustls::pki_types::pem::Error::NoItemsFound));
        }
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
        let pair = |source| TlsError::Pair { certificates: certificates.to_owned(), key: key.to_owned(), source };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(pair)?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}
