//! Who may ask the admin listener.
//!
//! A token proves who asks. Without one the listener is reachable from this machine alone, and what is left to fear is a
//! browser on it (`browser` says why): only names that cannot be a site's are answered, and what changes something is
//! refused to other sites.

use crate::bearer;
use crate::browser::{foreign_host, other_site};
use crate::problem::Problem;
use http::{HeaderMap, Method, request};
use std::hint::black_box;
use std::sync::Arc;

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
            None => foreign_host(head).map_or(Ok(()), |host| Err(Problem::unexpected_host(&host)))?,
        }
        match other_site(head) {
            Some(why) if !reads(&head.method) => Err(Problem::cross_site(&why)),
            Some(_) | None => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http::header::HOST;

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
        for (host, code) in [
            ("127.0.0.1:3001", None),
            ("localhost", None),
            ("evil.test", Some("unexpected_host")),
            ("[::1].evil", Some("unexpected_host")),
        ] {
            assert_eq!(refused(None, &head("GET", host, &[])), code, "{host}");
        }
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
            ("origin", "x://localhost:3001"),
            ("origin", "chrome-extension://localhost:3001"),
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
