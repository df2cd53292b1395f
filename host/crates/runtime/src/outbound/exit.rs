//! One component's way out, made once for all of its instances; and by it connections that speak no HTTP, to databases and
//! brokers: granted, resolved and checked as those that do.

use super::client::Client;
use super::config::HostTls;
use super::connect::ConnectError;
use super::names::Lookups;
use super::rules::{Calls, Refused, Rules};
use bobbin_inference::RequestContext;
use http::Uri;
use http::uri::Scheme;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use url::Host;

/// Whom a component may ask, and how it gets there.
pub(crate) struct Exit {
    pub(super) component: Arc<str>,
    pub(super) rules: Rules,
    client: Arc<Client>,
    /// For hosts with which TLS is spoken in another way.
    secured: BTreeMap<String, Arc<Client>>,
    pub(super) lookups: Lookups,
}

/// A server that a component may connect to.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its address, or its name in the usual form.
    pub(crate) host: String,
    port: u16,
}

impl Exit {
    /// `tls` is how TLS is spoken with some hosts, each in the usual form of a URL's host.
    pub(crate) fn new(component: &str, rules: Rules, client: &Arc<Client>, tls: &[HostTls]) -> Self {
        let mut secured = BTreeMap::new();
        for HostTls { hosts, tls } in tls {
            let client = Arc::new(client.secured_by(tls));
            secured.extend(hosts.iter().map(|host| (host.clone(), Arc::clone(&client))));
        }
        let lookups = Lookups::default();
        Self { component: component.into(), rules, client: Arc::clone(client), secured, lookups }
    }

    /// What sends requests to this target, which was checked.
    pub(super) fn client(&self, target: &Uri) -> &Client {
        let secured = target.host().filter(|_| target.scheme() == Some(&Scheme::HTTPS));
        secured.and_then(|host| self.secured.get(host)).unwrap_or(&self.client)
    }

    /// Which parts of its application the component may ask.
    pub(crate) fn calls(&self) -> Calls {
        self.rules.calls()
    }

    /// The server, if the component may connect to it.
    ///
    /// # Errors
    /// The server, as a guest may be told of it. The log says which entry is missing.
    pub(crate) fn check(
        &self,
        scheme: &str,
        (host, port): (&str, u16),
        request: &RequestContext,
    ) -> Result<Target, String> {
        let refused = match self.rules.allow(scheme, host, port) {
            Ok(Host::Domain(host)) => return Ok(Target { host, port }),
            Ok(Host::Ipv4(address)) => return Ok(Target { host: address.to_string(), port }),
            Ok(Host::Ipv6(address)) => return Ok(Target { host: address.to_string(), port }),
            Err(refused) => refused,
        };
        let (component, request) = (&self.component, &request.id);
        let shown = format!("{host:.200}");
        tracing::warn!(%component, %request, host = shown, "an outbound connection was refused: {refused}");
        match refused {
            Refused::NotAllowed { entry } => Err(entry),
            Refused::Invalid(_) => Err(format!("{scheme}://{shown}:{port}")),
        }
    }

    pub(crate) async fn connect(&self, target: &Target) -> Result<TcpStream, ConnectError> {
        self.client.connector().tcp(&target.host, target.port, &self.lookups).await
    }

    /// Secures a connection to a server.
    pub(crate) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        target: &Target,
        stream: S,
    ) -> Result<TlsStream<S>, ConnectError> {
        self.client.connector().secure(&target.host, stream).await
    }

    /// What secures a connection later.
    pub(crate) async fn tls(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        self.client.connector().tls().await.map_err(ConnectError::Tls)
    }

    /// The same for a connection to PostgreSQL. These authorities are trusted besides those that this machine trusts.
    pub(crate) async fn postgres_tls(
        &self,
        more: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<ClientConfig>, ConnectError> {
        self.client.connector().postgres_tls(more).await.map_err(ConnectError::Tls)
    }

    /// Tells whoever runs the host what only they can change.
    pub(crate) fn failed(&self, target: &Target, error: &ConnectError) {
        let (component, host) = (&self.component, &target.host);
        if error.concerns_the_host() {
            tracing::warn!(%component, %host, "an outbound connection failed: {error}");
        } else {
            tracing::debug!(%component, %host, "an outbound connection failed: {error}");
        }
    }
}
