//! Which models a component may use: the catalog, exact versions, and versions that will be gone.

#![allow(clippy::indexing_slicing, reason = "a key that is not there is null, which no comparison expects")]

use anyhow::Context;
use bobbin_tests::{Result, TestApp, TestHost, TestKey};
use serde_json::{Value, json};
use tempfile::TempDir;

const MEADOW: &str = "storyteller@1.0.0";
const SEA: &str = "storyteller@1.1.0";

/// An application whose one component says what it may use; `releases` and `more` are manifest text.
fn app(releases: &str, more: &str) -> Result<TestApp> {
    TestApp::new(&format!(
        r#"spin_manifest_version = 2

[application]
name = "catalog"
version = "0.1.0"

[application.trigger.bobbin]
repository = "{{root}}/models"
{more}
[application.trigger.bobbin.releases]
{releases}

[[trigger.http]]
route = "/..."
component = "models"

[component.models]
source = "{{root}}/tests/fixtures/components/target/wasm32-wasip2/release/models.wasm"
ai_models = ["story", "tale", "sentence"]
"#
    ))
}

const ALL: &str = r#"
story = { stable = "storyteller@1.0.0", exact_versions = true, retires = "2096-10-02T07:06:40Z" }
tale = "storyteller@1.1.0"
sentence = "sentence@1.0.0"
"#;

async fn started(app: &TestApp) -> Result<TestHost> {
    TestHost::of(&app.manifest()).start().await
}

/// Names and versions of a catalog.
fn pairs(catalog: &Value) -> Vec<(&str, &str)> {
    let models = catalog.as_array().map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(|model| Some((model["name"].as_str()?, model["version"].as_str()?))).collect()
}

