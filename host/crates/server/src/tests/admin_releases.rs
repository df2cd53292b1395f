//! Changing releases through the admin API.

use super::contract::{Api, Got};
use super::host::{Fake, Host, piece, send};
use http::StatusCode;
use http_body_util::Full;
use serde_json::json;
use std::time::Duration;

const ID: &str = "http:/story:tales:story";
const PATH: &str = "/admin/v1/releases/http:/story:tales:story";

/// A host whose one release serves storyteller@1.0.0.
async fn host() -> Host {
    Host::builder().release("http:/story:tales", "story", "storyteller@1.0.0").alive().start().await
}

async fn put(api: &Api, body: serde_json::Value) -> Got {
    api.call("PUT", PATH, &body.to_string()).await
}

async fn put_waiting(api: &Api, body: serde_json::Value) -> Got {
    api.call("PUT", &format!("{PATH}?wait=ready"), &body.to_string()).await
}

#[tokio::test]
async fn a_release_is_swapped_split_promoted_and_rolled_back() {
    let host = host().await;
    let api = Api::new(&host).await;
    let canary = json!({"expected_generation": 1, "candidate": {"bundle": "storyteller@1.1.0", "weight": 12.5},
        "sticky": "cookie:user", "reason": "a first look"});
    let canary = put_waiting(&api, canary).await;
    assert_eq!(canary.status, StatusCode::OK);
    assert_eq!(canary.body["generation"], 2);
    assert_eq!(canary.body["candidate"]["weight"], 12.5);
    assert_eq!(canary.body["candidate"]["state"], "ready");
    assert_eq!(
        (&canary.body["changed"]["who"], &canary.body["changed"]["why"]),
        (&json!("127.0.0.1"), &json!("a first look"))
    );

    let promoted = api.call("POST", &format!("{PATH}/promote?wait=ready"), r#"{"expected_generation":2}"#).await;
    assert_eq!(
        (&promoted.body["stable"]["bundle"], &promoted.body["candidate"]),
        (&json!("storyteller@1.1.0"), &json!(null))
    );
    assert_eq!(promoted.body["previous"]["bundle"], "storyteller@1.0.0");

    let back = api.call("POST", &format!("{PATH}/rollback"), r#"{"expected_generation":3,"reason":"too terse"}"#).await;
    assert_eq!(back.status, StatusCode::OK, "the previous version was kept warm");
    assert_eq!((&back.body["generation"], &back.body["stable"]["bundle"]), (&json!(4), &json!("storyteller@1.0.0")));

    let history = api.get(&format!("{PATH}/history")).await.body;
    let seen: Vec<_> =
        history["history"].as_array().unwrap().iter().map(|c| (&c["generation"], &c["action"])).collect();
    let wanted = [(4, "rollback"), (3, "promote"), (2, "put"), (1, "declared")].map(|(g, a)| (json!(g), json!(a)));
    assert_eq!(seen, wanted.iter().map(|(g, a)| (g, a)).collect::<Vec<_>>());
    let last = api.get(&format!("{PATH}/history?limit=1")).await.body;
    assert_eq!(last["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_that_must_load_something_is_accepted_and_shown_until_it_is_made() {
    let host = host().await;
    let api = Api::new(&host).await;
    let accepted = put(&api, json!({"expected_generation": 1, "stable": "slow@1.0.0"})).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(
        (&accepted.body["generation"], &accepted.body["pending"]["expected_generation"]),
        (&json!(1), &json!(1))
    );
    let second = put(&api, json!({"expected_generation": 1, "drain_seconds": 7})).await;
    assert_eq!((second.problem(), &second.body["current_generation"]), ((409, "change_in_progress"), &json!(1)));

    let given_up = api.call("DELETE", &format!("{PATH}/pending"), "").await;
    assert_eq!((given_up.status, &given_up.body["pending"]), (StatusCode::OK, &json!(null)));
    let again = api.call("DELETE", &format!("{PATH}/pending"), "").await;
    assert_eq!(again.problem(), (409, "nothing_pending"));
}

#[tokio::test]
async fn whoever_waits_hears_that_the_change_was_made_or_given_up() {
    let host = host().await;
    let api = Api::new(&host).await;
    let slow = || put_waiting(&api, json!({"expected_generation": 1, "stable": "slow@1.0.0"}));
    let give_up = async {
        while api.get(PATH).await.body["pending"].is_null() {}
        api.call("DELETE", &format!("{PATH}/pending"), "").await
    };
    let (overtaken, given_up) = tokio::join!(slow(), give_up);
    assert_eq!((overtaken.problem(), given_up.status), ((409, "superseded"), StatusCode::OK));
    let open = async {
        while api.get(PATH).await.body["pending"].is_null() {}
        host.bench.open_gate();
    };
    let (made, ()) = tokio::join!(slow(), open);
    assert_eq!((made.status, &made.body["stable"]["bundle"]), (StatusCode::OK, &json!("slow@1.0.0")));
}

#[tokio::test]
async fn a_change_goes_on_when_its_client_leaves() {
    let host = host().await;
    let api = Api::new(&host).await;
    let slow = put_waiting(&api, json!({"expected_generation": 1, "stable": "slow@1.0.0"}));
    let leave = async { while api.get(PATH).await.body["pending"].is_null() {} };
    tokio::select! {
        answered = slow => panic!("{answered:?}"),
        () = leave => {}
    }
    host.bench.open_gate();
    while api.get(PATH).await.body["generation"] != 2 {}
}

#[tokio::test]
async fn a_client_that_waits_for_long_is_not_taken_for_a_silent_one() {
    let period = Duration::from_millis(50);
    let host = Host::builder()
        .release("http:/story:tales", "story", "storyteller@1.0.0")
        .limits(|limits| limits.header_timeout = period)
        .alive()
        .start()
        .await;
    let api = Api::new(&host).await;
    let mut events = send(host.admin, api.request("GET", "/admin/v1/events", "")).await.into_body();
    let late = async {
        // Looked at several times in the meantime.
        tokio::time::sleep(period * 8).await;
        host.bench.open_gate();
    };
    let slow = put_waiting(&api, json!({"expected_generation": 1, "stable": "slow@1.0.0"}));
    let (made, ()) = tokio::join!(slow, late);
    assert_eq!(made.status, StatusCode::OK);
    let mut seen = String::new();
    while !seen.contains("event: release") {
        seen.push_str(std::str::from_utf8(&piece(&mut events).await.unwrap().unwrap()).unwrap());
    }
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins_and_the_other_hears_the_generation() {
    let host = host().await;
    let api = Api::new(&host).await;
    let writer = |seconds: u64| put(&api, json!({"expected_generation": 1, "drain_seconds": seconds}));
    let (first, second) = tokio::join!(writer(7), writer(8));
    let (won, lost) = if first.status == StatusCode::OK { (first, second) } else { (second, first) };
    assert_eq!((won.status, &won.body["generation"]), (StatusCode::OK, &json!(2)));
    assert_eq!((lost.problem(), &lost.body["current_generation"]), ((409, "stale_generation"), &json!(2)));
    assert_eq!(api.get(PATH).await.body["drain_seconds"], won.body["drain_seconds"]);
}

#[tokio::test]
async fn a_change_that_makes_no_sense_changes_nothing_and_says_why() {
    let host = host().await;
    let api = Api::new(&host).await;
    let before = api.get(PATH).await.body;
    let candidate = |bundle: &str, weight: f64| json!({"expected_generation": 1, "candidate": {"bundle": bundle, "weight": weight}});
    for (body, problem, part) in [
        (json!({"expected_generation": 0, "drain_seconds": 7}), (409, "stale_generation"), "generation 1"),
        (json!({"expected_generation": 2}), (409, "stale_generation"), "generation 1"),
        (json!({"expected_generation": 1, "stable": "absent@1.0.0"}), (422, "unknown_bundle"), "absent@1.0.0"),
        (json!({"expected_generation": 1, "shadow": "nonsense"}), (422, "unknown_bundle"), "nonsense"),
        (candidate("storyteller@1.1.0", 100.1), (422, "invalid_change"), "100.1"),
        (candidate("storyteller@1.1.0", 0.05), (422, "invalid_change"), "0.05"),
        (candidate("storyteller@1.0.0", 5.0), (422, "invalid_change"), "storyteller@1.0.0"),
        (json!({"expected_generation": 1, "shadow": "storyteller@1.0.0"}), (422, "invalid_change"), "shadow"),
        (json!({"expected_generation": 1, "drain_seconds": 86401}), (422, "invalid_change"), "86400"),
        (json!({"expected_generation": 1, "sticky": "ip"}), (422, "invalid_change"), "cookie:<name>"),
        (json!({"expected_generation": 1, "weight": 5}), (400, "invalid_body"), "weight"),
        (json!({"stable": "storyteller@1.1.0"}), (400, "invalid_body"), "expected_generation"),
    ] {
        let refused = put(&api, body.clone()).await;
        assert_eq!(refused.problem(), problem, "{body}");
        assert!(refused.body["detail"].as_str().unwrap().contains(part), "{}", refused.body);
    }
    for (step, problem) in [("promote", (409, "nothing_to_promote")), ("rollback", (409, "nothing_to_roll_back"))] {
        let refused = api.call("POST", &format!("{PATH}/{step}"), r#"{"expected_generation":1}"#).await;
        assert_eq!(refused.problem(), problem);
    }
    assert_eq!(api.get(PATH).await.body, before);
}

#[tokio::test]
async fn a_version_that_cannot_serve_leaves_the_old_one_serving_and_the_reason_in_sight() {
    let host = host().await;
    let api = Api::new(&host).await;
    for (bundle, code, part) in
        [("broken@1.0.0", "version_failed", "another digest"), ("heavy@1.0.0", "does_not_fit", "bytes")]
    {
        let refused = put_waiting(&api, json!({"expected_generation": 1, "stable": bundle})).await;
        assert_eq!(refused.problem(), (422, code));
        assert!(refused.body["detail"].as_str().unwrap().contains(part), "{}", refused.body);
        let release = api.get(PATH).await.body;
        assert_eq!((&release["generation"], &release["stable"]["state"]), (&json!(1), &json!("ready")));
        assert_eq!(release["failure"]["code"], code);
    }
}

#[tokio::test]
async fn bodies_and_queries_that_are_not_understood_are_refused() {
    let host = host().await;
    let api = Api::new(&host).await;
    for method in ["PUT", "POST"] {
        let path = if method == "PUT" { PATH.to_owned() } else { format!("{PATH}/promote") };
        for body in ["", "{", "[1]", "{\"expected_generation\":1,\"nonsense\":1}", "expected_generation=1"] {
            assert_eq!(api.call(method, &path, body).await.problem(), (400, "invalid_body"), "{method} {body}");
        }
        let long = format!(r#"{{"expected_generation":1,"reason":"{}"}}"#, "x".repeat(64 << 10));
        assert_eq!(api.call(method, &path, &long).await.problem(), (413, "body_too_large"));
        assert_eq!(api.call(method, &format!("{path}?wait=done"), "{}").await.problem(), (400, "invalid_query"));
    }
    for path in [format!("{PATH}/history?limit=0"), format!("{PATH}?verbose"), "/admin/v1/bundles?kind=embed".into()] {
        assert_eq!(api.get(&path).await.problem(), (400, "invalid_query"), "{path}");
    }
    assert_eq!(api.get("/admin/v1/releases/tale").await.problem(), (404, "unknown_release"));
    assert_eq!(api.get("/admin/v1/releases/").await.problem(), (404, "no_endpoint"));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let host = Host::builder()
        .release("http:/story:tales", "story", "storyteller@1.0.0")
        .limits(|limits| limits.header_timeout = Duration::from_millis(20))
        .start()
        .await;
    let head = format!("PUT {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{{");
    let answer = super::host::raw(host.admin, &head).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow_body"), "{answer}");
}

#[tokio::test]
async fn the_history_remembers_who_asked() {
    let host = host().await;
    let api = Api::new(&host).await;
    let named = |actor: &str, generation: u64| {
        let body = json!({"expected_generation": generation, "drain_seconds": generation}).to_string();
        api.builder("PUT", PATH).header("bobbin-actor", actor).body(Full::from(body)).unwrap()
    };
    let changed = api.ask(named(" alice ", 1)).await;
    assert_eq!(changed.body["changed"]["who"], "alice (127.0.0.1)");
    assert_eq!(api.ask(named("a\tb", 2)).await.problem(), (400, "invalid_header"));
}

#[tokio::test]
async fn bundles_are_listed_with_those_that_cannot_be_read() {
    let host = host().await;
    let bundles = Api::new(&host).await.get("/admin/v1/bundles").await.body;
    let found =
        |name: &str| bundles["bundles"].as_array().unwrap().iter().find(|b| b["bundle"] == name).unwrap().clone();
    let (good, torn) = (found("storyteller@1.0.0"), found("torn@1.0.0"));
    assert_eq!((&good["state"], &good["releases"]), (&json!("ready"), &json!([ID])));
    assert_eq!((&torn["state"], &torn["digest"]), (&json!("failed"), &json!(null)));
    assert!(torn["reason"].as_str().unwrap().contains("no TOML"), "{torn}");
}

#[tokio::test]
async fn no_page_of_another_site_reaches_a_release() {
    let host = host().await;
    let api = Api::new(&host).await;
    let body = r#"{"expected_generation":1,"drain_seconds":7}"#;
    for (name, value) in [("origin", "http://evil.test"), ("sec-fetch-site", "cross-site")] {
        let request = api.builder("PUT", PATH).header(name, value).body(Full::from(body)).unwrap();
        let refused = api.ask(request).await;
        assert_eq!(refused.problem(), (403, "cross_site"));
        assert!(refused.body["detail"].as_str().unwrap().contains(value), "{}", refused.body);
    }
    let rebound = http::Request::get(PATH).header("host", "evil.test").body(Full::default()).unwrap();
    assert_eq!(api.ask(rebound).await.problem(), (403, "unexpected_host"));
    assert_eq!(api.get(PATH).await.body["generation"], 1);
}

#[tokio::test]
async fn with_a_token_the_api_answers_nobody_without_it() {
    let host = Host::builder().release("http:/story:tales", "story", "storyteller@1.0.0").token("secret").start().await;
    let api = Api::with_token(&host, Some("secret")).await;
    assert_eq!(api.get(PATH).await.status, StatusCode::OK);
    for (method, path) in [("GET", "/admin/v1/releases"), ("GET", "/admin/v1/events"), ("PUT", PATH)] {
        let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.body(Full::from(r#"{"expected_generation":1}"#)).unwrap();
        assert_eq!(api.ask(request).await.problem(), (401, "unauthorized"), "{method} {path}");
    }
}

#[tokio::test]
async fn the_metrics_tell_what_releases_are_set_to_and_how_often_they_changed() {
    let host = Host::builder()
        .release("http:/story:tales", "story", "storyteller@1.0.0")
        .route("/...", Fake::text("x"))
        .alive()
        .start()
        .await;
    let api = Api::new(&host).await;
    let body = json!({"expected_generation": 1, "shadow": "critic@1.0.0",
        "candidate": {"bundle": "storyteller@1.1.0", "weight": 12.5}});
    put_waiting(&api, body).await;
    let metrics = host.metrics().await;
    for line in [
        format!(r#"bobbin_release_generation{{release="{ID}"}} 2"#),
        format!(r#"bobbin_release_pending{{release="{ID}"}} 0"#),
        format!(r#"bobbin_release_candidate_weight{{release="{ID}",bundle="storyteller@1.1.0"}} 12.5"#),
        format!(r#"bobbin_shadow_samples_total{{release="{ID}",bundle="critic@1.0.0"}} 0"#),
        format!(r#"bobbin_shadow_dropped_total{{release="{ID}",bundle="critic@1.0.0"}} 0"#),
        "bobbin_release_flips_total 1".to_owned(),
        r#"bobbin_version_state{bundle="critic@1.0.0",class="shadow",state="ready"} 1"#.to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in:\n{metrics}");
    }
    let flip = metrics.lines().find_map(|line| line.strip_prefix("bobbin_release_flip_seconds_total "));
    assert!(flip.is_some_and(|seconds| seconds.parse::<f64>().unwrap() > 0.0), "{metrics}");
    put(&api, json!({"expected_generation": 2, "candidate": null})).await;
    assert!(!host.metrics().await.contains("bobbin_release_candidate_weight{"), "the canary is over");
}
