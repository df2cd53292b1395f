//! Whom a component may ask: Spin's `allowed_outbound_hosts`. Pure.
//!
//! The host that is checked is the host that is asked: a request's target is read once, by the parser that the entries
//! were read with, and written anew from what was read.

use bobbin_manifest::{AllowedHost, HostError};
use http::Uri;
use std::collections::BTreeSet;
use url::{Host, Url};

/// Where Spin's components find each other.
const CHAINING: &str = ".spin.internal";
/// A host that means the application itself, for those whose SDK cannot leave the host out.
const OWN: &str = "self.alt";

/// The entries of one component.
#[derive(Debug, Default)]
pub(crate) struct Rules(Vec<AllowedHost>);

/// Which parts of its own application a component may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    /// Each: its routes, or every component by service chaining.
    pub any: bool,
    /// These components, by service chaining.
    pub components: BTreeSet<String>,
}

/// Where a request goes that may go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the application's own routes.
    Own,
    /// To this component of the application.
    Component(String),
    /// Elsewhere, to this target: without what stood before the host, and with its name in its usual form.
    Network(Uri),
}

/// A request that may not go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// No entry allows it.
    #[error("no entry of allowed_outbound_hosts allows it; to allow it, add \"{entry}\"")]
    NotAllowed {
        /// The entry that would.
        entry: String,
    },
    /// It names no host.
    #[error("its target is no URL with a host: {0}")]
    Invalid(String),
}

