//! Tools: what a model calls holds to its schema, and what came of it goes back to the model.

use super::bad_input::{hostile_schemas, is_refused};
use super::{CHAT, chat, with};
use anyhow::{Context, ensure};
use bobbin_tests::{PublicApi, Result, TestApp, TestHost, node_client, python_client, repository_root};
use serde_json::{Value, json};

/// Has the words by which its way to write calls is known, and little for a small model to read.
const TEMPLATE: &str = "{%- if tools %}<tool_call> {{ tools | length }}. {% endif %}{%- for m in messages %}{{ m.content }}\
    {% for c in m.tool_calls or [] %} {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %} {% endfor %}";

async fn start() -> Result<(TestApp, TestHost)> {
    let app = TestApp::openai("")?.with_template(TEMPLATE)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

fn tool(name: &str, parameters: &Value) -> Value {
    let function = json!({ "name": name, "description": "d", "parameters": parameters, "strict": true });
    json!({ "type": "function", "function": function })
}

/// Short enough to be whole within the few tokens that this model has room for.
fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": { "city": { "enum": ["Prague", "Brno"] }, "days": { "type": "integer", "minimum": 1, "maximum": 9 } },
        "required": ["city", "days"], "additionalProperties": false,
    })
}

/// The calls of an answer, each of them held against its schema.
fn calls(message: &Value) -> Result<Vec<(String, Value)>> {
    let calls = message["tool_calls"].as_array().with_context(|| format!("no calls in {message}"))?;
    let call = |call: &Value| -> Result<(String, Value)> {
        let name = call["function"]["name"].as_str().context("a name")?.to_owned();
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().context("text")?)?;
        ensure!(jsonschema::is_valid(&parameters(), &arguments), "{arguments}");
        Ok((name, arguments))
    };
    calls.iter().map(call).collect()
}

