//! Requests of components to other hosts.

use bobbin_tests::{Result, TestApp, TestHost, Web, eventually};
use serde_json::{Value, json};

/// Each way in which a component asks: WASI 0.3, WASI 0.2, spin-sdk's own, and Spin's older interface.
const WAYS: [&str; 4] = ["/p3/ask", "/p2/ask", "/p2/sdk", "/p2/old"];

/// An application whose components may ask these hosts, with a variable `peer`, and limits such as
/// `request_seconds = 1`.
fn application(hosts: &[&str], peer: &str, limits: &str) -> Result<TestApp> {
    let hosts = serde_json::to_string(hosts)?;
    let manifest = r#"
spin_manifest_version = 2

[application]
name = "asks"
version = "0.1.0"

[application.trigger.bobbin.limits]
LIMITS

[variables]
peer = { default = "PEER" }
optional = { default = "" }

[[trigger.http]]
route = "/p3/..."
component = "asker"

[[trigger.http]]
route = "/p2/..."
component = "asker-spin5"

[component.asker]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker.wasm"
allowed_outbound_hosts = HOSTS

[component.asker-spin5]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker_spin5.wasm"
allowed_outbound_hosts = HOSTS
"#;
    TestApp::new(&manifest.replace("HOSTS", &hosts).replace("PEER", peer).replace("LIMITS", limits))
}

