//! Conversations: with a model's chat template, and without one.

use super::{CHAT, COMPLETIONS, chat};
use anyhow::Context;
use bobbin_tests::{PublicApi, Result, TestApp, TestHost, shared_models};
use serde_json::{Value, json};
use std::fs;

/// Writes what it gets, so that a test can ask for exactly that as a prompt.
const TEMPLATE: &str =
    "{% for m in messages %}{{ m.role }} says {{ m.content }}{% if m.name %} as {{ m.name }}{% endif %}\n{% endfor %}";

#[tokio::test]
async fn a_model_without_a_template_goes_on_from_the_texts_alone() -> Result {
    // The bundles of the repository have templates.
    let Some(models) = shared_models() else { return Ok(()) };
    let app = TestApp::openai("")?;
    app.add_bundle("plain", "1.0.0", &models.join("stories260K-q8_0.gguf"), 128)?;
    app.release("plain@1.0.0")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let ask = json!({ "max_tokens": 12, "temperature": 0 });
    let messages = json!([
        { "role": "developer", "content": [{ "type": "text", "text": "Once" }, { "type": "text", "text": "upon" }] },
        { "role": "assistant", "content": "" },
        { "role": "user", "content": "a time" },
    ]);
    let talk = chat(&super::with(json!({ "messages": messages }), &ask));
    let talked = host.post_json(CHAT, &talk).await?;
    assert_eq!(talked.status(), 200, "{}", talked.text());
    assert_eq!(talked.json()?["model"], "plain@1.0.0");
    let plain = json!({ "model": "storyteller", "prompt": "Once\nupon\na time", "max_tokens": 12, "temperature": 0 });
    let told = host.post_json(COMPLETIONS, &plain).await?.json()?;
    assert_eq!(talked.json()?["choices"][0]["message"]["content"], told["choices"][0]["text"]);
    let streamed = host.stream(CHAT, &super::with(talk, &json!({ "stream": true }))).await?;
    let chunks = PublicApi::read()?.chunks("chat.completion.chunk", streamed).await?;
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(told["choices"][0]["text"], text);
    // Nothing would tell such a model of the functions.
    let tool = json!({ "type": "function", "function": { "name": "weather" } });
    let refused = host.post_json(CHAT, &chat(&json!({ "tools": [tool] }))).await?;
    PublicApi::read()?.check("error", &refused.json()?)?;
    assert_eq!((refused.status(), &refused.json()?["error"]["param"]), (404, &json!("model")), "{}", refused.text());
    Ok(())
}

#[tokio::test]
async fn a_template_gets_every_message_as_text_with_its_role() -> Result {
    let app = TestApp::openai("")?.with_template(TEMPLATE)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let messages = json!([
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "name": "reader", "content": [{ "type": "text", "text": "Hi" }, { "type": "text", "text": "there" }] },
    ]);
    let talk = async |messages: Value| -> Result<Value> {
        let body = chat(&json!({ "messages": messages, "max_tokens": 12, "temperature": 0 }));
        let talked = host.post_json(CHAT, &body).await?;
        assert_eq!(talked.status(), 200, "{}", talked.text());
        talked.json()
    };
    let talked = talk(messages).await?;
    assert_eq!(talked["model"], "storyteller@1.2.0");
    // What a template cannot tell apart is answered alike, and what it can is another prompt.
    let written = |role: &str, name: &str, text: &str| json!([{ "role": role, "content": "Be brief." }, { "role": "user", "name": name, "content": text }]);
    let same = talk(written("system", "reader", "Hi\nthere")).await?;
    let tokens = |answer: &Value| answer["usage"]["prompt_tokens"].as_u64();
    assert_eq!(tokens(&talked), tokens(&same));
    assert_eq!(talked["choices"][0]["message"]["content"], same["choices"][0]["message"]["content"]);
    for other in [written("system", "reader", "Hi"), written("system", "a reader of the sea", "Hi\nthere")] {
        assert_ne!(tokens(&talked), tokens(&talk(other).await?));
    }
    Ok(())
}

#[tokio::test]
async fn the_version_that_answers_is_the_releases() -> Result {
    let app = TestApp::openai("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let model = async || -> Result<Value> {
        Ok(host.post_json(CHAT, &chat(&json!({ "max_tokens": 1 }))).await?.json()?["model"].clone())
    };
    assert_eq!(model().await?, "storyteller@1.0.0");
    let mut events = host.stream(CHAT, &chat(&json!({ "stream": true, "max_tokens": 200 }))).await?;
    events.next().await?.context("a chunk")?;
    host.release("storyteller").swap_to("storyteller@1.1.0").await?;
    assert_eq!(model().await?, "storyteller@1.1.0");
    // What began with the old one goes on with it.
    let chunks = PublicApi::read()?.chunks("chat.completion.chunk", events).await?;
    assert!(chunks.iter().all(|chunk| chunk["model"] == "storyteller@1.0.0"));
    Ok(())
}

#[tokio::test]
async fn the_api_may_be_mounted_on_any_route() -> Result {
    let app = TestApp::openai("\n[[trigger.http]]\nroute = \"/teams/:team/v1/...\"\ncomponent = \"openai\"\n")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for base in ["/v1", "/teams/tales/v1"] {
        assert_eq!(host.get(&format!("{base}/models/storyteller")).await?.status(), 200, "{base}");
        let path = format!("{base}/chat/completions");
        let answer = host.post_json(&path, &chat(&json!({ "max_tokens": 2 }))).await?;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test]
async fn an_exact_version_may_be_asked_for_where_the_release_allows_it_and_its_last_day_is_told() -> Result {
    let (api, app) = (PublicApi::read()?, TestApp::openai("")?);
    let declared = "[application.trigger.bobbin.releases.storyteller]\nstable = \"storyteller@1.0.0\"\n\
                    exact_versions = true\nretires = \"2099-01-31\"\n";
    let manifest = fs::read_to_string(app.manifest())?;
    let plain = "[application.trigger.bobbin.releases]\nstoryteller = \"storyteller@1.0.0\"\n";
    anyhow::ensure!(manifest.contains(plain), "{manifest}");
    fs::write(app.manifest(), manifest.replace(plain, declared))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let list = host.get("/v1/models").await?.json()?;
    api.check("models", &list)?;
    let told: Vec<_> =
        list["data"].as_array().context("data")?.iter().map(|model| (&model["id"], &model["shutdown_date"])).collect();
    let day = json!("2099-01-31");
    assert_eq!(told, [(&json!("storyteller"), &day), (&json!("storyteller@1.0.0"), &day)]);
    let answered_by = async |model: &str| -> Result<Value> {
        let answer = host.post_json(CHAT, &chat(&json!({ "model": model, "max_tokens": 2 }))).await?;
        Ok(if answer.status() == 200 {
            answer.json()?["model"].clone()
        } else {
            answer.json()?["error"]["code"].clone()
        })
    };
    assert_eq!(answered_by("storyteller@1.0.0").await?, "storyteller@1.0.0");
    assert_eq!(answered_by("storyteller@1.1.0").await?, "model_not_found");
    host.release("storyteller").swap_to("storyteller@1.1.0").await?;
    for (asked, answered) in [
        ("storyteller", "storyteller@1.1.0"),
        ("storyteller@1.1.0", "storyteller@1.1.0"),
        ("storyteller@1.0.0", "storyteller@1.0.0"),
    ] {
        assert_eq!(answered_by(asked).await?, answered);
    }
    Ok(())
}
