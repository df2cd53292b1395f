//! Spin's routing, and Spin's request headers.

use super::host::{Fake, Host, Pieces, entry, get, json, raw, request, send, text};
use crate::routes::{Answerer, RouteEntry, RouteError, RoutePath, RouteTable};
use http::{Response, StatusCode};
use http_body_util::Full;
use tokio::sync::mpsc;

fn table(routes: &[&str]) -> RouteTable<String> {
    RouteTable::build(routes.iter().map(|route| entry(route, (*route).to_owned())).collect()).unwrap()
}

#[test]
fn paths_find_the_routes_that_spin_would_choose() {
    let cases: &[(&[&str], &str, Option<&str>, &str)] = &[
        // routes, path, the route it finds, the path info
        (&["/foo", "/foo/bar"], "/foo", Some("/foo"), ""),
        (&["/foo", "/foo/bar"], "/foo/bar", Some("/foo/bar"), ""),
        (&["/foo", "/foo/bar"], "/foo/baz", None, ""),
        (&["/foo"], "/foobar", None, ""),
        (&["/foo"], "/Foo", None, ""),
        (&["/foo"], "/foo/", Some("/foo"), ""),
        (&["/foo/"], "/foo", Some("/foo/"), ""),
        (&["foo"], "/foo", Some("foo"), ""),
        (&["/"], "/", Some("/"), ""),
        (&["/"], "/foo", None, ""),
        (&["/..."], "/", Some("/..."), "/"),
        (&["/..."], "/foo/bar", Some("/..."), "/foo/bar"),
        (&["/..."], "/foo/bar/", Some("/..."), "/foo/bar/"),
        (&["/*"], "/foo", Some("/*"), "/foo"),
        (&["/test/..."], "/test", Some("/test/..."), ""),
        (&["/test/..."], "/test/", Some("/test/..."), "/"),
        (&["/test/..."], "/test/hello", Some("/test/..."), "/hello"),
        (&["/test/..."], "/test/hello/", Some("/test/..."), "/hello/"),
        (&["/test/..."], "/testing", None, ""),
        (
            &["/one/...", "/one/two/...", "/one/two/three/..."],
            "/one/two/three/four",
            Some("/one/two/three/..."),
            "/four",
        ),
        (
            &["/one/two/three/...", "/one/two/...", "/one/..."],
            "/one/two/three/four",
            Some("/one/two/three/..."),
            "/four",
        ),
        (&["/one/two/three/...", "/one/two/...", "/one/..."], "/one/zwei", Some("/one/..."), "/zwei"),
        (&["/one", "/..."], "/one", Some("/one"), ""),
        (&["/...", "/one"], "/one", Some("/one"), ""),
        (&["/:id", "/one", "/..."], "/one", Some("/one"), ""),
        (&["/:id", "/one", "/..."], "/two", Some("/:id"), ""),
        (&["/:id", "/one", "/..."], "/two/three", Some("/..."), "/two/three"),
        (&["/users/:id/posts"], "/users/7/posts", Some("/users/:id/posts"), ""),
        (&["/users/:id/posts"], "/users//posts", Some("/users/:id/posts"), ""),
        (&["/users/:id/..."], "/users/7/a/b", Some("/users/:id/..."), "/a/b"),
        (&["/a%20b"], "/a%20b", Some("/a%20b"), ""),
        (&["/a%20b"], "/a b", None, ""),
        (&["/..."], "/a%2Fb", Some("/..."), "/a%2Fb"),
    ];
    for (routes, path, wanted, path_info) in cases {
        let table = table(routes);
        let found = table.find(path);
        assert_eq!(found.as_ref().map(|found| found.target.raw.as_str()), *wanted, "{routes:?} {path}");
        assert_eq!(found.map(|found| found.path_info).unwrap_or_default(), *path_info, "{routes:?} {path}");
    }
}

#[test]
fn parameters_are_captured_as_they_came() {
    let table = table(&["/users/:user_id/:file.txt/..."]);
    let found = table.find("/users/a%20b/notes.txt/rest").unwrap();
    assert_eq!(found.params, [("user_id", "a%20b"), ("file", "notes")]);
    assert_eq!(found.path_info, "/rest");
}

#[test]
fn a_private_trigger_is_in_no_table() {
    let private = RouteEntry { route: RoutePath::Private, ..entry("", ()) };
    let table = RouteTable::build(vec![private, entry("/open", ())]).unwrap();
    assert!(table.find("/").is_none());
    assert!(table.find("/open").is_some());
}

#[test]
fn routes_that_are_none_are_refused_with_the_reason() {
    for (route, reason) in [
        ("/a/.../b", "a wildcard must be its last segment"),
        ("/*/b", "a wildcard must be its last segment"),
        ("/*.txt", "wildcard"),
        ("/a/*name", "wildcard"),
        ("/:", "params must be named"),
        ("/caf\u{e9}", "percent-encode"),
    ] {
        let error = RouteTable::build(vec![entry(route, ())]).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains(route), "{error}");
    }
}

#[test]
fn two_triggers_in_one_place_are_refused() {
    let error = RouteTable::build(vec![entry("/a", ()), entry("/b", ()), entry("/a/", ())]).unwrap_err();
    let RouteError::Duplicate { first, second, .. } = &error else { panic!("{error}") };
    assert_eq!((&**first, &**second), ("trigger /a", "trigger /a/"));
}

