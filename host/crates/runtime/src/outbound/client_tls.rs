//! How TLS is spoken with some hosts: whom they are trusted by, and which certificate they are shown. Read once, at the
//! start.

use super::tls;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is trusted, and what is shown. Files are in PEM.
#[derive(Debug, Clone, Copy)]
pub struct ClientTlsFiles<'a> {
    /// Trust whom this machine trusts.
    pub platform_roots: bool,
    /// Trust whom browsers trust.
    pub webpki_roots: bool,
    /// Trust these authorities.
    pub roots: Option<&'a Path>,
    /// Show this certificate, which has those that vouch for it behind it, and prove it with this key.
    pub identity: Option<(&'a Path, &'a Path)>,
}

/// One component's way to speak TLS with some hosts. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls(pub(super) Arc<ClientConfig>);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

/// Files with which no TLS can be spoken. A key's content is in none.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// There are no certificates of authorities.
    #[error("{} has no certificates that can be read", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A certificate cannot be an authority's.
    #[error("certificate {number} in {} cannot be an authority's", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Which one, from 1.
        number: usize,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// This machine trusts nobody.
    #[error("{0}")]
    Platform(String),
    /// There is no client certificate.
    #[error("{} has no certificates that can be read", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// There is no key.
    #[error("{} has no private key that can be read", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The key is another certificate's.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificates.display())]
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

impl ClientTls {
    /// Reads the files. Blocking.
    ///
    /// # Errors
    /// [`ClientTlsError`], with the file.
    pub fn read(files: &ClientTlsFiles<'_>) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        if files.platform_roots {
            tls::add_platform_roots(&mut roots).map_err(ClientTlsError::Platform)?;
        }
        if files.webpki_roots {
            roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        if let Some(path) = files.roots {
            let wrong = |source| ClientTlsError::Roots { path: path.to_owned(), source };
            for (index, certificate) in certificates(path).map_err(wrong)?.into_iter().enumerate() {
                let wrong = |source| ClientTlsError::Root { path: path.to_owned(), number: index + 1, source };
                roots.add(certificate).map_err(wrong)?;
            }
        }
        let builder = tls::builder().map_err(|error| ClientTlsError::Platform(error.to_string()))?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match files.identity {
            Some((chain, key)) => {
                let wrong = |source| ClientTlsError::Certificates { path: chain.to_owned(), source };
                let shown = certificates(chain).map_err(wrong)?;
                let wrong = |source| ClientTlsError::Key { path: key.to_owned(), source };
                let private = PrivateKeyDer::from_pem_file(key).map_err(wrong)?;
                let pair =
                    |source| ClientTlsError::Pair { certificates: chain.to_owned(), key: key.to_owned(), source };
                builder.with_client_auth_cert(shown, private).map_err(pair)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = tls::names(&tls::WEB);
        Ok(Self(Arc::new(config)))
    }
}

/// The certificates of a file, of which there is one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let read: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if read.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(read) }
}
