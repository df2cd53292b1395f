//! TLS to other hosts: rustls, with the certificates that this machine trusts.

use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Whom this machine trusts, read with the first request that needs it.
#[derive(Default)]
pub(super) struct Trust(OnceCell<Result<Arc<ClientConfig>, String>>);

impl Trust {
    /// The client's side of TLS.
    ///
    /// # Errors
    /// When there are no certificates to trust; with where they were looked for.
    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let read = || async {
            // Some hundred files may have to be read.
            match tokio::task::spawn_blocking(config).await {
                Ok(config) => config,
                Err(lost) => Err(lost.to_string()),
            }
        };
        self.0.get_or_init(read).await.clone()
    }
}

fn config() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(format!(
            "this machine trusts no certificate authority; install its ca-certificates, or name a file of certificates \
             in SSL_CERT_FILE {}",
            errors.join("; ")
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