impl Rules {
    /// Reads entries in which every variable has its value.
    ///
    /// # Errors
    /// The first entry that is none, and why.
    pub(crate) fn parse(entries: &[String]) -> Result<Self, (String, HostError)> {
        let parse = |entry: &String| AllowedHost::parse(entry).map_err(|error| (entry.clone(), error));
        entries.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Which parts of its own application the component may ask.
    pub(crate) fn calls(&self) -> Calls {
        let any =
            |entry: &AllowedHost| entry.chains_to_any() || entry.allows_self("http") || entry.allows_self("https");
        Calls {
            any: self.0.iter().any(any),
            components: self.0.iter().filter_map(AllowedHost::chained_component).map(str::to_owned).collect(),
        }
    }

    /// Whether a connection that speaks no HTTP may be made. Returns the host in its usual form, which is the one to ask.
    ///
    /// # Errors
    /// [`Refused`] where it may not, or where this is no host.
    pub(crate) fn allow(&self, scheme: &str, host: &str, port: u16) -> Result<Host, Refused> {
        let parsed = match host.parse() {
            Ok(v6) => Host::Ipv6(v6),
            Err(_other) => Host::parse(host).map_err(|error| Refused::Invalid(error.to_string()))?,
        };
        if self.0.iter().any(|entry| entry.allows(scheme, &parsed, port)) {
            Ok(parsed)
        } else {
            Err(Refused::NotAllowed { entry: format!("{scheme}://{parsed}:{port}") })
        }
    }

    /// Where a request to this target goes.
    ///
    /// # Errors
    /// [`Refused`] where it may not go, or the target names no host.
    pub(crate) fn decide(&self, target: &Uri) -> Result<Destination, Refused> {
        // WASI wants an authority, so SDKs write a port alone where the host is left out.
        if target.host().is_none_or(|host| host.is_empty() || host == OWN) {
            let allowed = |scheme| self.0.iter().any(|entry| entry.allows_self(scheme));
            let entry = || Refused::NotAllowed { entry: "http://self".into() };
            return if allowed("http") || allowed("https") { Ok(Destination::Own) } else { Err(entry()) };
        }
        let url = Url::parse(&target.to_string()).map_err(|error| Refused::Invalid(error.to_string()))?;
        let invalid = || Refused::Invalid("it has neither http nor https before a host".into());
        let (host, port) = url.host().zip(url.port_or_known_default()).ok_or_else(invalid)?;
        let host = host.to_owned();
        let chained = chained(&host, target);
        let allowed =
            !matches!(chained, Chained::Nobody) && self.0.iter().any(|entry| entry.allows(url.scheme(), &host, port));
        if !allowed {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            return Err(Refused::NotAllowed { entry: format!("{}://{host}{port}", url.scheme()) });
        }
        match chained {
            Chained::Component(id) => Ok(Destination::Component(id)),
            Chained::No | Chained::Nobody => network(&url, &host, target).map(Destination::Network),
        }
    }
}

enum Chained {
    No,
    Component(String),
    /// A name below Spin's domain that is no component's.
    Nobody,
}

/// Names of components keep their letters as they are; host names do not.
fn chained(host: &Host, target: &Uri) -> Chained {
    let Host::Domain(domain) = host else { return Chained::No };
    let Some(name) = domain.strip_suffix(CHAINING) else { return Chained::No };
    let written = target.host().and_then(|host| host.get(..name.len()));
    match written {
        Some(id) if !name.contains('.') => Chained::Component(id.to_owned()),
        _ => Chained::Nobody,
    }
}

fn network(url: &Url, host: &Host, target: &Uri) -> Result<Uri, Refused> {
    let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme(url.scheme()).authority(authority).path_and_query(path).build();
    uri.map_err(|error| Refused::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(entries: &[&str]) -> Rules {
        Rules::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn decide(entries: &[&str], target: &str) -> Result<Destination, Refused> {
        rules(entries).decide(&target.parse().unwrap())
    }

    #[test]
    fn spins_cases_of_who_may_go_where() {
        for (entry, target, allowed) in [
            ("https://my.api.com", "https://my.api.com/a?b=c", true),
            ("https://my.api.com/", "https://my.api.com", true),
            ("https://my.api.com", "http://my.api.com/", false),
            ("https://my.api.com", "https://my.api.com:8443/", false),
            ("https://my.api.com", "https://my.api.com.evil.org/", false),
            ("https://my.api.com", "https://evilmy.api.com/", false),
            ("http://example.com:8383", "http://example.com:8383/foo/bar", true),
            ("http://example.com:8383", "http://example.com/foo/bar", false),
            ("*://example.com:443", "https://example.com", true),
            ("*://example.com:443", "http://example.com", false),
            ("*://example.com:443", "http://example.com:443", true),
            ("http://example.com:8000..8010", "http://example.com:8009", true),
            ("http://example.com:8000..8010", "http://example.com:8010", false),
            ("http://example.com:*", "http://example.com:1", true),
            ("http://*.example.com", "http://a.b.example.com/foo", true),
            ("http://*.example.com", "http://example.com/foo", false),
            ("http://*.example.com", "http://myexample.com/foo", false),
            ("http://*.Example.COM", "http://foo.example.com", true),
            ("http://example.com", "http://EXAMPLE.com", true),
            ("http://127.0.0.0/24:63551", "http://127.0.0.9:63551", true),
            ("http://127.0.0.0/24:63551", "http://127.0.1.9:63551", false),
            ("http://10.0.0.0/8", "http://ten.example.com", false),
            ("http://2001:db8::/32", "http://[2001:db8::1]/x", true),
            ("http://2001:db8::/32", "http://[2001:db9::1]", false),
            ("http://[::1]", "http://[::1]:80", true),
            ("http://[::1]", "http://[::1]:81", false),
            ("http://127.0.0.1", "http://2130706433/", true),
            ("http://example.com", "http://user:secret@example.com/", true),
            ("http://example.com", "http://example.com@evil.org/", false),
            ("redis://example.com:80", "http://example.com", false),
            ("*://*:*", "https://anything.at.all:1234", true),
        ] {
            assert_eq!(decide(&[entry], target).is_ok(), allowed, "{entry} {target}");
        }
        assert!(decide(&[], "http://example.com").is_err());
        assert!(decide(&["http://a", "https://b"], "https://b/").is_ok());
    }

    #[test]
    fn a_refusal_says_which_entry_would_allow_it() {
        for (target, wanted) in [
            ("https://example.com/a?secret=b", "https://example.com"),
            ("http://user:secret@example.com:8080/a", "http://example.com:8080"),
            ("http://[::1]:9/", "http://[::1]:9"),
            ("/path", "http://self"),
        ] {
            assert_eq!(decide(&[], target), Err(Refused::NotAllowed { entry: wanted.into() }), "{target}");
        }
    }

    #[test]
    fn the_application_itself_is_meant_by_no_host_and_by_self_alt() {
        for target in ["/a", "http://:80/a", "https://:443/a", "http://self.alt/a", "https://self.alt/a"] {
            assert_eq!(decide(&["http://self"], target), Ok(Destination::Own), "{target}");
            assert_eq!(decide(&["http://*:*"], target), Ok(Destination::Own), "{target}");
            assert!(decide(&["http://self.example.com", "redis://*:*"], target).is_err(), "{target}");
        }
        assert!(decide(&["http://self"], "http://self/a").is_err(), "a host like any other, as in Spin");
    }

    #[test]
    fn chaining_names_components() {
        let to = |id: &str| Ok(Destination::Component(id.into()));
        assert_eq!(decide(&["http://back.spin.internal"], "http://back.spin.internal/a"), to("back"));
        assert_eq!(decide(&["http://Back.spin.internal"], "http://Back.SPIN.internal/a"), to("Back"));
        assert_eq!(decide(&["http://*.spin.internal"], "http://back.spin.internal/a"), to("back"));
        assert_eq!(decide(&["*://*:*"], "https://back.spin.internal/a"), to("back"));
        for (entry, target) in [
            ("http://back.spin.internal", "http://front.spin.internal/"),
            ("http://back.spin.internal", "https://back.spin.internal/"),
            ("http://self", "http://back.spin.internal/"),
            ("*://*:*", "http://a.back.spin.internal/"),
        ] {
            assert!(decide(&[entry], target).is_err(), "{entry} {target}");
        }
    }

    #[test]
    fn what_is_asked_is_what_was_checked() {
        for (target, asked) in [
            ("http://user:secret@Example.com:80/a?b", "http://example.com/a?b"),
            ("https://example.com:8443", "https://example.com:8443/"),
            ("http://2130706433:9/", "http://127.0.0.1:9/"),
            ("http://[::1]/a", "http://[::1]/a"),
        ] {
            assert_eq!(decide(&["*://*:*"], target), Ok(Destination::Network(asked.parse().unwrap())), "{target}");
        }
    }

    #[test]
    fn which_parts_of_the_application_may_be_asked_is_known_before() {
        let calls = |entries: &[&str]| rules(entries).calls();
        assert_eq!(calls(&["https://example.com", "http://10.0.0.0/8"]), Calls::default());
        for any in ["*://*:*", "http://self", "http://*.spin.internal"] {
            assert!(calls(&[any]).any, "{any}");
        }
        let two = calls(&["http://a.spin.internal", "http://b.spin.internal"]);
        assert_eq!(two, Calls { any: false, components: ["a".to_owned(), "b".to_owned()].into() });
    }

    #[test]
    fn other_schemes_have_their_own_entries() {
        for (entry, scheme, host, port, allowed) in [
            ("redis://cache", "redis", "cache", 6379, true),
            ("redis://cache", "redis", "CACHE", 6379, true),
            ("redis://cache", "rediss", "cache", 6379, false),
            ("rediss://cache:6379", "rediss", "cache", 6379, true),
            ("redis://cache", "redis", "cache", 6380, false),
            ("postgres://10.0.0.0/8", "postgres", "10.1.2.3", 5432, true),
            ("postgres://[::1]", "postgres", "::1", 5432, true),
            ("mysql://*.example.com:*", "mysql", "db.example.com", 1, true),
            ("mysql://*.example.com:*", "mysql", "example.com", 1, false),
            ("mqtt://broker", "mqtt", "broker", 1883, true),
            ("http://cache:6379", "redis", "cache", 6379, false),
            ("*://*:*", "mqtt", "anything", 1, true),
            ("redis://self", "redis", "self", 6379, false),
        ] {
            assert_eq!(rules(&[entry]).allow(scheme, host, port).is_ok(), allowed, "{entry} {scheme}://{host}:{port}");
        }
        let asked = rules(&["*://*:*"]).allow("redis", "allowed%2ecom", 1).unwrap();
        assert_eq!(asked.to_string(), "allowed.com", "what is asked is what was checked");
        let refused = rules(&[]).allow("redis", "::1", 7).unwrap_err();
        assert_eq!(refused, Refused::NotAllowed { entry: "redis://[::1]:7".into() });
    }

    #[test]
    fn an_entry_that_is_none_is_named() {
        let (entry, _) = Rules::parse(&["http://a".into(), "b".into()]).unwrap_err();
        assert_eq!(entry, "b");
    }
}
