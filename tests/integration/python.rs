//! A component that is not written in Rust: Python, with Spin's own SDK, which imports every interface of Spin's.

use bobbin_tests::{Result, TestApp, TestHost, python_component};

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "python"

[application.trigger.bobbin.releases]
story = "storyteller@1.0.0"

[variables]
greeting = { default = "Good morning" }

[[trigger.http]]
route = "/..."
component = "app"

[component.app]
source = "COMPONENT"
ai_models = ["story"]
key_value_stores = ["default"]
variables = { greeting = "{{ greeting }}" }
"#;

#[tokio::test]
async fn a_component_in_python_keeps_values_reads_variables_and_asks_models() -> Result {
    let Some(component) = python_component() else { return Ok(()) };
    let app = TestApp::new(&MANIFEST.replace("COMPONENT", &component.display().to_string()))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for count in ["1", "2"] {
        let answer = host.get("/count").await?;
        assert_eq!((answer.status(), answer.text()), (200, count), "{}", host.log());
    }
    assert_eq!(host.get("/greeting").await?.text(), "Good morning");
    let story = host.post("/story", "Once upon a time").await?;
    assert_eq!(story.status(), 200, "{}", host.log());
    let (tokens, text) = story.text().split_once(' ').unwrap_or_default();
    assert_eq!((tokens, text.is_empty()), ("8", false), "{}", story.text());
    assert_eq!(host.get("/fail").await?.status(), 500);
    assert!(host.log().contains("ValueError: asked to fail"), "{}", host.log());
    assert_eq!(host.get("/count").await?.text(), "3");
    Ok(())
}
