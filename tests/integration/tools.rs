//! Calls of tools, from a component's `compute` to the model and back. The model has never seen a tool: what makes its calls
//! right is the host.

#![allow(clippy::indexing_slicing, reason = "a key that is not there is null, which no comparison expects")]

use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestApp, TestHost};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// It says nothing of tools to the model, but knows that there are such, so that no words are spent on them.
const TEMPLATE: &str = "{# tools: <tool_call> #}{% for message in messages %}{{ message.content }}{% endfor %}";

async fn host() -> Result<(TestApp, TestHost)> {
    let app = TestApp::of_component("models", "/...")?;
    app.publish_chat("1.9.0", "1.0.0", TEMPLATE)?;
    app.release("storyteller@1.9.0")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

fn weather() -> Value {
    json!({ "type": "object", "properties": {
        "city": { "enum": ["Prague", "Brno", "Ústí nad Labem"] },
        "days": { "type": "integer", "minimum": 1, "maximum": 14 },
        "parts": { "type": "array", "items": { "enum": ["rain", "wind"] }, "maxItems": 2 }
    }, "required": ["city", "days"] })
}

fn note() -> Value {
    json!({ "type": "object", "properties": { "text": { "type": "string", "maxLength": 16 },
        "urgent": { "type": "boolean" } }, "required": ["text", "urgent"] })
}

fn tools() -> Value {
    let function = |name: &str, parameters: Value| json!({ "type": "function", "function": { "name": name, "description": "..", "parameters": parameters } });
    json!([function("weather", weather()), function("note", note())])
}

fn ask(options: &Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": "Once upon a time" }], "tools": tools(), "options": options })
}

/// Fails where a call is of no tool, or its arguments are not of the tool's schema.
fn hold(calls: &Value) -> Result<usize> {
    let calls = calls.as_array().map(Vec::as_slice).unwrap_or_default();
    for call in calls {
        let schema = match call["name"].as_str() {
            Some("weather") => weather(),
            Some("note") => note(),
            other => anyhow::bail!("a call of {other:?}"),
        };
        let arguments: Value = serde_json::from_str(call["arguments"].as_str().context("arguments")?)?;
        ensure!(jsonschema::is_valid(&schema, &arguments), "{schema} allows {arguments}");
        ensure!(call["id"].as_str().is_some_and(|id| id.starts_with("call_")), "{call}");
    }
    Ok(calls.len())
}

#[tokio::test]
async fn every_call_that_must_be_made_parses_and_holds_to_its_schema() -> Result {
    let (_app, host) = host().await?;
    let one = async |seed: u64| {
        let options = json!({ "tool_choice": "required", "seed": seed, "temperature": 1.8, "top_k": 0, "top_p": 1,
            "max_tokens": 150, "parallel_tool_calls": seed.is_multiple_of(2) });
        let answer = host.post_json("/ask", &ask(&options)).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
        let answer = answer.json()?;
        let calls = hold(&answer["tool_calls"]).with_context(|| answer.to_string())?;
        ensure!(seed.is_multiple_of(2) || calls <= 1, "several calls: {answer}");
        match answer["finish_reason"].as_str() {
            Some("tool_calls") => ensure!(calls > 0 && answer["text"] == "", "{answer}"),
            finish => ensure!(finish == Some("length"), "{answer}"),
        }
        Result::Ok(calls > 0)
    };
    let mut made = 0;
    for some in (0..64).collect::<Vec<u64>>().chunks(8) {
        made += try_join_all(some.iter().map(|seed| one(*seed))).await?.into_iter().filter(|made| *made).count();
    }
    assert!(made >= 40, "only {made} of 64 answers have a whole call");
    Ok(())
}

#[tokio::test]
async fn calls_of_a_stream_come_whole_with_its_last_event() -> Result {
    let (_app, host) = host().await?;
    let choice = json!({ "type": "function", "function": { "name": "note" } });
    let options = json!({ "tool_choice": choice, "stream": true, "seed": 3, "parallel_tool_calls": false });
    let events = host.stream("/ask", &ask(&options)).await?.rest().await?;
    let [last, done] = events.as_slice() else { anyhow::bail!("more than the last event: {events:?}") };
    let last: Value = serde_json::from_str(last)?;
    assert_eq!((&last["finish_reason"], done.as_str()), (&json!("tool_calls"), "[DONE]"), "{last}");
    assert_eq!(hold(&last["tool_calls"])?, 1);
    assert_eq!(last["tool_calls"][0]["name"], "note");
    Ok(())
}

#[tokio::test]
async fn a_model_that_may_call_and_does_not_streams_its_story() -> Result {
    let (_app, host) = host().await?;
    let greedy = json!({ "temperature": 0, "max_tokens": 40 });
    let mut streamed = greedy.clone();
    streamed["stream"] = true.into();
    streamed["tool_choice"] = "auto".into();
    let events = host.stream("/ask", &ask(&streamed)).await?.rest().await?;
    assert!(events.len() > 10, "{events:?}");
    let text = |event: &String| {
        let event: Value = serde_json::from_str(event).unwrap_or_default();
        event["text"].as_str().unwrap_or_default().to_owned()
    };
    let told: String = events.iter().map(text).collect();
    let mut none = ask(&greedy);
    none["options"]["tool_choice"] = "none".into();
    let plain = host.post_json("/ask", &none).await?.json()?;
    assert_eq!(plain["text"].as_str(), Some(told.as_str()), "{plain}");
    assert!(plain.get("tool_calls").is_none(), "{plain}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_tools_is_said_and_the_host_goes_on() -> Result {
    let (_app, host) = host().await?;
    let function =
        |parameters: Value| json!([{ "type": "function", "function": { "name": "f", "parameters": parameters } }]);
    let deep = (0..40).fold(json!({}), |schema, _| json!({ "type": "object", "properties": { "a": schema } }));
    let long = json!({ "type": "object", "description": "x".repeat(200_000) });
    for (tools, options, code) in [
        (json!([]), json!({}), "invalid_input"),
        (json!([{ "name": "f" }]), json!({}), "invalid_input"),
        (function(json!({ "type": "string" })), json!({}), "invalid_input"),
        (function(json!({ "properties": { "a": { "type": "nonsense" } } })), json!({}), "invalid_grammar"),
        (
            function(json!({ "properties": { "a": { "type": "array", "uniqueItems": true } } })),
            json!({}),
            "invalid_grammar",
        ),
        (function(deep), json!({}), "invalid_grammar"),
        (function(long), json!({}), "limit_exceeded"),
        (tools(), json!({ "tool_choice": "any" }), "invalid_option"),
        (tools(), json!({ "tool_choice": { "type": "function", "function": { "name": "nobody" } } }), "invalid_option"),
        (tools(), json!({ "parallel_tool_calls": "no" }), "invalid_option"),
        (tools(), json!({ "grammar": "root ::= \"a\"" }), "invalid_option"),
        (Value::Null, json!({ "tool_choice": "required" }), "invalid_option"),
    ] {
        let mut asked = ask(&options);
        asked["tools"] = tools;
        let answer = host.post_json("/ask", &asked).await?;
        let told = answer.json()?;
        assert_eq!(told["code"], code, "{options}: {told}");
        assert!((400..500).contains(&answer.status()), "{}", answer.status());
    }
    let answer = host.post_json("/ask", &ask(&json!({ "tool_choice": "required", "seed": 1 }))).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}
