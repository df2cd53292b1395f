//! The admin listener, and binding.

use super::host::{Fake, Host, Pieces, get, json, request, send, text};
use crate::admission::Admission;
use crate::versions::{self, Snapshot};
use crate::{BindError, Listeners};
use bobbin_inference::wire::WorkerStats;
use bobbin_inference::{Class, FinishReason, InferenceRecord, Reason, Recorder, RequestId, Timings, Usage};
use bobbin_release::{State, Vitals};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::net::SocketAddr;
use std::time::Duration;

#[tokio::test]
async fn what_the_admin_listener_does_not_have_is_a_problem_that_says_so() {
    let host = Host::with(Fake::text("x")).await;
    let missing = get(host.admin, "/missing").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert_eq!(missing.headers()["content-type"], "application/problem+json");
    let post = Request::post("/healthz").header("host", "localhost").body(Full::default()).unwrap();
    let post = send(host.admin, post).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()["allow"], "GET, HEAD");
}

#[tokio::test]
async fn a_host_is_not_ready_while_a_declared_release_does_not_answer_and_says_which() {
    let host = Host::builder().release("trigger /story", "story", "storyteller@1.0.0").start().await;
    let ready = get(host.admin, "/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ready = json(ready).await;
    let wanted = serde_json::json!([{
        "trigger": "trigger /story", "graph": "story", "bundle": "storyteller@1.0.0",
        "state": "available", "reason": null,
    }]);
    assert_eq!((&ready["ready"], &ready["draining"], &ready["unready"]), (&false.into(), &false.into(), &wanted));
    assert_eq!(get(host.admin, "/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn with_a_token_nothing_answers_without_it() {
    let host = Host::builder().token("secret").start().await;
    let ask = |authorization: Option<&str>| {
        let ask = request("/healthz");
        let ask = authorization.into_iter().fold(ask, |ask, value| ask.header("authorization", value));
        ask.body(Full::default()).unwrap()
    };
    for wrong in
        [None, Some("secret"), Some("Bearer "), Some("Bearer secre"), Some("Bearer secrets"), Some("Basic secret")]
    {
        let refused = send(host.admin, ask(wrong)).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
        assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    }
    for right in ["Bearer secret", "bearer secret"] {
        assert_eq!(send(host.admin, ask(Some(right))).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn an_admin_listener_open_to_others_needs_a_token() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = Listeners::bind(Some(any), open.parse().unwrap(), None).await.unwrap_err();
        assert!(matches!(error, BindError::AdminOpen { .. }));
        assert!(error.to_string().contains("--admin-token"), "{error}");
    }
    let empty = Listeners::bind(Some(any), any, Some(String::new())).await.unwrap_err();
    assert!(matches!(empty, BindError::EmptyToken));
    Listeners::bind(Some(any), "0.0.0.0:0".parse().unwrap(), Some("secret".into())).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let first = Listeners::bind(Some(any), any, None).await.unwrap();
    assert_ne!(first.app_addr().unwrap().port(), 0);
    let error = Listeners::bind(first.app_addr(), any, None).await.unwrap_err();
    let port = first.app_addr().unwrap().port();
    assert_eq!(error.to_string(), format!("port {port} is in use; give --listen another"));
    let error = Listeners::bind(Some(any), first.admin_addr(), None).await.unwrap_err();
    assert!(error.to_string().ends_with("give --admin-listen another"), "{error}");
}

fn record() -> InferenceRecord {
    InferenceRecord {
        request: RequestId::new(),
        trigger: "trigger /story".into(),
        principal: None,
        graph: "story".into(),
        bundle: "storyteller@1.0.0".into(),
        digest: "sha256:00".into(),
        generation: 1,
        computes: 1,
        usage: Usage { input_tokens: 7, output_tokens: 30, cached_tokens: 5 },
        timings: Timings {
            total: Duration::from_millis(900),
            first_token: Some(Duration::from_millis(20)),
            inter_token: vec![0.03, 0.004],
        },
        finish: Some(FinishReason::Stop),
        error: None,
    }
}

#[tokio::test]
async fn the_metrics_tell_requests_and_inference_by_route_and_version() {
    let host = Host::builder().route("/story", Fake::text("x")).start().await;
    text(get(host.app, "/story").await).await;
    host.metrics.record(record());
    Recorder::refused(&*host.metrics, &"trigger /story".into(), "secret");
    host.metrics.record(InferenceRecord { error: Some(Reason::WorkerLost), finish: None, ..record() });
    let response = get(host.admin, "/metrics").await;
    assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let metrics = text(response).await;
    let labels = r#"route="trigger /story",graph="story",bundle="storyteller@1.0.0""#;
    for line in [
        r#"bobbin_build_info{version="1.2.3"} 1"#.to_owned(),
        r#"bobbin_http_requests_total{route="trigger /story",bundle="none",status="200"} 1"#.to_owned(),
        r#"bobbin_http_request_seconds_count{route="trigger /story",bundle="none"} 1"#.to_owned(),
        "bobbin_http_requests_in_flight 0".to_owned(),
        r#"bobbin_refused_models_total{route="trigger /story"} 1"#.to_owned(),
        format!(r#"bobbin_inferences_total{{{labels},outcome="stop"}} 1"#),
        format!(r#"bobbin_inferences_total{{{labels},outcome="worker_lost"}} 1"#),
        format!("bobbin_input_tokens_total{{{labels}}} 14"),
        format!("bobbin_output_tokens_total{{{labels}}} 60"),
        format!("bobbin_cached_tokens_total{{{labels}}} 10"),
        format!("bobbin_time_to_first_token_seconds_count{{{labels}}} 2"),
        format!("bobbin_inter_token_seconds_count{{{labels}}} 4"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in:\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_request_is_counted_under_the_versions_that_it_used() {
    let fake = Fake::new(|call| async move {
        call.context.bundles.note(&"storyteller@1.0.0".into());
        call.context.bundles.note(&"judge@2.0.0".into());
        Ok(Response::new(Pieces::of("x")))
    });
    let host = Host::builder().route("/story", fake).start().await;
    text(get(host.app, "/story").await).await;
    let metrics = host.metrics().await;
    let labels = r#"route="trigger /story",bundle="storyteller@1.0.0, judge@2.0.0""#;
    for line in [
        format!("bobbin_http_requests_total{{{labels},status=\"200\"}} 1"),
        format!("bobbin_http_request_seconds_count{{{labels}}} 1"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in:\n{metrics}");
    }
}

#[test]
fn a_versions_metrics_come_from_its_worker() {
    let stats = WorkerStats { running: 3, cells: 4096, cancelled: 2, ..WorkerStats::default() };
    let cage = vec![("seccomp".to_owned(), None), ("landlock".to_owned(), Some("no landlock".to_owned()))];
    let vitals = Vitals {
        pid: Some(1),
        restarts: 1,
        resident_bytes: Some(5000),
        cage,
        gpu: Some(Err("it hangs".into())),
        stats,
    };
    let live = Snapshot {
        bundle: "s@1.0.0".into(),
        class: Class::Serving,
        state: State::Ready,
        leases: 4,
        vitals: Some(vitals),
    };
    let failed =
        Snapshot { bundle: "t@1.0.0".into(), class: Class::Serving, state: State::Failed, leases: 0, vitals: None };
    let mut text = String::new();
    versions::encode(&mut text, &Admission::new(16), &[live, failed]).unwrap();
    for line in [
        "bobbin_http_requests_in_flight_limit 16",
        r#"bobbin_version_state{bundle="s@1.0.0",class="serving",state="ready"} 1"#,
        r#"bobbin_version_state{bundle="t@1.0.0",class="serving",state="failed"} 1"#,
        r#"bobbin_version_leases{bundle="s@1.0.0",class="serving"} 4"#,
        r#"bobbin_worker_running{bundle="s@1.0.0",class="serving"} 3"#,
        r#"bobbin_worker_sequences{bundle="s@1.0.0",class="serving"} 0"#,
        r#"bobbin_worker_cells{bundle="s@1.0.0",class="serving"} 4096"#,
        r#"bobbin_worker_cancelled_total{bundle="s@1.0.0",class="serving"} 2"#,
        r#"bobbin_worker_restarts_total{bundle="s@1.0.0",class="serving"} 1"#,
        r#"bobbin_worker_resident_bytes{bundle="s@1.0.0",class="serving"} 5000"#,
        r#"bobbin_worker_cage{bundle="s@1.0.0",class="serving",rule="seccomp",holds="true"} 1"#,
        r#"bobbin_worker_gpu{bundle="s@1.0.0",class="serving"} 0"#,
        r#"bobbin_worker_cage{bundle="s@1.0.0",class="serving",rule="landlock",holds="false"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
    assert!(!text.contains(r#"bobbin_worker_running{bundle="t@1.0.0",class="serving"}"#));
}
