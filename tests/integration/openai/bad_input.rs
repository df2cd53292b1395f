//! What is no request, or no good one: each gets an error of the API's form, and the server goes on.

use super::{CHAT, COMPLETIONS, EMBEDDINGS, chat, example, prompt};
use bobbin_tests::{Answer, PublicApi, Result, TestApp, TestHost};
use reqwest::Method;
use serde_json::{Value, json};

/// The answer is an error of the API's form, with this status, code and field.
pub(super) fn is_refused(api: &PublicApi, answer: &Answer, status: u16, code: &str, param: Option<&str>) -> Result {
    let json = answer.json()?;
    api.check("error", &json)?;
    let error = &json["error"];
    let told = (answer.status(), error["code"].as_str(), error["param"].as_str());
    anyhow::ensure!(told == (status, Some(code), param), "{told:?} is not {:?}: {error}", (status, code, param));
    anyhow::ensure!(answer.text().len() < 2_000, "the error repeats what it was sent: {} bytes", answer.text().len());
    Ok(())
}

async fn answers(host: &TestHost) -> Result {
    let answer = host.post_json(CHAT, &chat(&json!({ "max_tokens": 2 }))).await?;
    anyhow::ensure!(answer.status() == 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused_at_every_endpoint() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let deep = "[".repeat(200_000);
    let nested = format!("{{\"model\":{}", "{\"a\":".repeat(100_000));
    for path in [CHAT, COMPLETIONS, EMBEDDINGS] {
        for body in [
            "",
            "{",
            "nonsense",
            "null",
            "[]",
            "1",
            "\"text\"",
            "{\"model\":}",
            "{\"a\":1}{",
            deep.as_str(),
            nested.as_str(),
        ] {
            is_refused(&api, &host.post(path, body.to_owned()).await?, 400, "invalid_json", None)?;
        }
        is_refused(&api, &host.post(path, b"{\"model\":\"\xff\xfe\"}".to_vec()).await?, 400, "invalid_json", None)?;
        is_refused(&api, &host.post(path, "{}").await?, 400, "missing_required_parameter", Some("model"))?;
    }
    answers(&host).await
}

#[tokio::test]
async fn what_is_over_a_bound_is_refused_before_it_costs_anything() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let word = "once upon a time ";
    for (path, body, code, param) in [
        (CHAT, chat(&json!({ "n": 1_000_000_000_u64 })), "integer_above_max_value", "n"),
        (CHAT, chat(&json!({ "n": 1e300 })), "integer_above_max_value", "n"),
        (CHAT, chat(&json!({ "n": -1 })), "integer_below_min_value", "n"),
        (COMPLETIONS, prompt(&json!({ "n": 129 })), "integer_above_max_value", "n"),
        (COMPLETIONS, prompt(&json!({ "prompt": vec!["a"; 1000] })), "array_above_max_length", "prompt"),
        (CHAT, chat(&json!({ "stop": ["a", "b", "c", "d", "e"] })), "array_above_max_length", "stop"),
        (CHAT, chat(&json!({ "stop": "x".repeat(100_000) })), "string_above_max_length", "stop"),
        (CHAT, chat(&json!({ "metadata": { "a": "x".repeat(100_000) } })), "string_above_max_length", "metadata.a"),
        (
            CHAT,
            chat(&json!({ "messages": [{ "role": "user", "content": word.repeat(20_000) }] })),
            "context_length_exceeded",
            "messages",
        ),
        (COMPLETIONS, prompt(&json!({ "prompt": word.repeat(20_000) })), "context_length_exceeded", "prompt"),
        (EMBEDDINGS, json!({ "model": "embedder", "input": word.repeat(20_000) }), "context_length_exceeded", "input"),
        (
            EMBEDDINGS,
            json!({ "model": "embedder", "input": "a", "dimensions": 100_000 }),
            "invalid_option",
            "dimensions",
        ),
        (CHAT, chat(&json!({ "logit_bias": { "2000000000": 1 } })), "invalid_option", "logit_bias"),
    ] {
        is_refused(&api, &host.post_json(path, &body).await?, 400, code, Some(param))?;
    }
    let messages: Vec<Value> = (0..20_000).map(|_| json!({ "role": "user", "content": "once" })).collect();
    let many = chat(&json!({ "messages": messages }));
    is_refused(&api, &host.post_json(CHAT, &many).await?, 400, "context_length_exceeded", Some("messages"))?;
    let name = "x".repeat(100_000);
    is_refused(
        &api,
        &host.post_json(CHAT, &chat(&json!({ "model": name }))).await?,
        404,
        "model_not_found",
        Some("model"),
    )?;
    let unknown = host.post_json(CHAT, &chat(&json!({ name: 1 }))).await?;
    api.check("error", &unknown.json()?)?;
    assert!(unknown.status() == 400 && unknown.text().len() < 2_000, "{}", unknown.text().len());
    answers(&host).await
}

