//! HTTP clients of tests and benchmarks.

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// A client for this machine: over plain HTTP, so that it trusts nobody and reads no certificates.
pub fn http() -> reqwest::ClientBuilder {
    // Built with TLS as the host is, a client needs its cryptography chosen before. Whoever was first has chosen the same.
    let _ = CryptoProvider::install_default(ring::default_provider());
    reqwest::Client::builder().tls_certs_only([])
}
