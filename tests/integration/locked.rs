//! Locked applications, in place of a manifest.

use bobbin_tests::{Locked, Result, TestApp, TestHost, content, file_url, fixture_component, repository_root};
use serde_json::{Value, json};
use std::fs;

fn reader() -> std::path::PathBuf {
    fixture_component("reader")
}

fn hello() -> std::path::PathBuf {
    repository_root().join("guest-components/target/wasm32-wasip2/release/hello.wasm")
}

#[tokio::test]
async fn a_locked_application_is_served_in_both_versions_of_the_format() -> Result {
    let folder = tempfile::tempdir()?;
    let assets = folder.path().join("assets/reader");
    fs::create_dir_all(&assets)?;
    fs::write(assets.join("page.html"), "locked")?;
    let app = Locked::new("locked")
        .with("variables", json!({ "level": { "default": "low", "secret": true } }))
        .with("some_future_field", json!({ "ignored": null }))
        .component("hello", &hello(), json!({}))
        .component(
            "reader",
            &reader(),
            json!({
                "env": { "A": "b" },
                "files": [{ "source": file_url(&assets), "path": "/" }],
                "metadata": { "description": "reads", "build": { "command": "make", "workdir": null, "watch": [] } },
                "dependencies": {},
            }),
        )
        .trigger("http", "hello-http-trigger", json!({ "route": "/hello", "component": "hello", "executor": null }))
        .trigger(
            "http",
            "http-trigger1",
            json!({ "route": "/r/...", "component": "reader", "executor": { "type": "http" } }),
        )
        .trigger("http", "gone", json!({ "route": "/gone", "static_response": { "status_code": 410, "headers": {} } }));
    let newer = app
        .clone()
        .with("spin_lock_version", json!(1))
        .with("must_understand", json!(["host_requirements", "component_host_requirements"]))
        .with("host_requirements", json!({ "local_service_chaining": "required", "time_travel": "optional" }));
    for app in [app, newer] {
        let file = app.write(folder.path())?;
        let host = TestHost::of(&file).start().await?;
        assert_eq!(host.get("/hello").await?.status(), 200);
        assert_eq!(host.get("/gone").await?.status(), 410);
        assert_eq!(host.get("/r/env").await?.json()?["A"], "b");
        assert_eq!(host.get("/r/read?path=/page.html").await?.json()?["text"], "locked");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() -> Result {
    let folder = tempfile::tempdir()?;
    let app = || {
        Locked::new("locked").component("hello", &hello(), json!({})).trigger(
            "http",
            "hello",
            json!({ "route": "/hello", "component": "hello" }),
        )
    };
    let component = |more: Value| {
        Locked::new("locked").component("hello", &hello(), more).trigger(
            "http",
            "hello",
            json!({ "route": "/hello", "component": "hello" }),
        )
    };
    let zeros = format!("sha256:{}", "0".repeat(64));
    let cases: Vec<(Locked, &[&str])> = vec![
        (app().with("spin_lock_version", json!(2)), &["of version 2"]),
        (
            app().with("must_understand", json!(["host_requirements", "quantum"])),
            &["\"quantum\"", "must be understood"],
        ),
        (app().with("host_requirements", json!({ "time_travel": "required" })), &["\"time_travel\"", "requires"]),
        (component(json!({ "host_requirements": { "gpu": "required" } })), &["\"gpu\"", "requires"]),
        (
            component(json!({ "source": { "content_type": "application/wasm", "inline": "AAAA" } })),
            &["is no component", "it is no WebAssembly"],
        ),
        (
            component(
                json!({ "source": { "content_type": "application/wasm", "source": "https://example.com/a.wasm" } }),
            ),
            &["https://example.com/a.wasm", "only files are read"],
        ),
        (
            component(
                json!({ "source": { "content_type": "application/wasm", "source": file_url(&hello()), "digest": zeros } }),
            ),
            &["has the digest", "sha256:000"],
        ),
        (component(json!({ "trigger_dependencies": { "sidecar": [content(&hello())] } })), &["\"sidecar\""]),
        (app().trigger("mqtt", "m", json!({ "topic": "t", "component": "hello" })), &["the type \"mqtt\""]),
        (app().trigger("redis", "r", json!({ "component": "hello" })), &["has no `channel`"]),
        (
            app().trigger("redis", "r", json!({ "channel": "c", "component": "hello" })),
            &["names no server", "[application.trigger.redis]"],
        ),
        (
            app().trigger("http", "x", json!({ "route": "/x", "component": "hello", "executor": { "type": "wagi" } })),
            &["the executor `wagi`"],
        ),
        (
            app().trigger("http", "x", json!({ "rout": "/x", "component": "hello" })),
            &["has no `route`", "did you mean"],
        ),
        (app().trigger("http", "x", json!({ "route": "/x", "component": "helo" })), &["\"helo\" is not declared"]),
    ];
    for (app, parts) in cases {
        let file = app.write(folder.path())?;
        let error = TestHost::of(&file).refused().await?;
        for part in parts.iter().chain(&["spin.lock:", "help:"]) {
            assert!(error.contains(part), "\"{part}\" is missing in {error}");
        }
    }
    fs::write(folder.path().join("spin.lock"), "{ \"spin_lock_version\": 1,\n  oops }")?;
    let error = TestHost::of(&folder.path().join("spin.lock")).refused().await?;
    assert!(error.contains("spin.lock:2:") && error.contains("no locked application"), "{error}");
    Ok(())
}

#[tokio::test]
async fn releases_survive_in_the_locked_settings() -> Result {
    let app = TestApp::stories("")?;
    let file = Locked::new("locked")
        .settings("bobbin", json!({ "repository": "models", "releases": { "story": "storyteller@1.0.0" } }))
        .component(
            "storyteller",
            &repository_root().join("guest-components/target/wasm32-wasip2/release/storyteller.wasm"),
            json!({ "metadata": { "ai_models": ["story"] } }),
        )
        .trigger("http", "storyteller-http-trigger", json!({ "route": "/story", "component": "storyteller" }))
        .write(app.path())?;
    let host = TestHost::of(&file).start().await?;
    let story = host.post_json("/story", &json!({ "prompt": "Once upon a time", "max_tokens": 4 })).await?;
    assert_eq!((story.status(), story.header("bobbin-bundle")), (200, Some("storyteller@1.0.0")), "{}", story.text());
    // The trigger has the id that it has by its spin.toml, which names none.
    let releases = host.admin("/admin/v1/releases").await?;
    assert!(releases.text().contains("http:/story:storyteller"), "{}", releases.text());
    Ok(())
}

#[tokio::test]
async fn a_profile_was_chosen_when_the_application_was_locked() -> Result {
    let folder = tempfile::tempdir()?;
    let file = Locked::new("locked").write(folder.path())?;
    let error = TestHost::of(&file).arg("--profile").arg("debug").refused().await?;
    assert!(error.contains("the profile that it was locked with") && error.contains("help:"), "{error}");
    Ok(())
}
