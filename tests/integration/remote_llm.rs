//! Models for a Spin that runs elsewhere: what its `remote_http` sends, and reads.

use bobbin_tests::{Answer, Result, TestHost, TestHostBuilder, TestKey, repository_root};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use tempfile::TempDir;

fn application() -> TestHostBuilder {
    TestHost::of(&repository_root().join("guest-components/spin-llm/spin.toml"))
}

/// As Spin sends it with its own protocol: the token in lower case, and no content type.
async fn send(host: &TestHost, path: &str, body: &str) -> Result<Answer> {
    let mut connection = host.connect().await?;
    let length = body.len();
    let head =
        format!("host: localhost\r\nauthorization: bearer token\r\ncontent-length: {length}\r\nconnection: close");
    connection.send(format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\n{body}")).await?;
    let received = connection.read_to_end().await;
    anyhow::ensure!(received.starts_with("HTTP/1.1 200"), "{received}");
    host.post(path, body.to_owned()).await
}

fn infer() -> Value {
    json!({
        "model": "story",
        "prompt": "Once upon a time",
        "options": {
            "maxTokens": 12,
            "repeatPenalty": 1.0,
            "repeatPenaltyLastNTokenCount": 64,
            "temperature": 0.0,
            "topK": 40,
            "topP": 1.0,
        },
    })
}

#[tokio::test]
async fn a_spin_elsewhere_infers_and_embeds() -> Result {
    let host = application().start().await?;
    let answer = send(&host, "/infer", &infer().to_string()).await?;
    assert_eq!(answer.header("bobbin-bundle"), Some("storyteller@1.0.0"));
    let json = answer.json()?;
    assert!(json["text"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
    assert_eq!(json["usage"]["generatedTokenCount"], 12, "{json}");
    assert!(json["usage"]["promptTokenCount"].as_u64() > Some(1), "{json}");

    let body = json!({ "model": "sentence", "input": ["When will my parcel come?", "I like your shop."] });
    let json = send(&host, "/embed", &body.to_string()).await?.json()?;
    let rows: Vec<Vec<f32>> = serde_json::from_value(json["embeddings"].clone())?;
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [192, 192]);
    assert!(json["usage"]["promptTokenCount"].as_u64() > Some(5), "{json}");
    Ok(())
}

#[tokio::test]
async fn a_host_with_keys_asks_a_spin_for_its_token_and_one_that_others_reach_does_not_start_without() -> Result {
    let state = TempDir::new()?;
    let told = application().state_dir(state.path()).listen(Ipv4Addr::UNSPECIFIED.into()).refused().await?;
    assert!(told.contains("/infer, /embed, /v1/...") && told.contains("bobbin key create"), "{told}");
    let key = TestKey::create(state.path(), &["--model", "story"])?;
    let host = application().state_dir(state.path()).listen(Ipv4Addr::UNSPECIFIED.into()).start().await?;
    // As Spin sends it: in small letters.
    let token = format!("bearer {}", key.token);
    let answer = host.post_as(&token, "/infer", &infer()).await?;
    assert_eq!(answer.json()?["usage"]["generatedTokenCount"], 12, "{}", answer.text());
    let refused = host.post_as("bearer any", "/infer", &infer()).await?;
    assert_eq!((refused.status(), refused.header("content-type")), (401, Some("text/plain; charset=utf-8")));
    let body = json!({ "model": "sentence", "input": ["one"] });
    let missing = host.post_as(&token, "/embed", &body).await?;
    assert_eq!(missing.status(), 404, "the key is for stories alone: {}", missing.text());
    let openai = host.post_json("/v1/embeddings", &body).await?;
    assert_eq!((openai.status(), &openai.json()?["error"]["code"]), (401, &json!("invalid_api_key")));
    Ok(())
}

#[tokio::test]
async fn what_is_left_out_is_spins_own() -> Result {
    let host = application().start().await?;
    let body = json!({ "model": "story", "prompt": "Once upon a time" });
    let json = host.post_json("/infer", &body).await?.json()?;
    assert!((1..=100).contains(&json["usage"]["generatedTokenCount"].as_u64().unwrap_or_default()), "{json}");
    Ok(())
}

#[tokio::test]
async fn mistakes_have_their_status_and_say_what_is_wrong() -> Result {
    let host = application().start().await?;
    let long = json!({ "model": "story", "prompt": "word ".repeat(5_000) }).to_string();
    let unknown = json!({ "model": "llama2-chat", "prompt": "Hi" }).to_string();
    let embedder = json!({ "model": "sentence", "prompt": "Hi" }).to_string();
    let mut hot = infer();
    hot["options"]["temperature"] = json!(11);
    let hot = hot.to_string();
    for (path, body, status, told) in [
        ("/infer", "{", 400, "JSON"),
        ("/infer", r#"{"prompt": "Hi"}"#, 400, "model"),
        ("/infer", r#"{"model": 1, "prompt": "Hi"}"#, 400, "string"),
        ("/infer", r#"{"model": "story", "prompt": "Hi", "max_tokens": 3}"#, 400, "unknown field `max_tokens`"),
        ("/infer", r#"{"model": "story", "prompt": "Hi", "options": {"max_tokens": 3}}"#, 400, "`maxTokens`"),
        ("/embed", r#"{"model": "sentence", "input": ["one"], "dimensions": 8}"#, 400, "unknown field `dimensions`"),
        ("/infer", hot.as_str(), 400, "temperature"),
        ("/infer", unknown.as_str(), 404, "llama2-chat"),
        ("/infer", long.as_str(), 413, "context"),
        ("/infer", embedder.as_str(), 422, "prompt"),
        ("/embed", r#"{"model": "sentence", "input": "one"}"#, 400, "sequence"),
        ("/embed", r#"{"model": "story", "input": ["one"]}"#, 422, "texts"),
        ("/v1/models", "{}", 404, "/infer"),
        ("/v1/chat/completions", "{", 400, "JSON"),
        ("/v1/embeddings", r#"{"model": "novel", "input": ["one"]}"#, 404, "novel"),
    ] {
        let answer = host.post(path, body.to_owned()).await?;
        assert_eq!(answer.status(), status, "{path} {body:.100}: {}", answer.text());
        assert!(answer.text().contains(told), "{path} {body:.100}: {}", answer.text());
    }
    assert_eq!(host.get("/infer").await?.status(), 405);
    Ok(())
}

#[tokio::test]
async fn with_the_other_api_type_spin_reads_openais_answers_and_errors() -> Result {
    let host = application().start().await?;
    let body = json!({ "model": "sentence", "input": ["one", "two"] });
    let json = host.post_json("/v1/embeddings", &body).await?.json()?;
    assert_eq!(json["data"].as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(json["data"][1]["embedding"].as_array().map(Vec::len), Some(192));
    assert!(json["usage"]["prompt_tokens"].is_u64(), "{json}");
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    let mut body =
        json!({ "model": "story", "messages": messages, "max_completion_tokens": 5, "frequency_penalty": 1.1 });
    let json = host.post_json("/v1/chat/completions", &body).await?.json()?;
    assert!(json["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{json}");
    assert_eq!(json["usage"]["completion_tokens"], 5, "{json}");
    body["model"] = json!("novel");
    let answer = host.post_json("/v1/chat/completions", &body).await?;
    assert_eq!(answer.status(), 404, "{}", answer.text());
    assert!(
        answer.json()?["error"]["message"].as_str().is_some_and(|told| told.contains("novel")),
        "{}",
        answer.text()
    );
    Ok(())
}
