//! Who may ask the admin listener.
//!
//! A token proves who asks. Without one the listener is reachable from this machine alone, and what is left to
//! fear is a browser on it: a page of any site can send requests to a loopback address. It cannot read the
//! answers, unless its own name points at that address (DNS rebinding), so only names that cannot be a site's are
//! answered; and it cannot hide that it is another site, so what changes something is refused to it.

use crate::bearer;
use crate::problem::Problem;
use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method, request};
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Decides who may ask.
pub(super) struct Gate {
    token: Option<Arc<str>>,
}

impl Gate {
    pub(super) fn new(token: Option<Arc<str>>) -> Self {
        Self { token }
    }

    /// The same for the console's pages: they are the same for everybody, and hold nothing of this host. A browser could not
    /// send a token with the first of them.
    pub(super) fn check_page(&self, head: &request::Parts) -> Result<(), Problem> {
        match &self.token {
            Some(_) => Ok(()),
            None => self.check(head),
        }
    }

    /// Lets a request pass, or says why not.
    pub(super) fn check(&self, head: &request::Parts) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !carries(&head.headers, token) => return Err(Problem::unauthorized()),
            Some(_) => {}
            None => hosts(head).try_for_each(|host| match is_local(host) {
                true => Ok(()),
                false => Err(Problem::unexpected_host(&shown(host))),
            })?,
        }
        if reads(&head.method) { Ok(()) } else { same_site(head) }
    }
}

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn carries(headers: &HeaderMap, token: &str) -> bool {
    bearer::token(headers).is_some_and(|given| same(given, token.as_bytes()))
}

/// Compares in a time that does not tell where the first difference is.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given.iter().zip(wanted).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
    given.len() == wanted.len() && differences == 0
}

/// Every host that the request names, in its target or in headers. Browsers always name one.
fn hosts(head: &request::Parts) -> impl Iterator<Item = &[u8]> {
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    target.into_iter().chain(head.headers.get_all(HOST).into_iter().map(HeaderValue::as_bytes))
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

/// Refuses what a browser brings from a page of another site, or of another port.
fn same_site(head: &request::Parts) -> Result<(), Problem> {
    for site in head.headers.get_all(&FETCH_SITE) {
        if site != "same-origin" && site != "none" {
            return Err(Problem::cross_site(&format!("Sec-Fetch-Site is {}", shown(site.as_bytes()))));
        }
    }
    for origin in head.headers.get_all(ORIGIN) {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
        let ours = |authority: &str| hosts(head).any(|host| host.eq_ignore_ascii_case(authority.as_bytes()));
        if !authority.is_some_and(ours) {
            return Err(Problem::cross_site(&format!("Origin is {}", shown(origin.as_bytes()))));
        }
    }
    Ok(())
}

/// What a client wrote, as an answer may repeat it.
fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(method: &str, host: &str, more: &[(&str, &str)]) -> request::Parts {
        let asked = Request::builder().method(method).uri("/admin/v1/releases").header(HOST, host);
        let asked = more.iter().fold(asked, |asked, (name, value)| asked.header(*name, *value));
        asked.body(()).unwrap().into_parts().0
    }

    fn refused(token: Option<&str>, head: &request::Parts) -> Option<&'static str> {
        Gate::new(token.map(Arc::from)).check(head).err().map(|problem| problem.code)
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_are_answered() {
        let good = ["127.0.0.1:3001", "127.1.2.3", "localhost", "LOCALHOST:3001", "bobbin.localhost:1", "[::1]:3001"];
        for host in good.into_iter().chain(["[::ffff:127.0.0.1]", "localhost."]) {
            assert_eq!(refused(None, &head("GET", host, &[])), None, "{host}");
        }
        let bad = ["evil.test", "127.0.0.1.evil.test", "evil.test@localhost", "localhost.evil.test", "10.0.0.1", ""];
        for host in bad.into_iter().chain(["0.0.0.0", "[::]", "notlocalhost", "127.1"]) {
            assert_eq!(refused(None, &head("GET", host, &[])), Some("unexpected_host"), "{host}");
        }
    }

    #[test]
    fn a_second_host_header_or_an_absolute_target_hides_no_name() {
        let two = head("GET", "localhost", &[("host", "evil.test")]);
        assert_eq!(refused(None, &two), Some("unexpected_host"));
        let mut target = head("GET", "localhost", &[]);
        target.uri = "http://evil.test/admin/v1/releases".parse().unwrap();
        assert_eq!(refused(None, &target), Some("unexpected_host"));
    }

    #[test]
    fn with_a_token_every_name_is_answered_and_no_request_without_it() {
        let asked = head("GET", "admin.example", &[("authorization", "Bearer secret")]);
        assert_eq!(refused(Some("secret"), &asked), None);
        assert_eq!(refused(Some("other"), &asked), Some("unauthorized"));
        assert_eq!(refused(Some("secret"), &head("GET", "localhost", &[])), Some("unauthorized"));
    }

    #[test]
    fn a_page_of_another_site_or_port_changes_nothing() {
        for (name, value) in [
            ("origin", "http://evil.test"),
            ("origin", "http://localhost:3000"),
            ("origin", "http://localhost:30011"),
            ("origin", "null"),
            ("origin", "file://"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            for method in ["PUT", "POST", "DELETE"] {
                let asked = head(method, "localhost:3001", &[(name, value)]);
                assert_eq!(refused(None, &asked), Some("cross_site"), "{method} {name}: {value}");
            }
            assert_eq!(refused(None, &head("GET", "localhost:3001", &[(name, value)])), None, "{name}: {value}");
        }
    }

    #[test]
    fn programs_and_the_listeners_own_pages_may_change_releases() {
        for more in [
            vec![],
            vec![("origin", "http://LocalHost:3001"), ("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none")],
        ] {
            assert_eq!(refused(None, &head("PUT", "localhost:3001", &more)), None, "{more:?}");
        }
    }

    #[test]
    fn the_consoles_pages_need_no_token_and_a_name_of_this_machine_without_one() {
        let page = |token: Option<&str>, host| {
            Gate::new(token.map(Arc::from)).check_page(&head("GET", host, &[])).err().map(|problem| problem.code)
        };
        assert_eq!(page(Some("secret"), "admin.example"), None);
        assert_eq!(page(None, "localhost:3001"), None);
        assert_eq!(page(None, "evil.test"), Some("unexpected_host"));
    }

    #[test]
    fn a_token_does_not_open_the_door_to_other_sites() {
        let more = [("authorization", "Bearer secret"), ("origin", "http://evil.test")];
        assert_eq!(refused(Some("secret"), &head("PUT", "admin.example", &more)), Some("cross_site"));
    }
}
