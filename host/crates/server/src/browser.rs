//! What a browser brings to a listener that is open to this machine alone.
//!
//! A page of any site can send requests to a loopback address. It cannot read the answers, unless its own name points at
//! that address (DNS rebinding), so only names that cannot be a site's are answered; and it cannot hide that it is another
//! site, which its browser tells in `Origin` and `Sec-Fetch-Site`. Programs send neither.

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::request;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Every host that the request names, in its target or in headers. Browsers always name one.
pub(crate) fn hosts(head: &request::Parts) -> impl Iterator<Item = &[u8]> {
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    target.into_iter().chain(head.headers.get_all(HOST).into_iter().map(HeaderValue::as_bytes))
}

/// A host that the request names, and that may not be this machine.
pub(crate) fn foreign_host(head: &request::Parts) -> Option<String> {
    hosts(head).find(|host| !is_local(host)).map(shown)
}

/// Whether this can only be a name of the machine itself: no name server has a say in it.
fn is_local(host: &[u8]) -> bool {
    let Some(host) = std::str::from_utf8(host).ok() else { return false };
    match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((inner, rest))) => {
            let loopback = inner.parse().is_ok_and(|ip: Ipv6Addr| IpAddr::from(ip).to_canonical().is_loopback());
            loopback && is_port(rest)
        }
        Some(None) => false,
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            is_local_name(name) && is_port(port)
        }
    }
}

/// What may follow the name of a host: nothing, or a port.
fn is_port(rest: &str) -> bool {
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    rest.is_empty() || rest.strip_prefix(':').is_some_and(digits)
}

fn is_local_name(name: &str) -> bool {
    // A name may end in a dot: that of the root.
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if let Ok(ip) = name.parse::<Ipv4Addr>() {
        return ip.is_loopback();
    }
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.split('.').next_back() == Some("localhost") && name.split('.').all(label)
}

/// What says that a page of another site may have sent the request, or one of another port.
pub(crate) fn other_site(head: &request::Parts) -> Option<String> {
    let ours = |authority: &str| hosts(head).any(|host| host.eq_ignore_ascii_case(authority.as_bytes()));
    let site = |site: &HeaderValue| site == "same-origin" || site == "none";
    told(head, &FETCH_SITE, site).or_else(|| told(head, &ORIGIN, |origin| authority(origin).is_some_and(ours)))
}

/// What says that a page of another machine may have sent the request.
pub(crate) fn other_machine(head: &request::Parts) -> Option<String> {
    let local = |origin: &HeaderValue| authority(origin).is_some_and(|authority| is_local(authority.as_bytes()));
    let foreign = told(head, &ORIGIN, local);
    // Pictures and links have no origin.
    let site = |site: &HeaderValue| site != "cross-site" || head.headers.contains_key(ORIGIN);
    foreign.or_else(|| told(head, &FETCH_SITE, site))
}

/// The first value of a header that is not good, in words.
fn told(head: &request::Parts, name: &HeaderName, good: impl Fn(&HeaderValue) -> bool) -> Option<String> {
    let bad = head.headers.get_all(name).iter().find(|value| !good(value))?;
    let name = if *name == ORIGIN { "Origin" } else { "Sec-Fetch-Site" };
    Some(format!("{name} is {}", shown(bad.as_bytes())))
}

/// Whose pages these are: a host, and its port where that is not the scheme's own. Pages of a browser's extensions, and of
/// files, have schemes of their own and are nobody's here. The listener itself may be behind something that speaks TLS.
fn authority(origin: &HeaderValue) -> Option<&str> {
    let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
    matches!(scheme, "http" | "https").then_some(authority)
}

/// What a client wrote, as an answer may repeat it.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(host: &str, more: &[(&str, &str)]) -> request::Parts {
        let asked = Request::builder().uri("/infer").header(HOST, host);
        let asked = more.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        asked.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_names_that_no_name_server_has_a_say_in_are_this_machines() {
        let good = ["127.0.0.1:3001", "127.1.2.3", "localhost", "LOCALHOST:3001", "bobbin.localhost:1", "[::1]:3001"];
        for host in good.into_iter().chain(["[::ffff:127.0.0.1]", "localhost."]) {
            assert_eq!(foreign_host(&head(host, &[])), None, "{host}");
        }
        let bad = ["evil.test", "127.0.0.1.evil.test", "evil.test@localhost", "localhost.evil.test", "10.0.0.1", ""];
        let after = ["[::1].evil", "[::1]evil:3001", "[::1]:", "[::1]:x", "[::1]:3001:1", "[::1", "[127.0.0.1]", "::1"];
        let inside = [
            "localhost:",
            "localhost:99999",
            "localhost:+1",
            "localhost:1:2",
            "localhost..",
            ".localhost",
            "a b.localhost",
        ];
        for host in bad.into_iter().chain(["0.0.0.0", "[::]", "notlocalhost", "127.1"]).chain(after).chain(inside) {
            assert_eq!(foreign_host(&head(host, &[])).as_deref(), Some(host), "{host}");
        }
    }

    #[test]
    fn a_second_host_header_or_an_absolute_target_hides_no_name() {
        let two = head("localhost", &[("host", "evil.test")]);
        assert_eq!(foreign_host(&two).as_deref(), Some("evil.test"));
        let mut target = head("localhost", &[]);
        target.uri = "http://evil.test/infer".parse().unwrap();
        assert_eq!(foreign_host(&target).as_deref(), Some("evil.test"));
    }

    #[test]
    fn a_page_of_this_machine_may_ask_what_is_open_to_it_and_a_page_of_another_may_not() {
        for (more, told) in [
            (&[][..], None),
            (&[("origin", "http://localhost:5173"), ("sec-fetch-site", "same-site")], None),
            (&[("origin", "http://127.0.0.1:5173"), ("sec-fetch-site", "cross-site")], None),
            (&[("origin", "http://app.localhost")], None),
            (&[("origin", "https://[::1]:8443")], None),
            (&[("sec-fetch-site", "none")], None),
            (&[("sec-fetch-site", "same-origin")], None),
            (&[("origin", "http://evil.test")], Some("Origin is http://evil.test")),
            (&[("origin", "http://localhost.evil.test")], Some("Origin is http://localhost.evil.test")),
            (&[("origin", "http://10.0.0.1")], Some("Origin is http://10.0.0.1")),
            (&[("origin", "null")], Some("Origin is null")),
            (&[("origin", "file://")], Some("Origin is file://")),
            (&[("origin", "x://127.0.0.1:5173")], Some("Origin is x://127.0.0.1:5173")),
            (&[("origin", "http://[::1].evil")], Some("Origin is http://[::1].evil")),
            (&[("origin", "http://localhost"), ("origin", "http://evil.test")], Some("Origin is http://evil.test")),
            (&[("sec-fetch-site", "cross-site")], Some("Sec-Fetch-Site is cross-site")),
        ] {
            assert_eq!(other_machine(&head("localhost:3000", more)).as_deref(), told, "{more:?}");
        }
    }
}
