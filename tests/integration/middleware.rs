//! HTTP middleware: components that a trigger puts before its own.

use bobbin_tests::{Answer, Locked, Result, TestApp, TestHost, content, fixture_component};
use serde_json::{Value, json};

fn manifest(triggers: &str) -> String {
    let target = "{root}/tests/fixtures/components/target/wasm32-wasip2/release";
    format!(
        r#"
spin_manifest_version = 2

[application]
name = "test"

{triggers}

[component.reader]
source = "{target}/reader.wasm"
environment = {{ STAMP = "the owner's" }}

[component.second]
source = "{target}/reader_spin5.wasm"

[component.stamp]
source = "{target}/stamp.wasm"

[component.gate]
source = "{target}/gate.wasm"
"#
    )
}

fn trigger(route: &str, component: &str, middleware: &str) -> String {
    let middleware = match middleware {
        "" => String::new(),
        some => format!("dependencies.middleware = [{some}]\n"),
    };
    format!("[[trigger.http]]\nroute = \"{route}/...\"\ncomponent = \"{component}\"\n{middleware}\n")
}

async fn start(triggers: &[String]) -> Result<(TestApp, TestHost)> {
    let app = TestApp::new(&manifest(&triggers.concat()))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

async fn stamps(host: &TestHost, path: &str) -> Result<(Answer, Value)> {
    let answer = host.get(&format!("{path}/headers")).await?;
    anyhow::ensure!(answer.status() == 200, "{path}: {}: {}", answer.status(), answer.text());
    let seen = answer.json()?.get("x-stamp").cloned().unwrap_or_default();
    Ok((answer, seen))
}

#[tokio::test]
async fn middleware_sees_requests_first_and_answers_last() -> Result {
    let (_app, host) = start(&[
        trigger("/plain", "reader", ""),
        trigger("/stamped", "reader", "{ component = \"stamp\" }"),
        trigger("/twice", "reader", "{ component = \"stamp\" }, { component = \"stamp\" }"),
    ])
    .await?;
    let (answer, seen) = stamps(&host, "/plain").await?;
    assert_eq!((answer.header("x-stamp"), seen), (None, Value::Null));
    let (answer, seen) = stamps(&host, "/stamped").await?;
    assert_eq!((answer.header("x-stamp"), seen), (Some("none"), json!(["none"])));
    let (_, seen) = stamps(&host, "/twice").await?;
    assert_eq!(seen, json!(["none", "none"]));
    // A body goes through whole, and so does what the component says of it.
    let posted = host.post("/stamped/headers", "x".repeat(100_000)).await?;
    assert_eq!((posted.status(), posted.json()?["content-length"].clone()), (200, json!(["100000"])));
    Ok(())
}

#[tokio::test]
async fn the_outermost_comes_first_and_may_answer_itself() -> Result {
    let (_app, host) = start(&[
        trigger("/gate-first", "reader", "{ component = \"gate\" }, { component = \"stamp\" }"),
        trigger("/stamp-first", "reader", "{ component = \"stamp\" }, { component = \"gate\" }"),
    ])
    .await?;
    for (path, saw, stamped) in [("/gate-first", "", None), ("/stamp-first", "none", Some("none"))] {
        let refused = host.get(&format!("{path}/headers")).await?;
        assert_eq!((refused.status(), refused.header("x-gate-saw")), (403, Some(saw)), "{path}");
        assert_eq!(refused.header("x-stamp"), stamped, "{path}");
        let mut connection = host.connect().await?;
        let get = format!("GET {path}/headers HTTP/1.1\r\nhost: test\r\nx-key: 1\r\nconnection: close\r\n\r\n");
        connection.send(get).await?;
        let let_in = connection.read_to_end().await;
        assert!(let_in.starts_with("HTTP/1.1 200") && let_in.contains("\"x-stamp\":[\"none\"]"), "{let_in}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_chained_is_refused_with_its_line_and_the_next_step() -> Result {
    for (trigger, parts) in [
        (
            trigger("/x", "second", "{ component = \"stamp\" }"),
            &["component \"second\" exports no \"wasi:http/handler@0.3.0\"", "spin-sdk 7"][..],
        ),
        (
            trigger("/x", "reader", "{ component = \"second\" }"),
            &["middleware 1 of the trigger", "imports no \"wasi:http/handler@0.3.0\"", "spin-sdk 7"],
        ),
        (trigger("/x", "reader", "{ component = \"reader2\" }"), &["\"reader2\" is not declared", "\"reader\"?"]),
        (
            trigger("/x", "stamp", "{ path = \"spin.toml\" }"),
            &["is no component", "it is no WebAssembly", "wasm32-wasip2"],
        ),
        (
            trigger("/x", "reader", "{ package = \"example:part\", version = \"1\" }"),
            &["dependencies of the kind `registry` are not supported yet", "example:part", "path = "],
        ),
    ] {
        let app = TestApp::new(&manifest(&trigger))?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        for part in parts.iter().chain(&["spin.toml:10:", "help:"]) {
            assert!(error.contains(part), "{trigger}: \"{part}\" is missing in {error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_locked_application_has_its_middleware_on_the_component() -> Result {
    let folder = tempfile::tempdir()?;
    let reader = fixture_component("reader");
    let stamp = json!([{ "source": content(&fixture_component("stamp")), "export": null }]);
    let inheriting = json!([{ "source": content(&fixture_component("stamp")), "export": null, "inherit": "All" }]);
    let env = json!({ "STAMP": "locked" });
    // As Spin writes it: `reader` is run plain by one trigger, and behind middleware by another, under a name of its own.
    let file = Locked::new("locked")
        .with("spin_lock_version", json!(1))
        .with("must_understand", json!(["component_host_requirements"]))
        .component("reader", &reader, json!({ "env": env }))
        .component(
            "reader-for-stamped",
            &reader,
            json!({ "env": env, "trigger_dependencies": { "middleware": stamp }, "host_requirements": { "middleware": "required" } }),
        )
        .component("alone", &reader, json!({ "env": env, "trigger_dependencies": { "middleware": inheriting } }))
        .trigger("http", "plain", json!({ "route": "/plain/...", "component": "reader" }))
        .trigger("http", "stamped", json!({ "route": "/stamped/...", "component": "reader-for-stamped" }))
        .trigger("http", "alone-http-trigger", json!({ "route": "/alone/...", "component": "alone" }))
        .write(folder.path())?;
    let host = TestHost::of(&file).start().await?;
    assert_eq!(stamps(&host, "/plain").await?.1, Value::Null);
    assert_eq!(stamps(&host, "/stamped").await?.1, json!(["none"]));
    assert_eq!(stamps(&host, "/alone").await?.1, json!(["locked"]));
    Ok(())
}
