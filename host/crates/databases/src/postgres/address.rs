//! Where a PostgreSQL server is: a URL, or `host=.. user=..`.

use std::fmt;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// The port where an address names none.
const PORT: u16 = 5432;

/// A text that is no address of a server that can be reached. It may have a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It cannot be read.
    #[error("the address cannot be read: {}", crate::told(.0))]
    Unreadable(#[source] tokio_postgres::Error),
    /// It names a file.
    #[error("Unix sockets are not supported on WebAssembly")]
    Unix,
    /// It names no host.
    #[error("the address names no host")]
    NoHost,
    /// It names another host than the one that would be asked.
    #[error("hostaddr is not supported; write the address as host")]
    HostAddress,
}

/// Where servers are, and who asks.
pub struct Address {
    pub(super) config: Config,
    hosts: Vec<(String, u16)>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Whether a connection is secured by TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Never.
    Disabled,
    /// Where the server can.
    Preferred,
    /// Always.
    Required,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`AddressError`]
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let config: Config = text.parse().map_err(AddressError::Unreadable)?;
        if !config.get_hostaddrs().is_empty() {
            return Err(AddressError::HostAddress);
        }
        let ports = config.get_ports();
        // One port is for every host.
        let port = |index| ports.get(index).or(if ports.len() == 1 { ports.first() } else { None }).copied();
        let mut hosts = Vec::new();
        for (index, host) in config.get_hosts().iter().enumerate() {
            match host {
                Host::Tcp(host) => hosts.push((host.clone(), port(index).unwrap_or(PORT))),
                Host::Unix(_) => return Err(AddressError::Unix),
            }
        }
        if hosts.is_empty() {
            return Err(AddressError::NoHost);
        }
        Ok(Self { config, hosts })
    }

    /// The servers, in the order in which they are asked.
    pub fn hosts(&self) -> &[(String, u16)] {
        &self.hosts
    }

    /// Whether TLS is wanted.
    pub fn security(&self) -> Security {
        match self.config.get_ssl_mode() {
            SslMode::Disable => Security::Disabled,
            SslMode::Prefer => Security::Preferred,
            // A kind that is not known is taken for the strictest.
            _ => Security::Required,
        }
    }

    /// Whether the server must refuse to write (`Some(true)`), or must not.
    pub(super) fn read_only(&self) -> Option<bool> {
        match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => Some(false),
            TargetSessionAttrs::ReadOnly => Some(true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_or_words() {
        for (text, hosts) in [
            ("postgres://user:secret@localhost/db", &[("localhost", 5432)][..]),
            ("postgresql://localhost:1234?sslmode=disable", &[("localhost", 1234)]),
            ("host=a,b port=1,2 user=u password=secret", &[("a", 1), ("b", 2)]),
            ("host=a,b port=7 user=u", &[("a", 7), ("b", 7)]),
        ] {
            let address = Address::parse(text).unwrap();
            let found: Vec<_> = address.hosts().iter().map(|(host, port)| (host.as_str(), *port)).collect();
            assert_eq!(found, hosts, "{text}");
            assert!(!format!("{address:?}").contains("secret"));
        }
        assert_eq!(Address::parse("host=a sslmode=require").unwrap().security(), Security::Required);
        assert_eq!(Address::parse("host=a").unwrap().security(), Security::Preferred);
    }

    #[test]
    fn what_names_no_host_of_the_network_is_refused() {
        for (text, told) in [
            ("host=/var/run user=u", "Unix sockets"),
            ("user=u", "no host"),
            ("host=allowed hostaddr=10.0.0.1 user=u", "hostaddr"),
            ("mysql://localhost", "cannot be read"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
