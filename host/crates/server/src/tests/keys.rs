//! API keys on the way of a request, and in the admin API.

use super::contract::Api;
use super::host::{Fake, Host, Pieces, get, json, request, send, text};
use crate::access::{Door, check};
use crate::{Access, ErrorStyle, FixedAnswer, KeyPolicy};
use bobbin_keys::{Created, Keys, Wanted};
use bobbin_runtime::{Callee, Failure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use serde_json::json as value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const REQUIRED: Access = Access { keys: KeyPolicy::Required, errors: ErrorStyle::Problem };

fn named(name: &str) -> Wanted {
    Wanted { name: name.into(), ..Wanted::default() }
}

fn made(keys: &Keys, wanted: Wanted) -> (String, String) {
    let Created { key, token, .. } = keys.create(wanted, None).unwrap();
    (key.id.to_string(), format!("Bearer {}", token.reveal()))
}

async fn ask(addr: SocketAddr, path: &str, authorization: &str) -> Response<Incoming> {
    send(addr, request(path).header("authorization", authorization).body(Full::default()).unwrap()).await
}

/// Tells who asks, and what it sees of the key.
fn witness(calls: &Arc<AtomicUsize>) -> Fake {
    let calls = Arc::clone(calls);
    Fake::new(move |call| {
        calls.fetch_add(1, Ordering::Relaxed);
        let principal = call.context.principal.as_deref().unwrap_or("nobody");
        let shown = call.request.headers().contains_key("authorization");
        let names: Vec<&str> = call.pins.iter().map(|pin| &**pin.name()).collect();
        let told: &'static str = format!("{principal} {shown} {}", names.join("+")).leak();
        async move { Ok(Response::new(Pieces::of(told))) }
    })
}

#[tokio::test]
async fn a_component_learns_of_its_request_alone_and_only_when_the_key_is_right() {
    let calls = Arc::default();
    let host = Host::builder()
        .guarded("/story", REQUIRED, witness(&calls))
        .release("trigger /story", "story", "storyteller@1.0.0")
        .release("trigger /story", "tale", "storyteller@1.0.0")
        .alive()
        .start()
        .await;
    let (id, bearer) = made(&host.keys, named("all"));
    let (restricted, one) = made(&host.keys, Wanted { models: Some(["tale".into()].into()), ..named("one") });
    for wrong in ["Bearer", "Bearer x", "Basic x", bearer.trim_start_matches("Bearer ")] {
        assert_eq!(ask(host.app, "/story", wrong).await.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert_eq!(get(host.app, "/story").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(text(ask(host.app, "/story", &bearer).await).await, format!("{id} false story+tale"));
    assert_eq!(text(ask(host.app, "/story", &one).await).await, format!("{restricted} false tale"));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn two_keys_in_one_request_are_none() {
    let calls = Arc::default();
    let host = Host::builder().guarded("/story", REQUIRED, witness(&calls)).start().await;
    let (_, bearer) = made(&host.keys, named("all"));
    let twice = request("/story").header("authorization", &bearer).header("authorization", &bearer);
    let answer = send(host.app, twice.body(Full::default()).unwrap()).await;
    assert_eq!(
        (answer.status(), json(answer).await["code"].clone()),
        (StatusCode::UNAUTHORIZED, value!("missing_key"))
    );
}

#[tokio::test]
async fn a_route_that_has_nothing_to_do_with_keys_passes_on_what_it_is_sent() {
    let calls = Arc::default();
    let host = Host::builder().route("/story", witness(&calls)).start().await;
    made(&host.keys, named("all"));
    assert_eq!(text(ask(host.app, "/story", "Bearer x").await).await, "nobody true ");
}

#[tokio::test]
async fn a_key_goes_before_everything_that_the_host_could_say_about_a_request() {
    let calls = Arc::default();
    let fixed = FixedAnswer::new(200, [], "fixed").unwrap();
    let host = Host::builder()
        .guarded("/story", Access { errors: ErrorStyle::OpenAi, ..REQUIRED }, witness(&calls))
        .fixed_guarded("/fixed", REQUIRED, fixed)
        .limits(|limits| limits.max_in_flight = 0)
        .start()
        .await;
    let (_, bearer) = made(&host.keys, Wanted { requests_per_minute: Some(2), ..named("two") });
    assert_eq!(get(host.app, "/story").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get(host.app, "/fixed").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(ask(host.app, "/fixed", &bearer).await).await, "fixed");
    // What the host has no place for does not use up the key's minute.
    for _ in 0..3 {
        let full = ask(host.app, "/story", &bearer).await;
        assert_eq!(
            (full.status(), &full.headers()["x-ratelimit-remaining-requests"]),
            (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
        );
        assert_eq!(json(full).await["error"]["type"], "server_error");
    }
    assert_eq!(text(ask(host.app, "/fixed", &bearer).await).await, "fixed");
    let metrics = host.metrics().await;
    assert!(metrics.contains("bobbin_key_requests_total{key=") && metrics.contains("\"} 2\n"), "{metrics}");
    let limited = ask(host.app, "/story", &bearer).await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.headers().contains_key("retry-after"));
    assert_eq!(get(host.app, "/.well-known/spin/health").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_loopback_listener_may_be_open_and_no_other_is() {
    let open = Access { keys: KeyPolicy::LoopbackOpen, errors: ErrorStyle::Problem };
    let calls = Arc::default();
    let host = Host::builder().guarded("/story", open, witness(&calls)).start().await;
    let here = Request::get("/story").header("host", "localhost").header("authorization", "bearer any");
    assert_eq!(text(send(host.app, here.body(Full::default()).unwrap()).await).await, "nobody false ");
    let door = Door { access: open, trigger: "t", path: "/story" };
    let head = Request::new(()).into_parts().0;
    assert!(check(&host.keys, false, door, &head).key.is_err(), "elsewhere nobody is let in");
    let (id, bearer) = made(&host.keys, named("all"));
    assert_eq!(get(host.app, "/story").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(ask(host.app, "/story", &bearer).await).await, format!("{id} false "));
}

#[tokio::test]
async fn what_is_open_to_this_machine_is_not_open_to_web_pages_on_it() {
    let open = |errors| Access { keys: KeyPolicy::LoopbackOpen, errors };
    let calls = Arc::default();
    let host = Host::builder()
        .guarded("/story", open(ErrorStyle::Problem), witness(&calls))
        .guarded("/v1", open(ErrorStyle::OpenAi), witness(&calls))
        .start()
        .await;
    let page = async |path: &str, name: &str, headers: &[(&str, &str)]| {
        let asked = headers
            .iter()
            .fold(Request::post(path).header("host", name), |asked, (name, value)| asked.header(*name, *value));
        send(host.app, asked.body(Full::default()).unwrap()).await
    };
    for name in ["localhost:3000", "127.0.0.1", "[::1]:3000", "app.localhost"] {
        let answer = page("/story", name, &[("origin", "http://localhost:5173")]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
    }
    assert_eq!(calls.swap(0, Ordering::Relaxed), 4);
    for (name, headers, code) in [
        ("rebound.test:3000", &[][..], "unexpected_host"),
        ("localhost", &[("origin", "https://evil.test")], "cross_site"),
        ("localhost", &[("origin", "null")], "cross_site"),
        ("localhost", &[("sec-fetch-site", "cross-site")], "cross_site"),
    ] {
        let refused = page("/story", name, headers).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{name} {headers:?}");
        let told = json(refused).await;
        assert_eq!(told["code"], code, "{told}");
        assert!(told["detail"].as_str().unwrap().contains("bobbin key create"), "{told}");
        let told = json(page("/v1", name, headers).await).await;
        assert_eq!(told["error"]["code"], code, "{told}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    // A key is what such a page does not have.
    let (id, bearer) = made(&host.keys, named("all"));
    let headers = [("origin", "https://evil.test"), ("authorization", bearer.as_str())];
    assert_eq!(text(page("/story", "proxy.test", &headers).await).await, format!("{id} false "));
}

#[tokio::test]
async fn a_host_without_an_instance_gives_its_request_back_to_the_key() {
    let full = Fake::new(|_call| async {
        Err(Failure::NoInstance { component: "component".into(), reason: "the pool is full".into() })
    });
    let host = Host::builder().guarded("/story", REQUIRED, full).start().await;
    let (_, bearer) = made(&host.keys, Wanted { requests_per_minute: Some(1), ..named("one") });
    for _ in 0..3 {
        let answer = ask(host.app, "/story", &bearer).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["x-ratelimit-remaining-requests"], "1");
    }
    assert!(!host.metrics().await.contains("bobbin_key_requests_total{"));
}

#[tokio::test]
async fn a_file_that_somebody_else_changes_counts_from_the_next_request_on_however_many_ask_at_once() {
    let calls = Arc::default();
    let host = Host::builder().guarded("/story", REQUIRED, witness(&calls)).start().await;
    let elsewhere = Keys::open(host.keys.file().path().to_owned()).unwrap();
    for _ in 0..5 {
        let Created { key, token, .. } = elsewhere.create(named("one"), None).unwrap();
        let bearer = format!("Bearer {}", token.reveal());
        let all = |status: StatusCode| {
            let asks = (0..20).map(|_| ask(host.app, "/story", &bearer));
            async move {
                for answer in futures::future::join_all(asks).await {
                    assert_eq!(answer.status(), status);
                }
            }
        };
        all(StatusCode::OK).await;
        elsewhere.revoke(&key.id).unwrap();
        all(StatusCode::UNAUTHORIZED).await;
    }
}

#[tokio::test]
async fn components_ask_each_other_without_a_key_for_the_one_who_asked_first() {
    let calls = Arc::default();
    let asks = Fake::new(|call| async move {
        let application = call.application.unwrap();
        let inner = Request::get("/story").body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap();
        let answer = application.call(Callee::Routes, inner).await.unwrap();
        let told = answer.into_body().collect().await.unwrap().to_bytes();
        let told: &'static str = String::from_utf8(told.to_vec()).unwrap().leak();
        Ok(Response::new(Pieces::of(told)))
    });
    let host = Host::builder()
        .guarded("/story", REQUIRED, witness(&calls))
        .asking("/open", Access::default(), asks.clone())
        .asking("/keyed", REQUIRED, asks)
        .start()
        .await;
    let (id, bearer) = made(&host.keys, named("all"));
    assert_eq!(text(get(host.app, "/open").await).await, "nobody false ");
    assert_eq!(text(ask(host.app, "/keyed", &bearer).await).await, format!("{id} false "));
}

#[tokio::test]
async fn the_api_makes_lists_and_revokes_keys() {
    let host = Host::builder()
        .guarded("/story", REQUIRED, Fake::text("x"))
        .release("trigger /story", "story", "storyteller@1.0.0")
        .start()
        .await;
    let api = Api::new(&host).await;
    assert_eq!(api.get("/admin/v1/keys").await.body["keys"], value!([]));
    let wanted = value!({
        "name": "a team", "routes": ["/story"], "models": ["story"], "expires": "2999-01-01T00:00:00Z",
        "requests_per_minute": 60, "tokens_per_minute": 1000,
    });
    let got = api.call("POST", "/admin/v1/keys", &wanted.to_string()).await;
    assert_eq!(got.status, StatusCode::CREATED, "{got:?}");
    let token = got.body["token"].as_str().unwrap();
    let id = got.body["key"]["id"].as_str().unwrap();
    assert_eq!(ask(host.app, "/story", &format!("Bearer {token}")).await.status(), StatusCode::OK);
    let listed = api.get("/admin/v1/keys").await.body;
    assert_eq!((&listed["keys"][0]["id"], &listed["keys"][0]["state"]), (&value!(id), &value!("active")));
    assert!(!listed.to_string().contains(token));
    let revoked = api.call("DELETE", &format!("/admin/v1/keys/{id}"), "").await;
    assert_eq!((revoked.status, &revoked.body["state"]), (StatusCode::OK, &value!("revoked")));
    assert_eq!(ask(host.app, "/story", &format!("Bearer {token}")).await.status(), StatusCode::UNAUTHORIZED);
    let again = api.call("DELETE", &format!("/admin/v1/keys/{id}"), "").await;
    assert_eq!(again.body, revoked.body);
}

#[tokio::test]
async fn the_api_refuses_what_makes_no_sense_and_says_what_there_is() {
    let host = Host::builder()
        .guarded("/story", REQUIRED, Fake::text("x"))
        .release("trigger /story", "story", "storyteller@1.0.0")
        .start()
        .await;
    let api = Api::new(&host).await;
    for (body, problem, part) in [
        ("", (400, "invalid_body"), "EOF"),
        (r#"{"name":""}"#, (422, "invalid_change"), "name"),
        (r#"{"name":"a","routes":["/stroy"]}"#, (422, "invalid_change"), r#"did you mean "/story"?"#),
        (r#"{"name":"a","routes":["trigger /story"],"models":["stry"]}"#, (422, "invalid_change"), r#""story""#),
        (r#"{"name":"a","tokens_per_minute":0}"#, (422, "invalid_change"), "tokens_per_minute is 0"),
    ] {
        let got = api.call("POST", "/admin/v1/keys", body).await;
        assert_eq!(got.problem(), problem, "{body}");
        assert!(got.body["detail"].as_str().unwrap().contains(part), "{body}: {}", got.body);
    }
    for id in ["abcd2345", "not-an-id", "bobbin_abcd2345_secret"] {
        let got = api.call("DELETE", &format!("/admin/v1/keys/{id}"), "").await;
        assert_eq!(got.problem(), (404, "unknown_key"), "{id}");
        assert!(!got.body.to_string().contains("secret"), "{}", got.body);
    }
    std::fs::write(host.keys.file().path(), "nonsense").unwrap();
    assert_eq!(api.get("/admin/v1/keys").await.problem(), (500, "unreadable_keys"));
    assert_eq!(api.call("POST", "/admin/v1/keys", r#"{"name":"a"}"#).await.problem(), (500, "unreadable_keys"));
    let foreign = Request::post("/admin/v1/keys").header("host", "localhost").header("origin", "http://evil.test");
    let refused = send(host.admin, foreign.body(Full::from(Bytes::from(r#"{"name":"a"}"#))).unwrap()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_metrics_tell_what_each_key_used_by_its_id() {
    let host = Host::builder().guarded("/story", REQUIRED, Fake::text("x")).start().await;
    let (id, bearer) = made(&host.keys, Wanted { requests_per_minute: Some(1), ..named("one") });
    made(&host.keys, named("unused"));
    ask(host.app, "/story", &bearer).await;
    ask(host.app, "/story", &bearer).await;
    host.keys.charge(&id, 42);
    let metrics = host.metrics().await;
    for line in [
        format!(r#"bobbin_key_requests_total{{key="{id}"}} 1"#),
        format!(r#"bobbin_key_limited_total{{key="{id}"}} 1"#),
        format!(r#"bobbin_key_tokens_total{{key="{id}"}} 42"#),
        r#"bobbin_http_refused_total{reason="requests_per_minute"} 1"#.to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in {metrics}");
    }
    assert_eq!(metrics.lines().filter(|line| line.starts_with("bobbin_key_requests_total{")).count(), 1);
}