#[tokio::test]
async fn a_body_over_the_hosts_bound_is_refused_in_the_same_form() -> Result {
    let api = PublicApi::read()?;
    let app = TestApp::openai("\n[application.trigger.bobbin.limits]\nbody_bytes = 100000\n")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let large = chat(&json!({ "user": "x".repeat(200_000) })).to_string();
    is_refused(&api, &host.post(CHAT, large.clone()).await?, 413, "body_too_large", None)?;
    // One whose length is not known before it has come.
    let chunks = large.into_bytes().chunks(10_000).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let chunks = futures::stream::iter(chunks.into_iter().map(std::io::Result::Ok));
    is_refused(&api, &host.post(CHAT, reqwest::Body::wrap_stream(chunks)).await?, 413, "body_too_large", None)?;
    answers(&host).await
}

#[tokio::test]
async fn models_that_are_not_there_or_of_another_kind_are_told_by_the_field() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    for (path, body, code) in [
        (CHAT, chat(&json!({ "model": "gpt" })), "model_not_found"),
        (CHAT, chat(&json!({ "model": "gpt", "stream": true })), "model_not_found"),
        (CHAT, chat(&json!({ "model": "" })), "model_not_found"),
        // Known to the application, and not granted to this component.
        (CHAT, chat(&json!({ "model": "story" })), "model_not_found"),
        (CHAT, chat(&json!({ "model": "../storyteller" })), "model_not_found"),
        (COMPLETIONS, prompt(&json!({ "model": "storyteller@9.9.9" })), "model_not_found"),
        (EMBEDDINGS, json!({ "model": "gpt", "input": "a" }), "model_not_found"),
        (CHAT, chat(&json!({ "model": "embedder" })), "unsupported_by_model"),
        (EMBEDDINGS, json!({ "model": "storyteller", "input": "a" }), "unsupported_by_model"),
    ] {
        let answer = host.post_json(path, &body).await?;
        is_refused(&api, &answer, 404, code, Some("model"))?;
        // In the words of this API.
        assert!(!answer.text().contains("graph") && !answer.text().contains("input \\\""), "{}", answer.text());
    }
    answers(&host).await
}

#[tokio::test]
async fn paths_and_methods_that_are_not_served_are_told() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    for path in ["/v1/responses", "/v1", "/v1/", "/v1/chat", "/v1/chat/completions/x", "/v1/nothing?model=a"] {
        is_refused(&api, &host.post(path, "{}").await?, 404, "unknown_url", None)?;
    }
    for (method, path, allowed) in [
        (Method::GET, CHAT, "POST"),
        (Method::PUT, EMBEDDINGS, "POST"),
        (Method::POST, "/v1/models", "GET, HEAD"),
        (Method::DELETE, "/v1/models/storyteller", "GET, HEAD"),
    ] {
        let response = host.send(method, path).await?;
        is_refused(&api, &response, 405, "method_not_supported", None)?;
        assert_eq!(response.header("allow"), Some(allowed));
    }
    Ok(())
}

#[tokio::test]
async fn schemas_that_no_grammar_can_hold_are_refused_by_the_field_they_came_in() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    for (schema, code) in hostile_schemas() {
        let format = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
        let answer = host.post_json(CHAT, &chat(&json!({ "response_format": format, "max_tokens": 8 }))).await?;
        match code {
            Some("invalid_grammar") => is_refused(&api, &answer, 400, "invalid_grammar", Some("response_format"))?,
            // Of what is too large for the host's options no field is to blame before others.
            Some(code) => is_refused(&api, &answer, 413, code, None)?,
            None => anyhow::ensure!(answer.status() == 200, "{}", answer.text()),
        }
    }
    answers(&host).await
}

/// Schemas that nobody means well with, and why they are refused; some can be obeyed all the same.
pub(super) fn hostile_schemas() -> Vec<(Value, Option<&'static str>)> {
    let deep = (0..40).fold(
        json!({ "not": { "type": "string" } }),
        |inner, _| json!({ "type": "object", "properties": { "a": inner }, "required": ["a"] }),
    );
    let wide: serde_json::Map<String, Value> =
        (0..5_000).map(|n| (format!("p{n}"), json!({ "type": "string", "pattern": "^(a|b)*c{1,9}$" }))).collect();
    let (grammar, large) = (Some("invalid_grammar"), Some("limit_exceeded"));
    vec![
        (json!({ "type": "nothing" }), grammar),
        (json!({ "$ref": "#/nowhere" }), grammar),
        (json!({ "$ref": "http://127.0.0.1/schema.json" }), grammar),
        (json!({ "type": "string", "pattern": "(" }), grammar),
        (json!({ "not": { "type": "string" } }), grammar),
        (json!({ "enum": [] }), grammar),
        (deep, grammar),
        (json!({ "type": "object", "properties": wide }), large),
        (json!({ "type": "string", "pattern": "(a{1,1000}){1,1000}" }), None),
        (json!({ "type": "array", "minItems": 4_000_000_000_u64 }), None),
        (json!({ "type": "string", "minLength": 4_000_000_000_u64 }), None),
    ]
}
