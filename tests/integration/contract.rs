//! The wasi-nn contract, as a component sees it.

use anyhow::Context;
use bobbin_tests::{Result, TestHost};
use serde_json::{Value, json};

#[tokio::test]
async fn each_mistake_has_the_error_of_the_contract() -> Result {
    let host = TestHost::fixtures().start().await?;
    let answer = host.get("/f3/errors").await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let cases = answer.json()?;
    let code =
        |case: &str| cases[case]["code"].as_str().map(str::to_owned).with_context(|| format!("{case}: {cases:#}"));
    let expected = [
        ("load_guest_bytes", "security"),
        ("load_onnx", "invalid-encoding"),
        ("load_unknown_name", "not-found"),
        ("load_ungranted_name", "not-found"),
        ("load_empty_name", "not-found"),
        ("load_path", "not-found"),
        ("unknown_input", "invalid-argument"),
        ("options_alone", "invalid-argument"),
        ("prompt_not_u8", "invalid-argument"),
        ("prompt_dimensions_too_small", "invalid-argument"),
        ("prompt_dimensions_too_large", "invalid-argument"),
        ("prompt_dimensions_overflow", "invalid-argument"),
        ("prompt_not_utf8", "invalid-argument"),
        ("prompt_twice", "invalid-argument"),
        ("prompt_and_its_alias", "invalid-argument"),
        ("prompt_and_messages", "invalid-argument"),
        ("prompt_over_context", "too-large"),
        ("messages_no_array", "invalid-argument"),
        ("tools_without_messages", "invalid-argument"),
        ("tokens_not_i32", "invalid-argument"),
        ("tokens_cut_off", "invalid-argument"),
        ("token_outside_the_vocabulary", "invalid-argument"),
        ("token_negative", "invalid-argument"),
        ("text_for_a_generator", "unsupported-operation"),
        ("options_no_json", "invalid-argument"),
        ("options_no_object", "invalid-argument"),
        ("option_unknown", "invalid-argument"),
        ("option_out_of_range", "invalid-argument"),
        ("option_of_wrong_type", "invalid-argument"),
        ("option_load_time", "invalid-argument"),
        ("grammar_invalid", "invalid-argument"),
        ("grammar_and_schema", "invalid-argument"),
        ("bias_outside_the_vocabulary", "invalid-argument"),
        ("next_without_stream", "invalid-argument"),
        ("next_after_the_end", "invalid-argument"),
        ("prompt_while_streaming", "invalid-argument"),
    ];
    let unchecked: Vec<_> = cases
        .as_object()
        .context("cases")?
        .keys()
        .filter(|case| !expected.iter().any(|(checked, _)| checked == case))
        .collect();
    assert!(unchecked.is_empty(), "no expectation for {unchecked:?}");
    for (case, expected) in expected {
        assert_eq!(code(case)?.to_lowercase().replace(['_', ' '], "-"), expected, "{case}: {}", cases[case]);
        let data = &cases[case]["data"];
        let data: Value = match data.as_str() {
            Some(text) => serde_json::from_str(text)?,
            None => data.clone(),
        };
        for key in ["code", "message", "retryable"] {
            assert!(data.get(key).is_some(), "{case} has no {key}: {data}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_and_an_ungranted_model_look_the_same() -> Result {
    let host = TestHost::fixtures().start().await?;
    let cases = host.get("/f3/errors").await?.json()?;
    let shape = |case: &str| cases[case].to_string().replace("no-such-model", "NAME").replace("secret", "NAME");
    assert_eq!(shape("load_unknown_name"), shape("load_ungranted_name"));
    let answer = host.get("/f3/ungranted").await?;
    assert_eq!(answer.status(), 404, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_session_continues_its_conversation() -> Result {
    let host = TestHost::fixtures().start().await?;
    let options = json!({"max_tokens": 12, "temperature": 0});
    let mut ask = options.clone();
    ask["prompts"] = json!(["Once upon a time", " Then the fox"]);
    let answers = host.post_json("/f3/continue", &ask).await?.json()?;
    let first = answers[0]["text"].as_str().context("a first text")?;
    let mut whole = options;
    whole["prompt"] = json!(format!("Once upon a time{first} Then the fox"));
    let whole = host.post_json("/f3/story", &whole).await?.json()?;
    let prompt = |usage: &Value| usage["usage"]["input_tokens"].as_u64().unwrap_or_default();
    assert!(prompt(&answers[1]) > 0, "{answers}");
    assert_eq!(answers[1]["text"], whole["text"], "{answers:#} {whole:#}");
    Ok(())
}

#[tokio::test]
async fn two_streams_of_one_guest_take_turns() -> Result {
    let host = TestHost::fixtures().start().await?;
    let ask = json!({"prompts": ["Once upon a time", "One day"], "max_tokens": 30, "temperature": 0, "stream": true});
    let answer = host.post_json("/f3/interleave", &ask).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let texts = answer.json()?;
    assert!(texts.as_array().is_some_and(|texts| texts.len() == 2 && texts.iter().all(|text| text != "")), "{texts}");
    Ok(())
}

#[tokio::test]
async fn an_abandoned_session_is_freed_before_its_request_ends() -> Result {
    let host = TestHost::fixtures().start().await?;
    assert_eq!(host.get("/f3/abandon").await?.status(), 200);
    host.metrics_when("no sequence is left", |m| m.sum("bobbin_worker_sequences", &[]) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn raw_logits_let_a_guest_sample_for_itself() -> Result {
    let host = TestHost::fixtures().start().await?;
    let answer = host.post_json("/f3/logits", &json!({"tokens": [1]})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let logits = answer.json()?;
    let vocabulary = logits["n_vocab"].as_u64().context("no vocabulary")?;
    let best = logits["argmax"].as_u64().context("no best token")?;
    assert!(vocabulary > 256 && best < vocabulary, "{logits}");
    // With one more token the logits are those of another place.
    let again = host.post_json("/f3/logits", &json!({"tokens": [1, best]})).await?.json()?;
    assert_ne!(again["argmax"], logits["argmax"], "the second token's logits are the first one's: {again}");
    Ok(())
}

#[tokio::test]
async fn a_component_of_spin_sdk_5_runs_and_streams() -> Result {
    let host = TestHost::fixtures().start().await?;
    assert_eq!(host.get("/f2/hello").await?.text(), "Hello from spin-sdk 5!\n");
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 60, "temperature": 0});
    let whole = host.post_json("/f2/story", &ask).await?;
    assert_eq!(whole.header("bobbin-bundle"), Some("storyteller@1.0.0"), "{}", whole.text());
    let mut streamed = ask;
    streamed["stream"] = json!(true);
    let mut events = host.stream("/f2/story", &streamed).await?;
    let events = events.rest().await?;
    assert!(events.len() > 4, "{events:?}");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    Ok(())
}
