//! Answers that the manifest writes down, routes that only components reach, inline components and build profiles.

use bobbin_tests::{Result, TestApp, TestHost};
use serde_json::json;

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "test"

[application.trigger.http]
base = "/"

[[trigger.http]]
route = "/missing/..."
static_response = { status_code = 404, headers = { content-type = "text/html", x-Cache = "never" }, body = "<p>nothing here</p>" }

[[trigger.http]]
route = "/empty"
static_response = {}

[[trigger.http]]
route = "/moved"
static_response = { status_code = 302, headers = { location = "/missing/elsewhere" } }

[[trigger.http]]
route = "/inline"
component = { source = "{root}/guest-components/target/wasm32-wasip2/release/hello.wasm" }

[[trigger.http]]
route = "/profiled/..."
component = "profiled"

[[trigger.http]]
route = { private = true }
component = "hidden"

[component.hidden]
source = "{root}/guest-components/target/wasm32-wasip2/release/hello.wasm"

[component.profiled]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/reader.wasm"
environment = { LEVEL = "release", KEPT = "yes" }

[component.profiled.profile.debug]
environment = { LEVEL = "debug" }
"#;

#[tokio::test]
async fn a_static_response_is_given_as_the_manifest_writes_it() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for answer in [host.get("/missing/a/b").await?, host.post("/missing", "what?").await?] {
        assert_eq!((answer.status(), answer.text()), (404, "<p>nothing here</p>"));
        assert_eq!(answer.header("content-type"), Some("text/html"));
        assert_eq!(answer.header("x-cache"), Some("never"));
    }
    let empty = host.get("/empty").await?;
    assert_eq!((empty.status(), empty.text()), (200, ""));
    let mut connection = host.connect().await?;
    connection.send("HEAD /moved HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let moved = connection.read_to_end().await;
    assert!(moved.starts_with("HTTP/1.1 302") && moved.contains("location: /missing/elsewhere"), "{moved}");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_http_requests_total", &[("status", "404")]), 2.0);
    let line = host.banner().lines().find(|line| line.contains("/missing/...")).unwrap_or_default();
    assert!(line.ends_with("  a fixed answer"), "{}", host.banner());
    Ok(())
}

#[tokio::test]
async fn nobody_outside_reaches_a_private_route() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/", "/hidden", "/private", "/hidden.spin.internal"] {
        assert_eq!(host.get(path).await?.status(), 404, "{path}");
    }
    let mut connection = host.connect().await?;
    connection.send("GET / HTTP/1.1\r\nhost: hidden.spin.internal\r\nconnection: close\r\n\r\n").await?;
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(!host.banner().contains("hidden"), "{}", host.banner());
    Ok(())
}

#[tokio::test]
async fn an_application_without_models_needs_no_folder_of_them() -> Result {
    let app = TestApp::new(MANIFEST)?;
    std::fs::remove_dir_all(app.path().join("models"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(host.get("/inline").await?.status(), 200);
    assert_eq!(host.admin("/readyz").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn an_inline_component_answers() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(host.get("/inline").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_profile_replaces_what_it_names_and_an_unknown_one_is_refused() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let plain = TestHost::of(&app.manifest()).start().await?;
    let debug = TestHost::of(&app.manifest()).arg("--profile").arg("debug").start().await?;
    for (host, level) in [(&plain, "release"), (&debug, "debug")] {
        let environment = host.get("/profiled/env").await?.json()?;
        assert_eq!((&environment["LEVEL"], &environment["KEPT"]), (&json!(level), &json!("yes")));
    }
    let error = TestHost::of(&app.manifest()).arg("--profile").arg("debgu").refused().await?;
    assert!(error.contains("no component has the profile \"debgu\"") && error.contains("\"debug\"?"), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_no_response_can_have_is_refused_with_its_line() -> Result {
    for (response, part) in [
        ("{ status_code = 99 }", "99 is no status code"),
        ("{ headers = { \"bad name\" = \"x\" } }", "\"bad name\" is no name for a header"),
        ("{ headers = { Content-Length = \"7\" } }", "\"Content-Length\" belongs to the connection"),
        ("{ bdoy = \"x\" }", "did you mean \"body\"?"),
    ] {
        let app = TestApp::new(&format!(
            "spin_manifest_version = 2\n[application]\nname = \"test\"\n[[trigger.http]]\nroute = \"/x\"\nstatic_response = {response}\n"
        ))?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        assert!(error.contains(part) && error.contains("spin.toml:6:"), "{response}: {error}");
    }
    Ok(())
}
