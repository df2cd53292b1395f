//! `bobbin watch`: an application that changes while it is served, and `bobbin up --build`.

use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestApp, TestHost, eventually, repository_root};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const GREETING: &str = "guest-components/target/wasm32-wasip2/release/hello.wasm";
const COUNTING: &str = "tests/fixtures/components/target/wasm32-wasip2/release/tally.wasm";

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "watched"

[application.trigger.bobbin.releases]
story = "storyteller@1.0.0"

[[trigger.http]]
route = "/changing"
component = "changing"

[[trigger.http]]
route = "/story"
component = "storyteller"

[component.changing]
source = "changing.wasm"

[component.storyteller]
source = "{root}/guest-components/target/wasm32-wasip2/release/storyteller.wasm"
ai_models = ["story"]
"#;

/// What builds the component of which `source` has the path.
const BUILD: &str = r#"
[component.changing.build]
command = ["test ! -e broken || { echo the source is broken; exit 3; }", "cp \"$(cat source)\" changing.wasm"]
watch = ["source", "broken"]
"#;

/// Puts a file where it is expected, whole from the beginning.
fn put(app: &TestApp, name: &str, content: impl AsRef<[u8]>) -> Result {
    let made = app.path().join("being-written");
    fs::write(&made, content)?;
    Ok(fs::rename(made, app.path().join(name))?)
}

fn component(path: &str) -> Result<Vec<u8>> {
    Ok(fs::read(repository_root().join(path))?)
}

fn application(more: &str) -> Result<TestApp> {
    TestApp::new(&format!("{MANIFEST}{more}"))
}

async fn becomes(host: &TestHost, text: &str) -> Result {
    eventually(async || Ok((host.get("/changing").await?.text() == text).then_some(()))).await
}

async fn says(host: &TestHost, part: &str) -> Result {
    eventually(async || Ok(host.log().contains(part).then_some(()))).await
}

