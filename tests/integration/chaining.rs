//! Components that ask other components of their application: by name, or by the application's own routes.

use bobbin_tests::{Result, TestApp, TestHost, TestHostBuilder, Web, eventually};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// How deep components may call each other.
const MOST_DEEP: u64 = 8;
/// Calls of one request at once.
const MOST_OPEN: usize = 16;

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "chain"
version = "0.1.0"

[application.trigger.bobbin.releases]
story = "storyteller@1.0.0"

[[trigger.http]]
route = "/p3/..."
component = "front"

[[trigger.http]]
route = "/p2/..."
component = "front-spin5"

[[trigger.http]]
route = "/hello"
component = "hello"

[[trigger.http]]
route = { private = true }
component = "back"

[[trigger.http]]
route = { private = true }
component = "teller"

[component.front]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker.wasm"
allowed_outbound_hosts = ["http://*.spin.internal", "http://self"]

[component.front-spin5]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker_spin5.wasm"
allowed_outbound_hosts = ["http://back.spin.internal"]

[component.hello]
source = "{root}/guest-components/target/wasm32-wasip2/release/hello.wasm"

[component.back]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/hostile.wasm"
ai_models = ["story"]

[component.teller]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
ai_models = ["story"]
"#;

fn application(limits: &str) -> Result<TestApp> {
    TestApp::new(&format!("{MANIFEST}\n[application.trigger.bobbin.limits]\n{limits}\n"))
}

fn host_of(app: &TestApp) -> TestHostBuilder {
    TestHost::of(&app.manifest())
}

async fn ask(host: &TestHost, way: &str, ask: &Value) -> Result<Value> {
    let answer = host.post_json(way, ask).await?;
    anyhow::ensure!(answer.status() == 200, "{way}: {} {}", answer.status(), answer.text());
    answer.json()
}

#[tokio::test]
async fn calls_need_no_further_permit() -> Result {
    let app = application("")?;
    let host = host_of(&app).max_in_flight(2).start().await?;
    // Each of them holds the one permit that it has while it asks.
    for _ in 0..5 {
        let asks = (0..2).map(|_| async {
            let told = ask(&host, "/p3/ask", &json!({ "url": "http://back.spin.internal/f3/echo" })).await?;
            anyhow::ensure!(told["status"] == 200, "{told}");
            Result::Ok(())
        });
        try_join_all(asks).await?;
    }
    Ok(())
}

