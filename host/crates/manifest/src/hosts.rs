//! `allowed_outbound_hosts`: which network addresses a component may reach.

use std::net::IpAddr;

use url::Host;

/// How the names of components end in service chaining.
const CHAINING: &str = ".spin.internal";

/// One entry of `allowed_outbound_hosts`: `scheme://host[:port]`, with `*` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// The scheme; none for `*`.
    scheme: Option<String>,
    host: HostPattern,
    /// The first and the last port allowed.
    ports: (u16, u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    Any,
    /// `self`: the application's own routes.
    Own,
    /// Every subdomain of this domain.
    Subdomains(String),
    Exact(Host),
    Network(IpAddr, u8),
}

/// Why a text is no allowed host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// There is no `://`.
    #[error("it has no scheme; `https://` and `*://` are schemes")]
    NoScheme,
    /// The scheme has other characters than letters.
    #[error("the scheme {0:?} has other characters than letters")]
    Scheme(String),
    /// The scheme has no port of its own and none is written.
    #[error("the scheme {0:?} has no usual port, so the port must be written")]
    NoPort(String),
    /// The port is neither a number, a range, nor `*`.
    #[error("the port {0:?} is neither a number from 0 to 65535, nor a range such as 8000..8010, nor `*`")]
    Port(String),
    /// A path follows the host.
    #[error("it has a path, and only whole hosts can be allowed")]
    Path,
    /// A `*` somewhere else than in place of the host or of its first label.
    #[error("`*` stands for a whole host, or for subdomains as in `*.example.com`")]
    Wildcard,
    /// A list in braces, which Spin keeps for later.
    #[error("lists in braces are not supported; write one entry for each host")]
    List,
    /// A network whose prefix is too long.
    #[error("the network {0:?} has a prefix that its address does not")]
    Prefix(String),
    /// The host is no host name or address.
    #[error("the host {host:?} is neither a name nor an address")]
    Host {
        /// The host as it was written.
        host: String,
        /// What the URL parser says.
        #[source]
        source: url::ParseError,
    },
}

impl AllowedHost {
    /// Reads one entry in which every variable reference has been replaced.
    ///
    /// # Errors
    /// When scheme, host or port is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(HostError::NoScheme)?;
        if scheme != "*" && (scheme.is_empty() || !scheme.chars().all(char::is_alphabetic)) {
            return Err(HostError::Scheme(scheme.to_owned()));
        }
        let (host, port) = match rest.rsplit_once(':') {
            // In an IPv6 address or network the last colon may be part of the host.
            Some((_, tail)) if tail.contains(']') || network(rest).is_some() => (rest, ""),
            Some((host, port)) => (host, port),
            None => (rest, ""),
        };
        let port = match port.split_once('/') {
            Some((port, "")) => port,
            Some(_) => return Err(HostError::Path),
            None => port,
        };
        let ports = ports(port, scheme)?;
        let scheme = (scheme != "*").then(|| scheme.to_owned());
        Ok(Self { scheme, host: HostPattern::parse(host)?, ports })
    }

    /// Whether a connection with this scheme to this host and port is allowed.
    pub fn allows(&self, scheme: &str, host: &Host, port: u16) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
            && (self.ports.0..=self.ports.1).contains(&port)
            && self.host.matches(host)
    }

    /// Whether requests of this scheme to the application's own routes are allowed.
    pub fn allows_self(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
            && matches!(self.host, HostPattern::Any | HostPattern::Own)
    }

    /// Whether the entry allows calls to every component by service chaining: `*` for the host, or
    /// `*.spin.internal`.
    pub fn chains_to_any(&self) -> bool {
        match &self.host {
            HostPattern::Any => true,
            HostPattern::Subdomains(suffix) => suffix == CHAINING,
            HostPattern::Own | HostPattern::Exact(_) | HostPattern::Network(..) => false,
        }
    }

    /// The component that the entry names by service chaining (`http://<component>.spin.internal`), if it does.
    pub fn chained_component(&self) -> Option<&str> {
        match &self.host {
            HostPattern::Exact(Host::Domain(domain)) => domain.strip_suffix(CHAINING),
            _ => None,
        }
    }

    /// Whether the entry names this component. A host's name has no capitals, and a component's may.
    pub fn chains_to(&self, component: &str) -> bool {
        self.chained_component().is_some_and(|name| name.eq_ignore_ascii_case(component))
    }
}