#[tokio::test]
async fn a_component_learns_what_it_may_use_and_nothing_else() -> Result {
    let app = app(ALL, "")?;
    let host = started(&app).await?;
    let catalog = host.get("/list").await?.json()?;
    let expected = [("sentence", "sentence@1.0.0"), ("story", MEADOW), (MEADOW, MEADOW), ("tale", SEA)];
    assert_eq!(pairs(&catalog), expected, "{catalog:#}");
    let model = |name: &str| catalog.as_array().and_then(|models| models.iter().find(|model| model["name"] == name));
    let story = model("story").context("story")?;
    let known = json!({ "name": "story", "version": MEADOW, "kind": "generate", "context": 256, "dimensions": null,
        "created": null, "retires": 4_000_000_000_u64 });
    assert_eq!(story, &known);
    let sentence = model("sentence").context("sentence")?;
    assert_eq!((&sentence["kind"], &sentence["retires"]), (&json!("embed"), &Value::Null));
    assert!(sentence["dimensions"].as_u64().is_some_and(|dimensions| dimensions > 0), "{sentence}");
    assert_eq!(model("tale").context("tale")?["retires"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_keys_scope_takes_models_out_of_the_catalog_with_their_exact_versions() -> Result {
    let (app, state) = (app(ALL, "keys = \"required\"\nerrors = \"openai\"\n")?, TempDir::new()?);
    let tale = TestKey::create(state.path(), &["--model", "tale"])?;
    let story = TestKey::create(state.path(), &["--model", "story", "--requests-per-minute", "100"])?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let bearer = |key: &TestKey| format!("Bearer {}", key.token);
    let catalog = host.get_as(&bearer(&tale), "/list").await?.json()?;
    assert_eq!(pairs(&catalog), [("tale", SEA)]);
    let answer = host.get_as(&bearer(&story), "/list").await?;
    assert_eq!(pairs(&answer.json()?), [("story", MEADOW), (MEADOW, MEADOW)]);
    for header in ["limit", "remaining", "reset"] {
        assert!(answer.header(&format!("x-ratelimit-{header}-requests")).is_some(), "{header}");
    }
    for (key, model, status) in
        [(&story, MEADOW, 200), (&story, "story", 200), (&tale, MEADOW, 404), (&tale, "story", 404)]
    {
        let ask = json!({ "model": model, "options": { "max_tokens": 2 } });
        let answer = host.post_as(&bearer(key), "/ask", &ask).await?;
        assert_eq!(answer.status(), status, "{model}: {}", answer.text());
    }
    // Who has no key hears it as OpenAI's clients expect to.
    let refused = host.get("/list").await?;
    let error = &refused.json()?["error"];
    assert_eq!((refused.status(), error["code"].as_str()), (401, Some("invalid_api_key")));
    let mut keys: Vec<&str> = error.as_object().context("an object")?.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "message", "param", "type"]);
    Ok(())
}

#[tokio::test]
async fn an_exact_version_is_loaded_where_its_release_allows_it_and_nowhere_else() -> Result {
    let app = app(ALL, "")?;
    let host = started(&app).await?;
    let ask = |model: &str| json!({ "model": model, "options": { "max_tokens": 4 } });
    let answer = host.post_json("/ask", &ask(MEADOW)).await?;
    assert_eq!((answer.status(), answer.header("bobbin-bundle")), (200, Some(MEADOW)), "{}", answer.text());
    // `tale` serves this one, and does not let anybody ask for it.
    for unknown in [SEA, "storyteller@9.9.9", "storyteller", "sentence@1.0.0"] {
        let answer = host.post_json("/ask", &ask(unknown)).await?;
        assert_eq!((answer.status(), answer.json()?["wasi_nn"].as_str()), (404, Some("not-found")), "{unknown}");
    }
    assert!(host.log().contains("not granted"), "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn an_answer_of_a_version_that_will_be_gone_says_when() -> Result {
    let app = app(ALL, "")?;
    let host = started(&app).await?;
    let sunset = async |model: &str| {
        let answer = host.post_json("/ask", &json!({ "model": model, "options": { "max_tokens": 2 } })).await?;
        Result::Ok(answer.header("sunset").map(str::to_owned))
    };
    assert_eq!(sunset("story").await?.as_deref(), Some("Tue, 02 Oct 2096 07:06:40 GMT"));
    assert_eq!(sunset(MEADOW).await?.as_deref(), Some("Tue, 02 Oct 2096 07:06:40 GMT"));
    assert_eq!(sunset("tale").await?, None);
    assert_eq!(host.get("/list").await?.header("sunset"), None, "no model answered");
    let shown = host.release("story").show().await?;
    assert_eq!((&shown["exact_versions"], &shown["retires"]), (&json!(true), &json!("2096-10-02T07:06:40.000Z")));
    Ok(())
}

#[tokio::test]
async fn requests_that_hold_an_exact_version_keep_it_over_swaps() -> Result {
    let app = app("story = { stable = \"storyteller@1.0.0\", exact_versions = true }", "")?;
    let app = TestApp::new(&std::fs::read_to_string(app.manifest())?.replace(", \"tale\", \"sentence\"", ""))?;
    let host = started(&app).await?;
    let release = host.release("story");
    // Both are loaded from here on: the one that does not serve is kept warm.
    release.swap_to(SEA).await?;
    release.swap_to(MEADOW).await?;
    let hold =
        |model: &str| json!({ "model": model, "count": 120, "options": { "max_tokens": 40, "temperature": 0.5 } });
    let mut held = Vec::new();
    for model in [MEADOW, SEA, "story"] {
        let mut events = host.stream("/hold", &hold(model)).await?;
        assert_eq!(events.next_json().await?["opened"], true);
        let expected = if model == SEA { SEA } else { MEADOW };
        held.push((model, expected, events));
    }
    for swap in 0..6 {
        release.swap_to(if swap % 2 == 0 { SEA } else { MEADOW }).await?;
        let catalog = host.get("/list").await?.json()?;
        let stable = if swap % 2 == 0 { SEA } else { MEADOW };
        assert_eq!(pairs(&catalog), [("story", stable), (MEADOW, MEADOW), (SEA, SEA)]);
    }
    for (model, expected, mut events) in held {
        let told = events.rest().await.with_context(|| format!("{model} broke off"))?;
        assert_eq!(told.len(), 120, "{model}");
        for event in told {
            let event: Value = serde_json::from_str(&event)?;
            assert_eq!(event["bundle"], expected, "{model}: {event}");
        }
    }
    // Nobody keeps the other one warm any more: it is not there, and nothing that asks for it gets another one.
    release.set(json!({ "keep_warm_seconds": 0 })).await?;
    assert_eq!(pairs(&host.get("/list").await?.json()?), [("story", MEADOW), (MEADOW, MEADOW)]);
    let answer = host.post_json("/ask", &json!({ "model": SEA })).await?;
    assert_eq!(answer.status(), 404, "{}", answer.text());
    Ok(())
}