#[test]
fn no_path_makes_the_router_panic() {
    let table = table(&["/", "/:a.:b", "/x.y/:z/...", "/:p/q", "/a.b.c"]);
    let alphabet = ["/", ".", "a", "x", "q", ":", "*", "%2F", "\u{e9}", "\u{1f9f5}"];
    for first in alphabet {
        for second in alphabet {
            for third in alphabet {
                for fourth in alphabet {
                    let _ = table.find(&format!("/{first}{second}{third}{fourth}"));
                }
            }
        }
    }
}

/// The headers that a component sees.
async fn seen_headers(route: &str, ask: http::Request<Full<bytes::Bytes>>) -> (http::request::Parts, u16) {
    seen_by(false, route, ask).await
}

/// `plain`: by one that does without Spin's headers.
async fn seen_by(plain: bool, route: &str, ask: http::Request<Full<bytes::Bytes>>) -> (http::request::Parts, u16) {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let fake = Fake::new(move |call| {
        seen.send(call.request.into_parts().0).unwrap();
        async { Ok(Response::new(Pieces::of("x"))) }
    });
    let mut entry = entry(route, fake);
    if let Answerer::Component { plain: wanted, .. } = &mut entry.answerer {
        *wanted = plain;
    }
    let host = Host::builder().component(entry).start().await;
    assert_eq!(send(host.app, ask).await.status(), StatusCode::OK);
    (sees.recv().await.unwrap(), host.app.port())
}

#[tokio::test]
async fn a_component_gets_spins_headers() {
    let ask = request("/users/7/a/b/?k=v").body(Full::default()).unwrap();
    let (head, _) = seen_headers("/users/:user_id/...", ask).await;
    let header = |name: &str| head.headers[name].to_str().unwrap();
    assert_eq!(header("spin-path-info"), "/a/b/");
    assert_eq!(header("spin-full-url"), "http://tales.test/users/7/a/b/?k=v");
    assert_eq!(header("spin-matched-route"), "/users/:user_id/...");
    assert_eq!(header("spin-raw-component-route"), "/users/:user_id/...");
    assert_eq!(header("spin-component-route"), "/users/:user_id");
    assert_eq!(header("spin-base-path"), "/");
    assert_eq!(header("spin-path-match-user-id"), "7");
    assert!(header("spin-client-addr").starts_with("127.0.0.1:"));
    assert_eq!(head.uri, "http://tales.test/users/7/a/b/?k=v");
}

#[tokio::test]
async fn a_client_cannot_smuggle_in_what_the_host_says() {
    let ask = request("/here")
        .header("spin-path-info", "/evil")
        .header("Spin-Client-Addr", "10.0.0.1:1")
        .header("spin-client-addr", "10.0.0.2:2")
        .header("spin-path-match-admin", "yes")
        .header("spin-flavour", "kept")
        .header("connection", "keep-alive")
        .body(Full::default())
        .unwrap();
    let (head, _) = seen_headers("/here", ask).await;
    assert_eq!(head.headers["spin-path-info"], "");
    assert_eq!(head.headers.get_all("spin-client-addr").iter().count(), 1);
    assert!(head.headers["spin-client-addr"].to_str().unwrap().starts_with("127.0.0.1:"));
    assert!(!head.headers.contains_key("spin-path-match-admin"));
    assert!(!head.headers.contains_key("connection"));
    assert_eq!(head.headers["spin-flavour"], "kept");
}

#[tokio::test]
async fn a_component_that_does_without_sees_what_the_client_sent_and_nothing_in_spins_place() {
    let ask = request("/users/7/a?k=v").header("spin-client-addr", "10.0.0.1:1").header("x-own", "kept");
    let (head, _) = seen_by(true, "/users/:user_id/...", ask.body(Full::default()).unwrap()).await;
    assert_eq!(head.uri, "http://tales.test/users/7/a?k=v");
    assert_eq!(head.headers["x-own"], "kept");
    let spins = head.headers.keys().filter(|name| name.as_str().starts_with("spin-")).count();
    assert_eq!(spins, 0, "{:?}", head.headers);
}

#[tokio::test]
async fn a_request_without_one_clear_host_is_refused() {
    let host = Host::with(Fake::text("x")).await;
    for (asks, why) in [
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "names no host"),
        ("GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", "names no host"),
        ("GET http://a/ HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n", "different hosts"),
        ("GET / HTTP/1.1\r\nhost: other.spin.internal\r\nconnection: close\r\n\r\n", "spin.internal"),
    ] {
        let answer = raw(host.app, asks).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(why), "{asks} {answer}");
    }
}

#[tokio::test]
async fn the_host_answers_spins_own_paths() {
    let host = Host::with(Fake::text("component")).await;
    assert_eq!(text(get(host.app, "/.well-known/spin/health").await).await, "OK");
    let info = get(host.app, "/.well-known/spin/info").await;
    assert_eq!(info.headers()["content-type"], "application/json");
    assert_eq!(json(info).await, serde_json::json!({"name": "tales", "version": "0.1.0"}));
    assert_eq!(get(host.app, "/.well-known/spin/other").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(get(host.app, "/.well-known/other").await).await, "component");
}

#[tokio::test]
async fn an_unknown_path_is_404_and_adds_no_label() {
    let host = Host::builder().route("/known", Fake::text("x")).start().await;
    for path in ["/unknown", "/unknown/2", "/unknown/3"] {
        let response = get(host.app, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(json(response).await["code"], "no_route");
    }
    let metrics = host.metrics().await;
    assert!(metrics.contains(r#"bobbin_http_requests_total{route="none",bundle="none",status="404"} 3"#), "{metrics}");
    assert!(!metrics.contains("unknown"), "{metrics}");
}
