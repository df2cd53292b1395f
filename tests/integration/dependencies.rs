//! Component dependencies: other components inside one, with what they inherit of it.

use bobbin_tests::{Result, TestApp, TestHost};
use serde_json::{Value, json};
use std::fs;

const PART: &str = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/part.wasm";

fn manifest(dependencies: &str) -> String {
    let target = "{root}/tests/fixtures/components/target/wasm32-wasip2/release";
    format!(
        r#"
spin_manifest_version = 2

[application]
name = "test"

[application.trigger.bobbin.releases]
story = "storyteller@1.0.0"

[[trigger.http]]
route = "/ask/..."
component = "asker"

[component.asker]
source = "{target}/dependent.wasm"
environment = {{ OWNER = "asker" }}
files = ["note.txt"]
ai_models = ["story"]
{dependencies}

[component.part]
source = "{target}/part.wasm"
"#
    )
}

fn app(dependencies: &str) -> Result<TestApp> {
    let app = TestApp::new(&manifest(dependencies))?;
    fs::write(app.path().join("note.txt"), "a note")?;
    Ok(app)
}

async fn ask(host: &TestHost, question: &str) -> Result<Value> {
    let answer = host.get(&format!("/ask/{question}")).await?;
    anyhow::ensure!(answer.status() == 200, "{question}: {}: {}", answer.status(), answer.text());
    answer.json()
}

/// What the dependency reaches: environment, files, models.
async fn reached(host: &TestHost) -> Result<(bool, bool, bool)> {
    let says = |told: Value, field: &str, text: &str| told.get(field).is_some_and(|told| told == text);
    let environment = says(ask(host, "environment").await?, "OWNER", "asker");
    let files = says(ask(host, "read?/note.txt").await?, "text", "a note");
    let models = says(ask(host, "load?story").await?, "text", "story");
    // Nobody may connect to anything here, with or without a grant.
    assert!(ask(host, "connect?127.0.0.1:1").await?.get("error").is_some_and(Value::is_string));
    Ok((environment, files, models))
}

#[tokio::test]
async fn a_dependency_reaches_what_it_inherits_and_nothing_else() -> Result {
    let each = |inherit: &str| format!("dependencies.\"test:parts\" = {{ component = \"part\"{inherit} }}");
    let all = |inherit: &str| format!("dependencies_inherit_configuration = {inherit}\n{}", each(""));
    for (dependencies, expected) in [
        (each(""), (false, false, false)),
        (each(", inherit_configuration = false"), (false, false, false)),
        (each(", inherit_configuration = []"), (false, false, false)),
        (each(", inherit_configuration = [\"environment\"]"), (true, false, false)),
        (each(", inherit_configuration = [\"files\"]"), (false, true, false)),
        (each(", inherit_configuration = [\"ai_models\"]"), (false, false, true)),
        (each(", inherit_configuration = [\"files\", \"ai_models\"]"), (false, true, true)),
        (each(", inherit_configuration = true"), (true, true, true)),
        (all("false"), (false, false, false)),
        (all("true"), (true, true, true)),
    ] {
        let app = app(&dependencies)?;
        let host = TestHost::of(&app.manifest()).start().await?;
        assert_eq!(reached(&host).await?, expected, "{dependencies}");
        assert_eq!(ask(&host, "own-environment").await?["OWNER"], "asker", "its owner has it all the same");
        assert_eq!(ask(&host, "own-read?/note.txt").await?["text"], "a note");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_an_error_of_the_interface_and_no_crash() -> Result {
    let app = app("dependencies.\"test:parts\" = { component = \"part\" }")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let load = ask(&host, "load?story").await?;
    assert!(load["error"].as_str().is_some_and(|error| error.contains("not permitted")), "{load}");
    assert_eq!(ask(&host, "environment").await?, json!({}));
    for _ in 0..50 {
        assert!(ask(&host, "connect?example.com:80").await?["error"].as_str().is_some());
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_composed_is_refused_with_its_line_and_the_next_step() -> Result {
    for (dependencies, parts) in [
        (
            "dependencies.\"test:other\" = { component = \"part\" }".to_owned(),
            &["\"test:other\" matches no import", "test:parts/facts@1.0.0"][..],
        ),
        (
            "dependencies.\"test:parts@2.0.0\" = { component = \"part\" }".to_owned(),
            &["\"test:parts@2.0.0\" matches no import", "test:parts/sums@1.0.0"],
        ),
        (
            format!("dependencies.\"test:parts/facts\" = {{ path = \"{PART}\", export = \"test:parts/none\" }}"),
            &["exports no \"test:parts/none\"", "test:parts/facts@1.0.0"],
        ),
        (
            format!("dependencies.\"test:parts/facts\" = {{ path = \"{PART}\", export = \"test:parts/sums@1.0.0\" }}"),
            &["does not fit the import \"test:parts/facts@1.0.0\""],
        ),
        (
            "dependencies.\"test:parts\" = { path = \"note.txt\" }".to_owned(),
            &["is no component", "note.txt", "it is no WebAssembly"],
        ),
        (
            "dependencies.\"test:parts\" = \"1.0.0\"".to_owned(),
            &["the kind `registry` are not supported yet", "path = "],
        ),
        (
            format!(
                "dependencies.\"test:parts\" = {{ url = \"https://example.com/p.wasm\", digest = \"sha256:{}\" }}",
                "0".repeat(64)
            ),
            &["the kind `url` are not supported yet", "https://example.com/p.wasm"],
        ),
    ] {
        let app = app(&dependencies)?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        for part in parts.iter().chain(&["spin.toml:19:", "help:"]) {
            assert!(error.contains(part), "{dependencies}: \"{part}\" is missing in {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_dependency_that_is_left_out_is_named_by_its_import() -> Result {
    let app = app("")?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("test:parts/facts@1.0.0") && error.contains("\"asker\""), "{error}");
    Ok(())
}