#[tokio::test]
async fn a_call_that_has_to_be_made_is_made_and_its_arguments_hold_to_the_schema() -> Result {
    let (api, (_app, host)) = (PublicApi::read()?, start().await?);
    let tools = json!([tool("weather", &parameters()), tool("forecast", &parameters())]);
    let named = json!({ "type": "function", "function": { "name": "forecast" } });
    for (choice, only) in [(json!("required"), None), (named, Some("forecast"))] {
        for seed in 0..4 {
            let body = chat(&json!({
                "tools": tools, "tool_choice": choice, "parallel_tool_calls": false, "seed": seed, "max_tokens": 120,
                "temperature": 1.5,
            }));
            let answer = host.post_json(CHAT, &body).await?;
            ensure!(answer.status() == 200, "{}", answer.text());
            let answer = answer.json()?;
            api.check("chat.completion", &answer)?;
            let choice = &answer["choices"][0];
            assert_eq!(
                (&choice["finish_reason"], &choice["message"]["content"]),
                (&json!("tool_calls"), &Value::Null),
                "{answer}"
            );
            let calls = calls(&choice["message"])?;
            assert_eq!(calls.len(), 1, "{calls:?}");
            assert!(only.is_none_or(|only| calls[0].0 == only), "{calls:?}");
        }
    }
    let none = chat(&json!({ "tools": tools, "tool_choice": "none", "max_tokens": 20 }));
    let none = host.post_json(CHAT, &none).await?.json()?;
    api.check("chat.completion", &none)?;
    assert!(none["choices"][0]["message"].get("tool_calls").is_none(), "{none}");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_cut_in_a_call_shows_nothing_of_it() -> Result {
    let (_app, host) = start().await?;
    for most in [1, 2, 3, 5, 8, 13, 21] {
        let tools = json!([tool("weather", &parameters())]);
        let body = chat(&json!({ "tools": tools, "tool_choice": "required", "max_tokens": most, "temperature": 0 }));
        let answer = host.post_json(CHAT, &body).await?.json()?;
        let choice = &answer["choices"][0];
        let content = choice["message"]["content"].as_str().unwrap_or_default();
        assert_eq!((content, choice["finish_reason"].as_str()), ("", Some("length")), "{most}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_streamed_call_is_put_together_as_clients_do() -> Result {
    let (api, (_app, host)) = (PublicApi::read()?, start().await?);
    let body = chat(&json!({
        "tools": [tool("weather", &parameters())], "tool_choice": "required", "max_tokens": 120, "n": 2, "stream": true,
        "parallel_tool_calls": false, "stream_options": { "include_usage": true },
    }));
    let chunks = api.chunks("chat.completion.chunk", host.stream(CHAT, &body).await?).await?;
    for choice in 0..2 {
        let deltas: Vec<&Value> = chunks
            .iter()
            .filter_map(|chunk| chunk["choices"].get(0))
            .filter(|found| found["index"] == choice)
            .filter_map(|found| found["delta"]["tool_calls"].get(0))
            .collect();
        let (first, rest) = deltas.split_first().context("a call")?;
        assert_eq!((&first["index"], &first["function"]["name"]), (&json!(0), &json!("weather")));
        assert!(first["id"].is_string() && rest.iter().all(|delta| delta.get("id").is_none()), "{deltas:?}");
        let arguments: String = deltas.iter().filter_map(|delta| delta["function"]["arguments"].as_str()).collect();
        assert!(jsonschema::is_valid(&parameters(), &serde_json::from_str(&arguments)?), "{arguments}");
    }
    let reasons = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "tool_calls");
    assert_eq!(reasons.count(), 2);
    Ok(())
}

#[tokio::test]
async fn what_came_of_a_call_goes_back_to_the_model() -> Result {
    let (_app, host) = start().await?;
    let function = |arguments: &str| json!({ "name": "weather", "arguments": arguments });
    let call = |arguments: &str| json!({ "id": "call_1", "type": "function", "function": function(arguments) });
    let messages = |arguments: &str, said: &str| {
        json!([
            { "role": "user", "content": "Once upon a time" },
            { "role": "assistant", "content": null, "tool_calls": [call(arguments)] },
            { "role": "tool", "tool_call_id": "call_1", "content": said },
        ])
    };
    let tokens = async |arguments: &str, said: &str| -> Result<u64> {
        let tools = json!([tool("weather", &parameters())]);
        let body = chat(
            &json!({ "messages": messages(arguments, said), "tools": tools, "tool_choice": "none", "max_tokens": 4 }),
        );
        let answer = host.post_json(CHAT, &body).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
        answer.json()?["usage"]["prompt_tokens"].as_u64().context("tokens")
    };
    let short = tokens(r#"{"days":1}"#, "sunny").await?;
    assert!(tokens(r#"{"days":1}"#, "sunny all day long").await? > short, "the model reads what came of it");
    assert!(tokens(r#"{"days":1,"city":"Prague"}"#, "sunny").await? > short, "and what it had called");
    Ok(())
}

#[tokio::test]
async fn functions_that_no_grammar_can_hold_are_refused_by_name_and_the_server_goes_on() -> Result {
    let (api, (_app, host)) = (PublicApi::read()?, start().await?);
    for (schema, code) in hostile_schemas() {
        let parameters = json!({ "type": "object", "properties": { "a": schema }, "required": ["a"] });
        let body =
            chat(&json!({ "tools": [tool("weather", &parameters)], "tool_choice": "required", "max_tokens": 8 }));
        let answer = host.post_json(CHAT, &body).await?;
        let json = answer.json()?;
        match code {
            Some("invalid_grammar") => is_refused(&api, &answer, 400, "invalid_grammar", Some("tools"))?,
            // Too large for the host, or for the grammar: either way it is told by a name that it has.
            Some(_) => ensure!([400, 413].contains(&answer.status()) && api.check("error", &json).is_ok(), "{json}"),
            // What can be obeyed may still be too much work, which the host finds out when it begins.
            None if answer.status() == 200 => api.check("chat.completion", &json)?,
            None => is_refused(&api, &answer, 400, "invalid_grammar", Some("tools"))?,
        }
    }
    for parameters in [json!({ "type": "string" }), json!({ "type": "array" })] {
        let answer = host.post_json(CHAT, &chat(&json!({ "tools": [tool("weather", &parameters)] }))).await?;
        ensure!(answer.status() == 400 && answer.json()?["error"]["param"] == "tools", "{}", answer.text());
        api.check("error", &answer.json()?)?;
    }
    let many: Vec<Value> = (0..129).map(|n| tool(&format!("f{n}"), &parameters())).collect();
    is_refused(
        &api,
        &host.post_json(CHAT, &chat(&json!({ "tools": many }))).await?,
        400,
        "array_above_max_length",
        Some("tools"),
    )?;
    assert_eq!(host.post_json(CHAT, &chat(&json!({ "max_tokens": 2 }))).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_official_clients_and_langchain_call_functions() -> Result {
    let (_app, host) = start().await?;
    let folder = repository_root().join("tests/clients");
    if let Some(said) = python_client(&host, &folder.join("tools_client.py")).await? {
        assert!(said.contains("all of it"), "{said}");
    }
    if let Some(said) = node_client(&host, &folder.join("tools_client.mjs")).await? {
        assert!(said.contains("all of it"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_schema_for_the_answer_may_stand_beside_tools() -> Result {
    let (_app, host) = start().await?;
    let schema = json!({
        "type": "object", "properties": { "good": { "type": "boolean" } }, "required": ["good"],
        "additionalProperties": false,
    });
    let both = json!({
        "tools": [tool("weather", &parameters())], "max_tokens": 120, "parallel_tool_calls": false,
        "response_format": { "type": "json_schema", "json_schema": { "name": "mood", "schema": schema } },
    });
    for seed in 0..4 {
        let answer = host.post_json(CHAT, &chat(&with(both.clone(), &json!({ "seed": seed })))).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
        let choice = answer.json()?["choices"][0].clone();
        match choice["finish_reason"].as_str() {
            Some("tool_calls") => drop(calls(&choice["message"])?),
            reason => {
                assert_eq!(reason, Some("stop"), "{choice}");
                let said: Value = serde_json::from_str(choice["message"]["content"].as_str().unwrap_or_default())?;
                assert!(jsonschema::is_valid(&schema, &said), "{said}");
            }
        }
    }
    Ok(())
}
