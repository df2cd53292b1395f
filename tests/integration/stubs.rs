//! Interfaces that this host does not supply.

use bobbin_tests::{Result, TestApp, TestHost};

const INTERFACE: &str = "spin:mail/outbox@9.0.0";

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "stubs"
version = "0.1.0"

[[trigger.http]]
route = "/..."
component = "stubbed"

[component.stubbed]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/stubbed_spin5.wasm"
"#;

#[tokio::test]
async fn a_component_that_only_imports_them_runs_and_a_call_names_the_interface() -> Result {
    let app = TestApp::new(MANIFEST)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(host.get("/hello").await?.text(), "nothing was called");
    for (path, function) in [("/open", "[static]connection.open"), ("/send", "send")] {
        let answer = host.get(path).await?;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        for told in ["Other", "this host does not supply", INTERFACE, function, "docs/spin.md"] {
            assert!(answer.text().contains(told), "{path}: {}", answer.text());
        }
    }
    let log = host.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("does not supply; calls get errors")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines.iter().all(|line| line.contains(INTERFACE)), "{lines:?}");
    Ok(())
}
