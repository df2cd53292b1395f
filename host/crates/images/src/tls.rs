//! TLS for HTTP clients of this process.

use rustls::crypto::{CryptoProvider, ring};

/// Chooses the cryptography of every HTTP client that is built in this process. To be called before the first one is;
/// again does nothing.
pub fn provide_tls() {
    // Whoever was first has chosen; the choice is the same.
    let _ = CryptoProvider::install_default(ring::default_provider());
}