impl HostPattern {
    fn parse(host: &str) -> Result<Self, HostError> {
        let host = host.trim();
        match host {
            "*" => return Ok(Self::Any),
            "self" | "self.alt" => return Ok(Self::Own),
            _ => {}
        }
        if host.starts_with('{') {
            return Err(HostError::List);
        }
        if let Some((address, prefix)) = network(host) {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let fits = prefix <= bits;
            return if fits { Ok(Self::Network(address, prefix)) } else { Err(HostError::Prefix(host.to_owned())) };
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.contains('/') {
            return Err(HostError::Path);
        }
        let domain = host.strip_prefix("*.");
        let name = domain.unwrap_or(host);
        if name.contains('*') {
            return Err(HostError::Wildcard);
        }
        let parsed = Host::parse(name).map_err(|source| HostError::Host { host: host.to_owned(), source })?;
        match (domain, parsed) {
            (None, parsed) => Ok(Self::Exact(parsed)),
            (Some(_), Host::Domain(domain)) => Ok(Self::Subdomains(format!(".{domain}"))),
            (Some(_), _) => Err(HostError::Wildcard),
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Own, _) => false,
            (Self::Subdomains(suffix), Host::Domain(domain)) => domain.ends_with(suffix),
            (Self::Exact(own), host) => own == host,
            (Self::Network(net, prefix), Host::Ipv4(ip)) => within(*net, *prefix, IpAddr::V4(*ip)),
            (Self::Network(net, prefix), Host::Ipv6(ip)) => within(*net, *prefix, IpAddr::V6(*ip)),
            (Self::Subdomains(_) | Self::Network(..), _) => false,
        }
    }
}

/// An address and the length of a prefix, such as `10.0.0.0/8`.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok()?))
}

/// Whether `address` is in the network; addresses of the other family never are.
fn within(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let (network, address, bits) = match (network, address) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => (u128::from(u32::from(net)), u128::from(u32::from(ip)), 32),
        (IpAddr::V6(net), IpAddr::V6(ip)) => (u128::from(net), u128::from(ip), 128),
        _ => return false,
    };
    let shift = bits - u32::from(prefix);
    network.checked_shr(shift) == address.checked_shr(shift)
}

