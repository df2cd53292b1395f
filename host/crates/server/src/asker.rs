//! What a request shows of itself to whoever decides its versions: headers, cookies and its client's address.

use bobbin_keys::Key;
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
    /// The key that it was admitted with, if any was asked for.
    pub(crate) key: Option<&'a Key>,
}

impl Asker for Asking<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(text)
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        // HTTP/2 splits cookies into several headers at will.
        let mut all = self.headers.get_all(COOKIE).iter().flat_map(cookies);
        let (_, value) = all.find(|(found, _)| *found == name.as_bytes())?;
        std::str::from_utf8(value).ok()
    }

    fn client(&self) -> &str {
        self.client
    }

    fn is_restricted(&self) -> bool {
        self.key.is_some_and(Key::is_for_some_models)
    }

    fn may_use(&self, graph: &str) -> bool {
        self.key.is_none_or(|key| key.allows_model(graph))
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The cookies of one header, as RFC 6265 has them: names are case-sensitive, a value may stand in quotes. In bytes:
/// what is no text in one cookie must not hide the others, or a client would change sides with it.
fn cookies(line: &HeaderValue) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.as_bytes().split(|byte| *byte == b';').filter_map(|pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next()?.trim_ascii(), halves.next()?.trim_ascii());
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some((name, bare.unwrap_or(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(lines: &[impl AsRef<[u8]>], name: &str) -> Option<String> {
        let headers = lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line.as_ref()).unwrap())).collect();
        Asking { headers: &headers, client: "127.0.0.1", key: None }.cookie(name).map(str::to_owned)
    }

    #[test]
    fn a_cookie_is_found_in_any_of_several_headers_and_the_first_of_a_name_counts() {
        let lines = ["theme=dark; user=alice", "user=bob;id=7"];
        for (name, value) in [("theme", Some("dark")), ("user", Some("alice")), ("id", Some("7")), ("User", None)] {
            assert_eq!(cookie(&lines, name).as_deref(), value, "{name}");
        }
        assert_eq!(cookie(&[""; 0], "user"), None);
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
    fn a_cookie_that_is_no_text_hides_no_other_in_its_line_or_in_another() {
        let lines: [&[u8]; 3] = [b"\xff=1; uid=bob; theme=\xfe", b"\xc3; lang=\"\xff\"", b"id=7; lang=en"];
        for (name, value) in [("uid", Some("bob")), ("id", Some("7")), ("theme", None)] {
            assert_eq!(cookie(&lines, name).as_deref(), value, "{name}");
        }
        assert_eq!(cookie(&lines, "lang"), None, "the first of a name counts, whatever it is");
        assert_eq!(cookie(&[b"\xff=1", b"uid=bob".as_slice()], "uid").as_deref(), Some("bob"));
    }

    #[test]
    fn a_header_that_is_no_text_shows_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("alice"));
        headers.insert("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        let asking = Asking { headers: &headers, client: "127.0.0.1", key: None };
        assert_eq!((asking.header("x-user"), asking.header("x-bytes")), (Some("alice"), None));
        assert_eq!(asking.header("no such: name"), None);
    }
}
