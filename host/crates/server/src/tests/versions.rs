//! The versions of a request: decided by what it shows of itself, and what it is told when one retires.

use super::contract::Api;
use super::host::{Fake, Host, Pieces, get, json, request, send, text};
use bobbin_inference::Cause;
use bobbin_runtime::Failure;
use http::{Response, StatusCode};
use http_body_util::Full;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

/// Answers with the version that it was pinned to, and with the header that asks for one.
fn pinned() -> Fake {
    Fake::new(|call| async move {
        let bundle = call.pins.graph("story").unwrap().bundle().to_string();
        let seen = call.request.headers().contains_key("bobbin-version");
        let body = format!("{bundle} {seen}");
        Ok(Response::new(Pieces::new().1.before(std::iter::once(Ok(&*body.leak())))))
    })
}

async fn host(settings: serde_json::Value) -> Host {
    let host = Host::builder()
        .route("/story", pinned())
        .release("trigger /story", "story", "storyteller@1.0.0")
        .alive()
        .start()
        .await;
    let mut body = serde_json::json!({"expected_generation": 1,
        "candidate": {"bundle": "storyteller@1.1.0", "weight": 50}});
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let api = Api::new(&host).await;
    let changed = api.call("PUT", "/admin/v1/releases/story?wait=ready", &body.to_string()).await;
    assert_eq!(changed.status, StatusCode::OK);
    host
}

async fn ask(host: &Host, name: &str, value: &str) -> String {
    text(send(host.app, request("/story").header(name, value).body(Full::default()).unwrap()).await).await
}

#[tokio::test]
async fn a_tester_asks_for_a_version_and_the_component_never_sees_it() {
    let host = host(serde_json::json!({"version_header": true})).await;
    for (asked, bundle) in
        [("candidate", "storyteller@1.1.0"), ("stable", "storyteller@1.0.0"), ("1.1.0", "storyteller@1.1.0")]
    {
        for _ in 0..3 {
            assert_eq!(ask(&host, "bobbin-version", asked).await, format!("{bundle} false"), "{asked}");
        }
    }
}

#[tokio::test]
async fn the_header_is_no_business_of_a_component_even_where_it_decides_nothing() {
    let host = host(serde_json::json!({"candidate": null})).await;
    assert_eq!(ask(&host, "bobbin-version", "candidate").await, "storyteller@1.0.0 false");
}

#[tokio::test]
async fn a_cookie_keeps_its_side() {
    let host = host(serde_json::json!({"sticky": "cookie:user"})).await;
    let mut sides = std::collections::BTreeSet::new();
    for user in 0..20 {
        let cookie = format!("theme=dark; user=\"u{user}\"");
        let side = ask(&host, "cookie", &cookie).await;
        for _ in 0..2 {
            assert_eq!(ask(&host, "cookie", &cookie).await, side);
        }
        sides.insert(side);
    }
    assert_eq!(sides.len(), 2, "half of twenty users are on each side, or nearly");
}

#[tokio::test]
async fn an_answer_whose_version_retired_can_be_asked_for_again() {
    let retired =
        Fake::new(|_| async { Err(Failure::NoAnswer { component: "story".into(), cause: Cause::VersionRetired }) });
    let broken = Fake::new(|_| async {
        let (sender, body) = Pieces::new();
        sender.send(Ok("once ")).unwrap();
        sender.send(Err(Cause::VersionRetired)).unwrap();
        Ok(Response::new(body))
    });
    let host = Host::builder().route("/retired", retired).route("/broken", broken).start().await;
    let refused = get(host.app, "/retired").await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
    assert_eq!(json(refused).await["code"], "version_retired");
    let answer = super::host::raw(host.app, "GET /broken HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(answer.contains("once ") && !answer.contains("\r\n0\r\n"), "{answer}");
    let metrics = host.metrics().await;
    let line = r#"bobbin_http_broken_answers_total{route="trigger /broken",cause="version_retired"} 1"#;
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}

#[tokio::test]
async fn what_a_replaced_version_still_answers_is_seen_in_its_release_and_in_the_metrics() {
    let (started, mut starts) = mpsc::unbounded_channel();
    let finish = Arc::new(Notify::new());
    let ended = Arc::clone(&finish);
    let slow = Fake::new(move |call| {
        started.send(()).unwrap();
        let ended = Arc::clone(&ended);
        async move {
            ended.notified().await;
            drop(call);
            Ok(Response::new(Pieces::of("x")))
        }
    });
    let host = Host::builder()
        .route("/story", slow)
        .release("trigger /story", "story", "storyteller@1.0.0")
        .alive()
        .start()
        .await;
    let app = host.app;
    let asked = tokio::spawn(async move { text(get(app, "/story").await).await });
    starts.recv().await.unwrap();
    let api = Api::new(&host).await;
    let body = r#"{"expected_generation":1,"stable":"storyteller@1.1.0"}"#;
    let changed = api.call("PUT", "/admin/v1/releases/story?wait=ready", body).await;
    let draining = &changed.body["draining"][0];
    assert_eq!((&draining["bundle"], &draining["leases"]), (&"storyteller@1.0.0".into(), &1.into()));
    let line = r#"bobbin_release_draining_leases{release="trigger /story:story",bundle="storyteller@1.0.0"} 1"#;
    let metrics = host.metrics().await;
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    finish.notify_one();
    assert_eq!(asked.await.unwrap(), "x");
    assert!(!host.metrics().await.contains("bobbin_release_draining_leases{"), "nothing is left of it");
}