#[tokio::test]
async fn calls_have_a_depth_that_they_do_not_pass() -> Result {
    let app = application("")?;
    let host = host_of(&app).max_in_flight(1).start().await?;
    let told = ask(&host, "/p3/again", &json!({ "url": "http://front.spin.internal/p3/again" })).await?;
    assert_eq!(told["depth"], MOST_DEEP, "{told}");
    assert!(told["last"]["error"].as_str().is_some_and(|error| error.contains("LoopDetected")), "{told}");
    let own = ask(&host, "/p3/again", &json!({ "url": "http://self.alt/p3/again" })).await?;
    assert_eq!(own["depth"], MOST_DEEP, "{own}");
    assert_eq!(host.get("/hello").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn one_request_has_so_many_calls_at_once_and_no_more() -> Result {
    let web = Web::start().await?;
    let app = application("account_bytes = 268435456")?;
    let host = host_of(&app).start().await?;
    let deeper = json!({ "url": web.url("/drip") }).to_string();
    let asked = json!({ "url": "http://teller.spin.internal/ask", "method": "POST", "body": deeper, "count": 20 });
    let asking = ask(&host, "/p3/many", &asked);
    let watching = async {
        eventually(async || Ok((web.open() == MOST_OPEN).then_some(()))).await?;
        for _ in 0..MOST_OPEN {
            web.go_on();
        }
        Result::Ok(())
    };
    let (told, watched) = futures::future::join(asking, watching).await;
    watched?;
    let told = told?;
    let all = told.as_array().map(Vec::as_slice).unwrap_or_default();
    let refused = |told: &&Value| told["error"].as_str().is_some_and(|error| error.contains("ConnectionLimitReached"));
    assert_eq!(all.iter().filter(refused).count(), 20 - MOST_OPEN, "{told}");
    assert_eq!(all.iter().filter(|told| told["status"] == 200).count(), MOST_OPEN, "{told}");
    Ok(())
}

#[tokio::test]
async fn a_component_that_breaks_when_it_is_called_breaks_nothing_else() -> Result {
    let app = application("guest_cpu_seconds = 1")?;
    let host = host_of(&app).start().await?;
    for (path, status) in [("/f3/panic", 500), ("/f3/fail", 502), ("/f3/loop", 504)] {
        let told = ask(&host, "/p3/ask", &json!({ "url": format!("http://back.spin.internal{path}") })).await?;
        assert_eq!(told["status"], status, "{path}: {told}");
        assert!(!told["body"].as_str().unwrap_or_default().contains("asked to"), "{path}: {told}");
    }
    for way in ["/p3/ask", "/p2/ask"] {
        let told = ask(&host, way, &json!({ "url": "http://back.spin.internal/f3/panic-after-pieces" })).await?;
        assert!(told["status"] == 200 && told["error"].is_string(), "a broken answer looks whole: {told}");
    }
    assert_eq!(host.get("/hello").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_called_has_its_own_models_and_the_answer_names_them() -> Result {
    let app = application("")?;
    let host = host_of(&app).start().await?;
    let body = json!({ "body": "Once upon a time" }).to_string();
    let asked = json!({ "url": "http://teller.spin.internal/story", "method": "POST", "body": body });
    let answer = host.post_json("/p3/ask", &asked).await?;
    assert_eq!(answer.header("bobbin-bundle"), Some("storyteller@1.0.0"), "{}", answer.text());
    assert_eq!(answer.json()?["status"], 200, "{}", answer.text());
    // Whoever asks is granted nothing by that.
    let own = host.post_json("/p3/story", &json!({ "body": "Once" })).await?;
    assert_eq!(own.status(), 404, "{}", own.text());
    host.metrics_when("it is recorded", |m| m.sum("bobbin_inferences_total", &[]) == 1.0).await?;
    Ok(())
}

#[tokio::test]
async fn whoever_leaves_ends_the_calls_too() -> Result {
    let web = Web::start().await?;
    let app = application("")?;
    let host = host_of(&app).start().await?;
    let deeper = json!({ "url": web.url("/silent") }).to_string();
    let asked = json!({ "url": "http://teller.spin.internal/ask", "method": "POST", "body": deeper });
    let mut connection = host.connect().await?;
    connection.post("/p3/ask", &asked.to_string()).await?;
    eventually(async || Ok((web.open() == 1).then_some(()))).await?;
    drop(connection);
    eventually(async || Ok((web.open() == 0).then_some(()))).await?;
    host.metrics_when("nothing is in flight", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_of_a_call_is_passed_on_as_it_comes_and_given_up_with_its_reader() -> Result {
    let web = Web::start().await?;
    let app = application("")?;
    let host = host_of(&app).start().await?;
    let deeper = |path: &str| json!({ "url": web.url(path) }).to_string();
    let asked =
        |path: &str| json!({ "url": "http://teller.spin.internal/pipe", "method": "POST", "body": deeper(path) });
    let mut connection = host.connect().await?;
    connection.post("/p3/pipe", &asked("/drip").to_string()).await?;
    assert!(connection.read_until("one").await?, "{}", connection.text());
    assert!(!connection.text().contains("two"));
    web.go_on();
    assert!(connection.read_until("two").await?, "{}", connection.text());
    // Who takes the first part alone gives up the call, and goes on.
    let first = ask(&host, "/p3/first", &asked("/endless")).await?;
    assert!(first["first"].as_str().is_some_and(|first| first.starts_with("xxx")), "nothing came");
    eventually(async || Ok((web.open() == 0).then_some(()))).await
}