async fn start(hosts: &[&str]) -> Result<(TestApp, TestHost)> {
    let app = application(hosts, "127.0.0.1", "")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

async fn ask(host: &TestHost, way: &str, ask: &Value) -> Result<Value> {
    let answer = host.post_json(way, ask).await?;
    anyhow::ensure!(answer.status() == 200, "{way}: {} {}", answer.status(), answer.text());
    answer.json()
}

fn error(told: &Value) -> &str {
    told["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn connections_are_kept_for_whoever_asks_next() -> Result {
    let web = Web::start().await?;
    let granted = format!("http://127.0.0.1:{}", web.port());
    let (_app, host) = start(&[&granted]).await?;
    for way in WAYS {
        let told = ask(&host, way, &json!({ "url": web.url("/x?y=z"), "method": "POST", "body": "hello" })).await?;
        assert_eq!((&told["status"], &told["body"]), (&json!(200), &json!("outside")), "{way}: {told}");
    }
    assert_eq!(web.asked().len(), WAYS.len());
    assert!(web.connections() < WAYS.len(), "each made a connection of its own");
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_refused_with_spins_error_and_the_log_says_what_to_add() -> Result {
    let web = Web::start().await?;
    for granted in [vec![], vec!["https://example.com"], vec!["http://127.0.0.1", "https://*:*"], vec!["http://self"]] {
        let (_app, host) = start(&granted).await?;
        for way in WAYS {
            let told = ask(&host, way, &json!({ "url": web.url("/") })).await?;
            let expected = match way {
                "/p2/old" => "destination-not-allowed",
                // It may notice first that nobody takes the body.
                "/p2/sdk" => "",
                _ => "HttpRequestDenied",
            };
            assert!(told["error"].is_string() && error(&told).contains(expected), "{way} {granted:?}: {told}");
        }
        let log = host.log();
        let line = |component: &str| {
            let of = format!("component={component} ");
            log.lines().find(|line| line.contains(&of) && line.contains("host=\"127.0.0.1\"")).map(str::to_owned)
        };
        for component in ["asker", "asker-spin5"] {
            let line = line(component).unwrap_or_default();
            assert!(line.contains(&format!("add \"http://127.0.0.1:{}\"", web.port())), "{line}\n{log}");
        }
    }
    assert_eq!(web.connections(), 0, "somebody was let through");
    Ok(())
}

#[tokio::test]
async fn a_granted_host_that_is_none_is_refused_before_a_port_is_bound() -> Result {
    let app = application(&["http://{{ peer }}"], "no host", "")?;
    let told = TestHost::of(&app.manifest()).refused().await?;
    assert!(told.contains("http://no host") && told.contains("allowed_outbound_hosts"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_component_waits_as_long_as_it_says() -> Result {
    let web = Web::start().await?;
    let (_app, host) = start(&["http://127.0.0.1:*"]).await?;
    for way in ["/p3/ask", "/p2/ask"] {
        let told = ask(&host, way, &json!({ "url": web.url("/silent"), "first_byte_ms": 50 })).await?;
        assert!(error(&told).contains("ConnectionReadTimeout"), "{way}: {told}");
        let told = ask(&host, way, &json!({ "url": web.url("/drip"), "between_bytes_ms": 50 })).await?;
        assert_eq!(told["status"], 200, "{way}: {told}");
        // The streams of WASI 0.2 have errors of their own, which say it in words.
        let said = if way == "/p2/ask" { "connection read timeout" } else { "ConnectionReadTimeout" };
        assert!(error(&told).contains(said), "{way}: {told}");
    }
    eventually(async || Ok((web.open() == 0).then_some(()))).await
}

#[tokio::test]
async fn a_component_waits_no_longer_than_its_request_may_take_and_can_still_say_so() -> Result {
    let web = Web::start().await?;
    let app = application(&["http://127.0.0.1:*"], "", "request_seconds = 1\ngrace_seconds = 60")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for way in WAYS {
        for (path, status) in [("/silent", &Value::Null), ("/drip", &json!(200))] {
            let told = ask(&host, way, &json!({ "url": web.url(path) })).await?;
            assert!(told["error"].is_string(), "{way}: {told}");
            if way.ends_with("/ask") {
                assert_eq!(&told["status"], status, "{way}: {told}");
            }
        }
    }
    eventually(async || Ok((web.open() == 0).then_some(()))).await
}

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() -> Result {
    let web = Web::start().await?;
    let (_app, host) = start(&["http://127.0.0.1:*"]).await?;
    for way in ["/p3/pipe", "/p2/pipe"] {
        let mut connection = host.connect().await?;
        connection.post(way, &json!({ "url": web.url("/drip") }).to_string()).await?;
        assert!(connection.read_until("one").await?, "{way}: {}", connection.text());
        assert!(!connection.text().contains("two"), "{way}");
        web.go_on();
        assert!(connection.read_until("two").await?, "{way}: {}", connection.text());
    }
    Ok(())
}

#[tokio::test]
async fn whoever_leaves_ends_what_was_asked_for_him() -> Result {
    let web = Web::start().await?;
    let (_app, host) = start(&["http://127.0.0.1:*"]).await?;
    for (way, path) in [
        ("/p3/ask", "/silent"),
        ("/p2/ask", "/silent"),
        ("/p2/old", "/silent"),
        ("/p3/pipe", "/drip"),
        ("/p2/pipe", "/drip"),
    ] {
        let mut connection = host.connect().await?;
        connection.post(way, &json!({ "url": web.url(path) }).to_string()).await?;
        eventually(async || Ok((web.open() == 1).then_some(()))).await?;
        drop(connection);
        eventually(async || Ok((web.open() == 0).then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_held_that_nobody_takes() -> Result {
    let web = Web::start().await?;
    let (_app, host) = start(&["http://127.0.0.1:*"]).await?;
    let first = ask(&host, "/p3/first", &json!({ "url": web.url("/endless") })).await?;
    assert!(first["first"].as_str().is_some_and(|first| first.starts_with("xxx")), "nothing came");
    eventually(async || Ok((web.open() == 0).then_some(()))).await?;
    // As a whole it is held only as far as the account goes.
    let told = ask(&host, "/p2/old", &json!({ "url": web.url("/endless") })).await?;
    assert!(error(&told).contains("\"runtime-error\""), "{told}");
    assert!(host.log().contains("over its limit of 67108864"), "{}", host.log());
    eventually(async || Ok((web.open() == 0).then_some(()))).await
}

#[tokio::test]
async fn who_cannot_be_reached_is_an_error_of_its_own() -> Result {
    let (_app, host) = start(&["http://*:*"]).await?;
    let web = Web::start().await?;
    let nobody = web.url("/");
    drop(web);
    for (url, expected) in [(nobody.as_str(), "ConnectionRefused"), ("http://nobody.invalid/", "DnsError")] {
        for way in ["/p3/ask", "/p2/ask"] {
            let told = ask(&host, way, &json!({ "url": url })).await?;
            assert!(error(&told).contains(expected), "{way} {url}: {told}");
        }
        let told = ask(&host, "/p2/old", &json!({ "url": url })).await?;
        assert!(error(&told).contains("\"runtime-error\""), "{told}");
    }
    let told = ask(&host, "/p2/old", &json!({ "url": "no url" })).await?;
    assert!(error(&told).contains("\"invalid-url\""), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_hosts_own_admin_listener_is_no_components() -> Result {
    let (_app, host) = start(&["*://*:*"]).await?;
    for name in ["127.0.0.1", "localhost", "0.0.0.0"] {
        let url = format!("http://{name}:{}/healthz", host.admin_addr().port());
        for way in ["/p3/ask", "/p2/ask"] {
            let told = ask(&host, way, &json!({ "url": url })).await?;
            assert!(error(&told).contains("DestinationIpProhibited"), "{way} {url}: {told}");
        }
    }
    assert_eq!(host.admin("/healthz").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn tls_is_spoken_with_whom_this_machine_trusts() -> Result {
    let web = Web::secure().await?;
    let url = format!("https://localhost:{}/", web.port());
    let app = application(&["https://localhost:*"], "", "")?;
    let certificate = app.path().join("trusted.pem");
    std::fs::write(&certificate, web.certificate().unwrap_or_default())?;
    let trusting = |file: &std::path::Path| vec!["env".to_owned(), format!("SSL_CERT_FILE={}", file.display())];
    let host = TestHost::of(&app.manifest()).through(trusting(&certificate)).start().await?;
    for way in WAYS {
        assert_eq!(ask(&host, way, &json!({ "url": url })).await?["body"], "outside", "{way}");
    }
    assert!(web.asked().iter().all(|asked| asked.version == "HTTP/2.0"), "{:?}", web.asked());
    drop(host);

    let stranger = Web::secure().await?;
    std::fs::write(&certificate, stranger.certificate().unwrap_or_default())?;
    let host = TestHost::of(&app.manifest()).through(trusting(&certificate)).start().await?;
    for way in ["/p3/ask", "/p2/ask"] {
        let told = ask(&host, way, &json!({ "url": url })).await?;
        assert!(error(&told).contains("TlsProtocolError"), "{way}: {told}");
    }
    assert_eq!(web.asked().len(), WAYS.len(), "it was asked although nobody trusts it");
    Ok(())
}

#[tokio::test]
async fn who_does_not_read_his_answers_keeps_nobody_else_from_the_same_host() -> Result {
    let web = Web::secure().await?;
    let app = application(&["https://localhost:*"], "", "request_seconds = 10")?;
    let certificate = app.path().join("trusted.pem");
    std::fs::write(&certificate, web.certificate().unwrap_or_default())?;
    let trusting = vec!["env".to_owned(), format!("SSL_CERT_FILE={}", certificate.display())];
    let host = TestHost::of(&app.manifest()).through(trusting).start().await?;
    let url = |path: &str| format!("https://localhost:{}{path}", web.port());
    // They share a connection of HTTP/2, once there is one.
    ask(&host, "/p3/ask", &json!({ "url": url("/") })).await?;
    let held = ask(&host, "/p3/hold", &json!({ "url": url("/endless"), "count": 40, "body": url("/") })).await?;
    assert_eq!((&held["unanswered"], &held["beside"]["body"]), (&json!(0), &json!("outside")), "{held}");
    assert_eq!(web.connections(), 1, "{held}");
    eventually(async || Ok((web.open() == 0).then_some(()))).await
}

#[tokio::test]
async fn the_next_host_joins_the_trace() -> Result {
    let web = Web::start().await?;
    let (_app, host) = start(&["http://127.0.0.1:*"]).await?;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for way in WAYS {
        let body = json!({ "url": web.url("/") }).to_string();
        let length = body.len();
        let mut connection = host.connect().await?;
        let head = format!("host: test\r\ntraceparent: {trace}\r\ncontent-length: {length}\r\nconnection: close");
        connection.send(format!("POST {way} HTTP/1.1\r\n{head}\r\n\r\n{body}")).await?;
        connection.read_to_end().await;
    }
    let own = "00-11111111111111111111111111111111-2222222222222222-00";
    ask(&host, "/p3/ask", &json!({ "url": web.url("/"), "headers": { "traceparent": own } })).await?;
    let traces: Vec<_> = web.asked().iter().filter_map(|asked| asked.headers.get("traceparent").cloned()).collect();
    assert_eq!(traces, [trace, trace, trace, trace, own]);
    Ok(())
}
