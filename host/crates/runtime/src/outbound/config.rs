//! What an operator may say about outbound requests, with Spin's defaults: its `[outbound_networking]` and
//! `[outbound_http]`.

use super::client_tls::ClientTls;
use bobbin_manifest::Network;
use std::time::Duration;

/// Bounds on the outbound requests of all components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundConfig {
    /// Networks that no component reaches, whatever its manifest grants. Default: none.
    pub block_networks: Vec<Network>,
    /// Blocks every network that is not for everybody, besides. Default: no.
    pub block_private: bool,
    /// Whether connections are kept for the next request to the same host. Default: yes.
    pub connection_pooling: bool,
    /// Connections at once; more wait for as long as a connection may take. Default: no bound.
    pub max_connections: Option<usize>,
}

impl Default for OutboundConfig {
    fn default() -> Self {
        Self { block_networks: Vec::new(), block_private: false, connection_pooling: true, max_connections: None }
    }
}

/// How a component speaks TLS with some hosts, instead of as with all others.
#[derive(Debug, Clone)]
pub struct HostTls {
    /// The hosts, each in the usual form of a URL's host.
    pub hosts: Vec<String>,
    /// Whom they are trusted by, and what they are shown.
    pub tls: ClientTls,
}

/// Where a component sets no time limit of its own, as in Spin. The request's deadline comes first.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
