//! The console's pages: built from `host/ui`, and in the binary as they were built.
//!
//! They show what the API says, hold nothing themselves, and may load nothing from anywhere else: the content security
//! policy lets in no script and no style but these files', and no text can become a script (trusted types).

use super::answer::{AdminBody, Answer, respond};
use http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Method, StatusCode, request};

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// A file of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Document,
    Script,
    Style,
    Icon,
}

/// The page that a request is for. At `/` it is the browsers': they alone ask for HTML.
pub(super) fn find(head: &request::Parts) -> Option<Page> {
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    let page = match head.uri.path() {
        "/" if wants_html(&head.headers) => Page::Document,
        "/console/app.js" => Page::Script,
        "/console/app.css" => Page::Style,
        "/console/icon.svg" => Page::Icon,
        _ => return None,
    };
    reads.then_some(page)
}

fn wants_html(headers: &HeaderMap) -> bool {
    let kinds = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    kinds
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "text/html"))
}

impl Page {
    pub(super) fn answer(self) -> Answer {
        let (kind, bytes): (&str, &'static [u8]) = match self {
            Self::Document => ("text/html; charset=utf-8", include_bytes!("../../../../ui/dist/index.html")),
            Self::Script => ("text/javascript; charset=utf-8", include_bytes!("../../../../ui/dist/app.js")),
            Self::Style => ("text/css; charset=utf-8", include_bytes!("../../../../ui/dist/app.css")),
            Self::Icon => ("image/svg+xml", include_bytes!("../../../../ui/dist/icon.svg")),
        };
        let mut answer = respond(StatusCode::OK, HeaderValue::from_static(kind), bytes).map(AdminBody::Whole);
        let headers = answer.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(OPENER_POLICY, SAME_ORIGIN);
        headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
        headers.insert(VARY, HeaderValue::from_static("accept"));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn found(method: &str, path: &str, accept: Option<&str>) -> Option<Page> {
        let asked = Request::builder().method(method).uri(path);
        let asked = accept.into_iter().fold(asked, |asked, accept| asked.header(ACCEPT, accept));
        find(&asked.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_browser_gets_the_console_and_everybody_else_the_index() {
        let browsers = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(found("GET", "/", Some(browsers)), Some(Page::Document));
        for accept in [None, Some("*/*"), Some("application/json"), Some("text/*")] {
            assert_eq!(found("GET", "/", accept), None, "{accept:?}");
        }
        assert_eq!(found("GET", "/console/app.js", Some("*/*")), Some(Page::Script));
        assert_eq!(found("HEAD", "/console/app.css", None), Some(Page::Style));
        for (method, path) in
            [("POST", "/"), ("PUT", "/console/app.js"), ("GET", "/console/"), ("GET", "/admin/v1/keys")]
        {
            assert_eq!(found(method, path, Some(browsers)), None, "{method} {path}");
        }
    }

    #[test]
    fn the_document_has_no_script_or_style_of_its_own() {
        let document = std::str::from_utf8(include_bytes!("../../../../ui/dist/index.html")).unwrap();
        for forbidden in ["<style", " style=", " onclick", " onload", "javascript:", "http://", "https://"] {
            assert!(!document.contains(forbidden), "{forbidden}");
        }
        for script in document.split("<script").skip(1) {
            assert!(script.split('>').next().is_some_and(|tag| tag.contains("src=")), "{script}");
        }
    }
}
