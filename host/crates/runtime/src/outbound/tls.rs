//! TLS to other hosts: rustls, with the certificates that this machine trusts.

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Whom this machine trusts, read with the first connection that needs it.
#[derive(Default)]
pub(super) struct Trust {
    web: OnceCell<Config>,
    postgres: OnceCell<Config>,
    other: OnceCell<Config>,
}

type Config = Result<Arc<ClientConfig>, String>;

/// What HTTP and PostgreSQL are called in a greeting. Nothing else has a name there, and servers and proxies that choose by
/// it break off where they hear one that they do not know.
pub(super) const WEB: [&[u8]; 2] = [b"h2", b"http/1.1"];
const POSTGRES: [&[u8]; 1] = [b"postgresql"];

impl Trust {
    /// The client's side of TLS, for HTTP.
    ///
    /// # Errors
    /// When there are no certificates to trust; with where they were looked for.
    pub(super) async fn web(&self) -> Config {
        self.web.get_or_init(|| read(&WEB, Vec::new())).await.clone()
    }

    /// The same for PostgreSQL.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn postgres(&self) -> Config {
        self.postgres.get_or_init(|| read(&POSTGRES, Vec::new())).await.clone()
    }

    /// The same for whatever else there is.
    ///
    /// # Errors
    /// The same.
    pub(super) async fn other(&self) -> Config {
        self.other.get_or_init(|| read(&[], Vec::new())).await.clone()
    }
}

/// The client's side of TLS for PostgreSQL, where these authorities are trusted besides.
///
/// # Errors
/// As with [`Trust::postgres`], or where one is no certificate.
pub(super) async fn with(more: Vec<CertificateDer<'static>>) -> Config {
    read(&POSTGRES, more).await
}

/// Some hundred files may have to be read.
async fn read(protocols: &'static [&'static [u8]], more: Vec<CertificateDer<'static>>) -> Config {
    match tokio::task::spawn_blocking(|| config(protocols, more)).await {
        Ok(config) => config,
        Err(lost) => Err(lost.to_string()),
    }
}

fn config(protocols: &[&[u8]], more: Vec<CertificateDer<'static>>) -> Config {
    let mut roots = RootCertStore::empty();
    let platform = add_platform_roots(&mut roots);
    for certificate in more {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        platform?;
    }
    let builder = builder().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = names(protocols);
    Ok(Arc::new(config))
}

/// Adds whom this machine trusts.
///
/// # Errors
/// When that is nobody; with where they were looked for.
pub(super) fn add_platform_roots(roots: &mut RootCertStore) -> Result<(), String> {
    let found = rustls_native_certs::load_native_certs();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(());
    }
    let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
    Err(format!(
        "this machine trusts no certificate authority; install its ca-certificates, or name a file of certificates in \
         SSL_CERT_FILE {}",
        errors.join("; ")
    ))
}

/// What every client's side of TLS begins with.
pub(super) fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

/// Names as a greeting has them.
pub(super) fn names(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}