/// The ports of an entry. A range excludes its end, as in Spin.
fn ports(text: &str, scheme: &str) -> Result<(u16, u16), HostError> {
    let bad = || HostError::Port(text.to_owned());
    match text {
        "*" => Ok((0, u16::MAX)),
        "" => usual_port(scheme).map(|port| (port, port)).ok_or_else(|| HostError::NoPort(scheme.to_owned())),
        _ => match text.split_once("..") {
            Some((start, end)) => {
                let (start, end) = (start.parse().ok(), end.parse::<u16>().ok());
                let (start, end): (u16, u16) = start.zip(end).ok_or_else(bad)?;
                let last = end.checked_sub(1).filter(|last| *last >= start).ok_or_else(bad)?;
                Ok((start, last))
            }
            None => text.parse().ok().map(|port| (port, port)).ok_or_else(bad),
        },
    }
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "redis" => Some(6379),
        "mqtt" => Some(1883),
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The entries that say the same as one entry of the older `allowed_http_hosts`.
pub(crate) fn from_http_host(text: &str) -> Result<[String; 2], HostError> {
    if text == "insecure:allow-all" {
        return Ok(["http://*:*".to_owned(), "https://*:*".to_owned()]);
    }
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let host = host.strip_suffix('/').unwrap_or(host);
    let entries = [format!("http://{host}"), format!("https://{host}")];
    entries.iter().try_for_each(|entry| AllowedHost::parse(entry).map(drop))?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, scheme: &str, host: &str, port: u16) -> bool {
        AllowedHost::parse(entry).unwrap().allows(scheme, &Host::parse(host).unwrap(), port)
    }

    #[test]
    fn an_entry_allows_its_scheme_host_and_port_and_nothing_else() {
        assert!(allows("https://example.com", "https", "example.com", 443));
        assert!(!allows("https://example.com", "http", "example.com", 443));
        assert!(!allows("https://example.com", "https", "example.com", 8443));
        assert!(!allows("https://example.com", "https", "evil-example.com", 443));
        assert!(allows("redis://cache:6379", "redis", "cache", 6379));
        assert!(allows("http://[::1]:8080", "http", "[::1]", 8080));
    }

    #[test]
    fn wildcards_stand_for_hosts_subdomains_and_ports() {
        assert!(allows("*://*:*", "mysql", "10.1.2.3", 3306));
        assert!(allows("https://*.example.com", "https", "api.example.com", 443));
        assert!(!allows("https://*.example.com", "https", "example.com", 443));
        assert!(allows("http://10.0.0.0/8:80", "http", "10.9.9.9", 80));
        assert!(!allows("http://10.0.0.0/8:80", "http", "11.0.0.1", 80));
        assert!(allows("http://a:8000..8010", "http", "a", 8009));
        assert!(!allows("http://a:8000..8010", "http", "a", 8010));
    }

    #[test]
    fn a_network_of_ipv6_has_its_schemes_port_or_its_own() {
        assert!(allows("http://2001:db8::/32", "http", "[2001:db8::1]", 80));
        assert!(!allows("http://2001:db8::/32", "http", "[2001:db9::1]", 80));
        assert!(allows("http://2001:db8::/32:443", "http", "[2001:db8:abcd::1]", 443));
        assert!(!allows("http://2001:db8::/32:443", "http", "[2001:db8:abcd::1]", 80));
    }

    #[test]
    fn wildcards_chain_to_every_component_and_names_to_one() {
        let any = |entry: &str| AllowedHost::parse(entry).unwrap().chains_to_any();
        assert!(any("http://*.spin.internal") && any("*://*:*"));
        assert!(!any("http://hello.spin.internal") && !any("http://self") && !any("http://*.example.com"));
    }

    #[test]
    fn self_reaches_the_application_only_and_chaining_names_a_component() {
        assert!(!allows("http://self", "http", "self", 80));
        assert!(AllowedHost::parse("http://self").unwrap().allows_self("http"));
        let chained = AllowedHost::parse("http://hello.spin.internal").unwrap();
        assert_eq!(chained.chained_component(), Some("hello"));
        let capitals = AllowedHost::parse("http://HTTP-api.spin.internal").unwrap();
        assert!(capitals.chains_to("HTTP-api") && !capitals.chains_to("HTTP-app"));
    }

    #[test]
    fn what_is_no_host_says_why() {
        assert_eq!(AllowedHost::parse("example.com"), Err(HostError::NoScheme));
        assert_eq!(AllowedHost::parse("foo://a"), Err(HostError::NoPort("foo".into())));
        assert_eq!(AllowedHost::parse("http://a:x"), Err(HostError::Port("x".into())));
        assert_eq!(AllowedHost::parse("http://a/b"), Err(HostError::Path));
        assert_eq!(AllowedHost::parse("http://a:80/b"), Err(HostError::Path));
        assert_eq!(AllowedHost::parse("http://a.*.b"), Err(HostError::Wildcard));
        assert_eq!(AllowedHost::parse("http://10.0.0.0/33"), Err(HostError::Prefix("10.0.0.0/33".into())));
        assert!(matches!(AllowedHost::parse("http://a b"), Err(HostError::Host { .. })));
        assert_eq!(AllowedHost::parse("http://{a,b}"), Err(HostError::List));
    }

    #[test]
    fn older_http_hosts_become_entries_for_both_schemes() {
        assert_eq!(from_http_host("example.com:8080").unwrap()[0], "http://example.com:8080");
        assert_eq!(from_http_host("https://example.com/").unwrap()[1], "https://example.com");
        assert_eq!(from_http_host("insecure:allow-all").unwrap()[1], "https://*:*");
    }
}
