//! What the console asks: routes, workers, series and prompts; and that its pages need no token.

use super::contract::Api;
use super::host::{Fake, Host, get, request, send, text};
use crate::{Access, Answerer, FixedAnswer, KeyPolicy, RouteEntry, RoutePath};
use bobbin_runtime::Calls;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::json;

#[tokio::test]
async fn every_trigger_is_shown_with_its_path_its_component_and_its_need_of_keys() {
    let private = RouteEntry {
        trigger_id: "inner".into(),
        route: RoutePath::Private,
        access: Access::default(),
        answerer: Answerer::Component {
            id: "inner".into(),
            handler: Fake::text("x"),
            calls: Calls::default(),
            plain: false,
        },
    };
    let fixed = FixedAnswer::new(200, [], "").unwrap();
    let host = Host::builder()
        .guarded("/story", Access { keys: KeyPolicy::Required, ..Access::default() }, Fake::text("x"))
        .component(private)
        .fixed("/robots.txt", fixed)
        .start()
        .await;
    let application = Api::new(&host).await.get("/admin/v1/application").await.body;
    assert_eq!((&application["name"], &application["host_version"]), (&json!("tales"), &json!("1.2.3")));
    let wanted = json!([
        {"trigger": "trigger /story", "kind": "http", "path": "/story", "component": "component", "keys": "required"},
        {"trigger": "inner", "kind": "http", "path": null, "component": "inner", "keys": "none"},
        {"trigger": "trigger /robots.txt", "kind": "http", "path": "/robots.txt", "component": null, "keys": "none"},
    ]);
    assert_eq!(application["routes"], wanted);
}

#[tokio::test]
async fn a_worker_is_shown_for_each_version_and_a_card_as_it_was_written() {
    let host = Host::builder().release("http:/story:tales", "story", "storyteller@1.0.0").alive().start().await;
    let api = Api::new(&host).await;
    let workers = api.get("/admin/v1/workers").await.body;
    let worker = &workers["workers"][0];
    assert_eq!(
        (&worker["bundle"], &worker["state"], &worker["need_bytes"]),
        (&json!("storyteller@1.0.0"), &json!("ready"), &json!(1))
    );
    let bundles = api.get("/admin/v1/bundles").await.body;
    assert_eq!(bundles["bundles"][0]["card"]["limits"], "<script>alert(1)</script>");
    assert_eq!(bundles["bundles"][1]["card"], json!(null));
}

#[tokio::test]
async fn what_is_not_live_cannot_be_tried_out() {
    let host = Host::builder().release("http:/story:tales", "story", "storyteller@1.0.0").start().await;
    let api = Api::new(&host).await;
    let play = async |body: serde_json::Value| api.call("POST", "/admin/v1/playground", &body.to_string()).await;
    let other = play(json!({"release": "story", "bundle": "storyteller@1.1.0", "prompt": "x"})).await;
    assert_eq!(other.problem(), (409, "version_not_live"));
    let unknown = play(json!({"release": "none", "prompt": "x"})).await;
    assert_eq!(unknown.problem(), (404, "unknown_release"));
    let asleep = play(json!({"release": "story", "prompt": "x"})).await;
    assert_eq!(asleep.problem(), (503, "version_unavailable"), "it was not brought to life");
}

#[tokio::test]
async fn the_pages_need_no_token_and_what_they_show_does() {
    let host = Host::builder().token("secret").start().await;
    let page = |path: &str| request(path).header(ACCEPT, "text/html").body(Full::default()).unwrap();
    let document = send(host.admin, page("/")).await;
    assert_eq!(document.status(), StatusCode::OK);
    assert_eq!(document.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(document.headers().contains_key(CONTENT_SECURITY_POLICY));
    assert!(text(document).await.contains("console/app.js"));
    assert_eq!(send(host.admin, page("/console/app.js")).await.status(), StatusCode::OK);
    for path in ["/admin/v1/application", "/admin/v1/workers", "/admin/v1/series", "/admin/v1/events", "/metrics"] {
        assert_eq!(send(host.admin, page(path)).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(get(host.admin, "/").await.status(), StatusCode::UNAUTHORIZED, "the index is the API's");
}

#[tokio::test]
async fn without_a_token_the_pages_are_for_names_of_this_machine() {
    let host = Host::builder().start().await;
    let evil = Request::get("/").header("host", "evil.test").header(ACCEPT, "text/html").body(Full::default()).unwrap();
    assert_eq!(send(host.admin, evil).await.status(), StatusCode::FORBIDDEN);
}
