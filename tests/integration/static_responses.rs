//! Answers that the manifest writes down, an application without models, and what is refused of them and of profiles.

use bobbin_tests::{Result, TestApp, TestHost};

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
async fn fixed_answers_are_counted_and_the_banner_names_them_and_no_private_route() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(host.get("/missing/a/b").await?.status(), 404);
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_http_requests_total", &[("status", "404")]), 1.0);
    let line = host.banner().lines().find(|line| line.contains("/missing/...")).unwrap_or_default();
    assert!(line.ends_with("  a fixed answer"), "{}", host.banner());
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
async fn an_unknown_profile_is_refused() -> Result {
    let app = TestApp::new(MANIFEST)?;
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