fn text_of(events: &[String]) -> Result<String> {
    let (done, pieces) = events.split_last().context("a stream has events")?;
    ensure!(done == "[DONE]", "the stream broke off: {done}");
    let text = |piece: &String| {
        let piece: Value = serde_json::from_str(piece)?;
        Ok(piece.get("text").and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    pieces.iter().map(text).collect()
}

#[tokio::test]
async fn a_new_component_answers_the_next_requests_and_those_in_flight_finish_as_they_began() -> Result {
    let app = application("")?;
    put(&app, "changing.wasm", component(GREETING)?)?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    assert_eq!(host.get("/changing").await?.text(), "Hello from a component!\n");
    let workers = host.workers()?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 200, "stream": true, "seed": 7});
    let expected = host.stream("/story", &ask).await?.rest().await?;
    let mut story = host.stream("/story", &ask).await?;
    let first = story.next().await?.unwrap_or_default();
    put(&app, "changing.wasm", component(COUNTING)?)?;
    becomes(&host, "1").await?;
    let mut events = vec![first];
    events.extend(story.rest().await?);
    assert_eq!(text_of(&events)?, text_of(&expected)?);
    assert_eq!(host.workers()?, workers, "the model was loaded again");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_loaded_is_reported_and_the_last_one_that_could_goes_on() -> Result {
    let app = application("")?;
    put(&app, "changing.wasm", component(COUNTING)?)?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    put(&app, "changing.wasm", "no component")?;
    says(&host, "changing.wasm").await?;
    put(&app, "spin.toml", "spin_manifest_version = 2\nnonsense = true\n")?;
    says(&host, "nonsense").await?;
    assert_eq!(host.get("/changing").await?.text(), "1");
    put(&app, "changing.wasm", component(GREETING)?)?;
    put(&app, "spin.toml", MANIFEST.replace("{root}", &repository_root().display().to_string()))?;
    becomes(&host, "Hello from a component!\n").await
}

#[tokio::test]
async fn other_limits_take_a_new_host_and_neither_a_stream_nor_a_new_request_is_lost() -> Result {
    let app = application("")?;
    put(&app, "changing.wasm", component(COUNTING)?)?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 200, "stream": true, "seed": 7});
    let expected = host.stream("/story", &ask).await?.rest().await?;
    let mut story = host.stream("/story", &ask).await?;
    let first = story.next().await?.unwrap_or_default();
    let manifest = fs::read_to_string(app.manifest())?;
    let changed = manifest.replace("\"watched\"", "\"changed\"");
    put(&app, "spin.toml", format!("{changed}\n[application.trigger.bobbin.limits]\nmax_in_flight = 3\n"))?;
    says(&host, "the host starts anew").await?;
    // Whoever comes now waits for the next host.
    let info = eventually(async || {
        let info = host.get("/.well-known/spin/info").await?;
        Ok(info.text().contains("changed").then_some(()))
    });
    info.await?;
    let mut events = vec![first];
    events.extend(story.rest().await?);
    assert_eq!(text_of(&events)?, text_of(&expected)?);
    assert_eq!(host.get("/changing").await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn a_host_that_does_not_come_up_anew_is_reported_and_comes_up_once_its_files_are_mended() -> Result {
    let app = application("")?;
    put(&app, "changing.wasm", component(GREETING)?)?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    put(&app, "changing.wasm", "no component")?;
    says(&host, "changing.wasm").await?;
    let manifest = fs::read_to_string(app.manifest())?;
    put(&app, "spin.toml", format!("{manifest}\n[application.trigger.bobbin.limits]\nmax_in_flight = 3\n"))?;
    let reported = eventually(async || {
        let log = host.log();
        let next = log.split_once("the host starts anew").map(|(_, next)| next.contains("waiting for a change"));
        Ok(next.filter(|reported| *reported))
    });
    reported.await?;
    // It comes to a host that does not run yet.
    let waiting = host.get("/changing");
    let mended = async { put(&app, "changing.wasm", component(COUNTING)?) };
    let (answer, mended) = tokio::join!(waiting, mended);
    mended?;
    assert_eq!(answer?.text(), "1");
    let ask = json!({"prompt": "Once", "max_tokens": 4});
    // Its model is loaded meanwhile.
    eventually(async || Ok((host.post_json("/story", &ask).await?.status() == 200).then_some(()))).await
}

#[tokio::test]
async fn a_change_of_the_sources_is_built_and_a_build_that_fails_changes_nothing() -> Result {
    let app = application(BUILD)?;
    let path = |path: &str| repository_root().join(path).display().to_string();
    put(&app, "source", path(GREETING))?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    becomes(&host, "Hello from a component!\n").await?;
    put(&app, "source", path(COUNTING))?;
    becomes(&host, "1").await?;
    put(&app, "broken", "")?;
    says(&host, "the build of component \"changing\" failed").await?;
    assert_eq!(host.get("/changing").await?.text(), "1");
    put(&app, "source", path(GREETING))?;
    fs::remove_file(app.path().join("broken"))?;
    becomes(&host, "Hello from a component!\n").await
}

#[tokio::test]
async fn without_building_only_what_is_loaded_is_followed() -> Result {
    let app = application(BUILD)?;
    put(&app, "changing.wasm", component(GREETING)?)?;
    put(&app, "source", repository_root().join(COUNTING).display().to_string())?;
    let host = TestHost::watch(&app.manifest()).arg("--skip-build").start().await?;
    assert_eq!(host.get("/changing").await?.text(), "Hello from a component!\n");
    put(&app, "changing.wasm", component(COUNTING)?)?;
    becomes(&host, "1").await?;
    assert!(!host.log().contains("building"), "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn up_builds_before_it_serves_and_refuses_what_cannot_be_built() -> Result {
    let app = application(BUILD)?;
    put(&app, "source", repository_root().join(COUNTING).display().to_string())?;
    assert!(!Path::new(&app.path().join("changing.wasm")).exists());
    let host = TestHost::of(&app.manifest()).arg("--build").start().await?;
    assert_eq!(host.get("/changing").await?.text(), "1");
    drop(host);
    put(&app, "broken", "")?;
    let refused = TestHost::of(&app.manifest()).arg("--build").refused().await?;
    for part in ["the build of component \"changing\" failed", "exit status: 3", "broken"] {
        assert!(refused.contains(part), "{part:?} is missing in {refused}");
    }
    Ok(())
}
