//! What a request shows of itself to whoever decides its versions: headers, cookies and its client's address.

use bobbin_release::Asker;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

/// By this header a tester asks for a version, where the release allows it. It is for the host: a component never
/// sees it.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("bobbin-version");

/// One request's head.
pub(crate) struct Asking<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The client's address, in its canonical form.
    pub(crate) client: &'a str,
}

impl Asker for Asking<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(text)
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        // HTTP/2 splits cookies into several headers at will.
        let lines = self.headers.get_all(COOKIE).into_iter().filter_map(text);
        lines.flat_map(cookies).find_map(|(found, value)| (found == name).then_some(value))
    }

    fn client(&self) -> &str {
        self.client
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The cookies of one header, as RFC 6265 has them: names are case-sensitive, a value may stand in quotes.
fn cookies(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim_matches([' ', '\t']);
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some((name.trim_matches([' ', '\t']), bare.unwrap_or(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(lines: &[&'static str], name: &str) -> Option<String> {
        let headers = lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line))).collect();
        Asking { headers: &headers, client: "127.0.0.1" }.cookie(name).map(str::to_owned)
    }

    #[test]
    fn a_cookie_is_found_in_any_of_several_headers_and_the_first_of_a_name_counts() {
        let lines = ["theme=dark; user=alice", "user=bob;id=7"];
        for (name, value) in [("theme", Some("dark")), ("user", Some("alice")), ("id", Some("7")), ("User", None)] {
            assert_eq!(cookie(&lines, name).as_deref(), value, "{name}");
        }
        assert_eq!(cookie(&[], "user"), None);
    }

    #[test]
    fn a_cookies_value_may_stand_in_quotes_hold_equals_signs_and_be_empty() {
        let lines = [r#"a="quoted"; b=x=y==; c=; d="; e = spaced ;f;=nameless; g="""#];
        let wanted = [("a", "quoted"), ("b", "x=y=="), ("c", ""), ("d", "\""), ("e", "spaced"), ("g", "")];
        for (name, value) in wanted {
            assert_eq!(cookie(&lines, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(cookie(&lines, "f"), None);
    }

    #[test]
    fn a_header_that_is_no_text_shows_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("alice"));
        headers.insert("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        let asking = Asking { headers: &headers, client: "127.0.0.1" };
        assert_eq!((asking.header("x-user"), asking.header("x-bytes")), (Some("alice"), None));
        assert_eq!(asking.header("no such: name"), None);
    }
}
