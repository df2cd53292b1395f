//! What a browser brings to a listener that is open to this machine alone.
//!
//! A page of any site can send requests to a loopback address. It cannot read the answers, unless its own name points at
//! that address (DNS rebinding), so only names that cannot be a site's are answered; and it cannot hide that it is another
//! site, which its browser tells in `Origin` and `Sec-Fetch-Site`. Programs send neither.

use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::request;
use http::uri::Authority;
use std::net::IpAddr;

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
    let authority = Authority::try_from(host).ok().filter(|authority| !authority.as_str().contains('@'));
    let Some(authority) = authority else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_no_address) => name == "localhost" || name.ends_with(".localhost"),
    }
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

fn authority(origin: &HeaderValue) -> Option<&str> {
    origin.to_str().ok()?.split_once("://").map(|(_, authority)| authority)
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
        for host in bad.into_iter().chain(["0.0.0.0", "[::]", "notlocalhost", "127.1"]) {
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
            (&[("origin", "http://localhost"), ("origin", "http://evil.test")], Some("Origin is http://evil.test")),
            (&[("sec-fetch-site", "cross-site")], Some("Sec-Fetch-Site is cross-site")),
        ] {
            assert_eq!(other_machine(&head("localhost:3000", more)).as_deref(), told, "{more:?}");
        }
    }
}
