//! Answers, whole and streamed: each is what the public schema says, and says the same in every form.

use super::{CHAT, COMPLETIONS, EMBEDDINGS, chat, example, prompt};
use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bobbin_tests::{PublicApi, Result, TestHost};
use serde_json::{Value, json};

async fn whole(api: &PublicApi, host: &TestHost, path: &str, body: &Value) -> Result<Value> {
    let answer = host.post_json(path, body).await?;
    anyhow::ensure!(answer.status() == 200, "{body}: {}", answer.text());
    let json = answer.json()?;
    let name = if path == CHAT { "chat.completion" } else { "text_completion" };
    api.check(name, &json)?;
    assert_eq!(answer.header("bobbin-bundle"), json["model"].as_str());
    assert!(answer.header("x-request-id").is_some_and(|id| answer.header("bobbin-request-id") == Some(id)));
    Ok(json)
}

async fn streamed(api: &PublicApi, host: &TestHost, path: &str, body: &Value) -> Result<Vec<Value>> {
    let body = super::with(body.clone(), &json!({ "stream": true }));
    let name = if path == CHAT { "chat.completion.chunk" } else { "text_completion.chunk" };
    api.chunks(name, host.stream(path, &body).await?).await
}

/// The text of a choice in all chunks.
fn text(chunks: &[Value], choice: u64) -> String {
    let of_choice = chunks.iter().filter_map(|chunk| chunk["choices"].get(0)).filter(|found| found["index"] == choice);
    of_choice.filter_map(|found| found.pointer("/delta/content").or(found.get("text"))?.as_str()).collect()
}

#[tokio::test]
async fn a_chat_is_what_the_public_schema_says_and_names_the_exact_version() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let body = chat(&json!({ "max_completion_tokens": 12, "n": 3, "seed": 5, "temperature": 1.0 }));
    let answer = whole(&api, &host, CHAT, &body).await?;
    assert_eq!(answer["model"], "storyteller@1.0.0");
    let choices = answer["choices"].as_array().context("choices")?;
    let indexes: Vec<_> = choices.iter().map(|choice| choice["index"].as_u64()).collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
    assert!(choices.iter().all(|choice| choice["finish_reason"] == "length" && choice["logprobs"].is_null()));
    assert!(choices.iter().any(|choice| choice["message"] != choices[0]["message"]), "{answer}");
    let usage = &answer["usage"];
    assert_eq!(usage["completion_tokens"], 36, "{usage}");
    // The prompt counts once.
    let one = whole(&api, &host, CHAT, &chat(&json!({ "max_tokens": 1 }))).await?;
    assert_eq!(usage["prompt_tokens"], one["usage"]["prompt_tokens"]);
    assert_eq!(usage["total_tokens"].as_u64(), usage["prompt_tokens"].as_u64().map(|prompt| prompt + 36));
    assert_ne!(answer["id"], one["id"]);
    Ok(())
}

#[tokio::test]
async fn a_streamed_chat_begins_with_the_role_and_ends_with_its_reason_and_then_usage() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let body = chat(&json!({ "max_tokens": 30, "temperature": 0 }));
    let chunks = streamed(&api, &host, CHAT, &body).await?;
    // The role, the text in as many pieces as there was time for, and the end.
    assert!(chunks.len() >= 3, "{chunks:?}");
    let (first, last) = (&chunks[0]["choices"][0], &chunks[chunks.len() - 1]["choices"][0]);
    assert_eq!(first["delta"], json!({ "role": "assistant", "content": "", "refusal": null }));
    assert_eq!((&last["delta"], &last["finish_reason"]), (&json!({}), &json!("length")));
    for chunk in &chunks[1..chunks.len() - 1] {
        assert!(chunk["choices"][0]["finish_reason"].is_null() && chunk.get("usage").is_none(), "{chunk}");
        assert!(chunk["choices"][0]["delta"].get("role").is_none(), "{chunk}");
    }
    let answer = whole(&api, &host, CHAT, &body).await?;
    assert_eq!(answer["choices"][0]["message"]["content"], text(&chunks, 0));

    let body = chat(&json!({ "max_tokens": 4, "n": 2, "stream_options": { "include_usage": true } }));
    let chunks = streamed(&api, &host, CHAT, &body).await?;
    let (last, before) = chunks.split_last().context("chunks")?;
    assert!(before.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)), "{before:?}");
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(8)));
    assert_eq!(last["usage"]["prompt_tokens"], answer["usage"]["prompt_tokens"]);
    let roles = before.iter().filter(|chunk| chunk["choices"][0]["delta"]["role"] == "assistant");
    assert_eq!(roles.count(), 2, "one for each choice");
    Ok(())
}

#[tokio::test]
async fn completions_go_on_from_each_prompt() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let prompts = ["Once upon a time", "Tom had a red ball"];
    let body =
        json!({ "model": "storyteller", "prompt": prompts, "n": 2, "max_tokens": 6, "temperature": 0, "echo": true });
    let answer = whole(&api, &host, COMPLETIONS, &body).await?;
    let texts: Vec<_> = (0..4_usize).filter_map(|index| answer["choices"][index]["text"].as_str()).collect();
    for (text, prompt) in texts.iter().zip([prompts[0], prompts[0], prompts[1], prompts[1]]) {
        assert!(text.len() > prompt.len() && text.starts_with(prompt), "{texts:?}");
    }
    assert_eq!(answer["usage"]["completion_tokens"], 24);
    let chunks = streamed(&api, &host, COMPLETIONS, &body).await?;
    assert_eq!((0..4).map(|choice| text(&chunks, choice)).collect::<Vec<_>>(), texts);
    // As many tokens as OpenAI makes where nothing is said.
    let short = whole(&api, &host, COMPLETIONS, &prompt(&json!({ "logit_bias": { "2": -100 } }))).await?;
    assert_eq!(short["usage"]["completion_tokens"], 16);
    Ok(())
}

#[tokio::test]
async fn log_probabilities_are_of_the_tokens_that_make_the_text_in_both_forms() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let body = chat(&json!({ "max_tokens": 8, "temperature": 0, "logprobs": true, "top_logprobs": 3 }));
    let answer = whole(&api, &host, CHAT, &body).await?;
    let tokens = answer["choices"][0]["logprobs"]["content"].as_array().context("tokens")?;
    let joined: String = tokens.iter().filter_map(|token| token["token"].as_str()).collect();
    assert_eq!(answer["choices"][0]["message"]["content"], joined);
    for token in tokens {
        let top = token["top_logprobs"].as_array().context("alternatives")?;
        assert_eq!((top.len(), &top[0]["token"]), (3, &token["token"]), "at temperature 0 the likeliest is taken");
        assert_eq!(token["bytes"], json!(token["token"].as_str().unwrap_or_default().as_bytes()));
    }
    let chunks = streamed(&api, &host, CHAT, &body).await?;
    let streamed_tokens: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .map(|token| &token["token"])
        .collect();
    assert_eq!(streamed_tokens, tokens.iter().map(|token| &token["token"]).collect::<Vec<_>>());

    let body = prompt(&json!({ "max_tokens": 8, "temperature": 0, "logprobs": 3 }));
    let answer = whole(&api, &host, COMPLETIONS, &body).await?;
    let choice = &answer["choices"][0];
    let told: Vec<_> = choice["logprobs"]["tokens"].as_array().context("tokens")?.iter().collect();
    assert_eq!(told, streamed_tokens, "the same text goes on the same way");
    let offsets: Vec<_> = choice["logprobs"]["text_offset"].as_array().context("offsets")?.iter().collect();
    let mut offset = 0;
    for (token, told) in told.iter().zip(offsets) {
        assert_eq!(told, offset);
        offset += token.as_str().unwrap_or_default().chars().count();
    }
    assert!(choice["logprobs"]["top_logprobs"].as_array().is_some_and(|all| all.iter().all(Value::is_object)));
    Ok(())
}

#[tokio::test]
async fn log_probabilities_end_where_a_stop_string_ends_the_text() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let of = |stop: &[&str]| chat(&json!({ "max_tokens": 24, "temperature": 0, "logprobs": true, "stop": stop }));
    let whole_text = |answer: &Value| answer["choices"][0]["message"]["content"].as_str().map(str::to_owned);
    let told = |answer: &Value| -> Vec<String> {
        let tokens = answer["choices"][0]["logprobs"]["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        tokens.iter().filter_map(|token| token["token"].as_str().map(str::to_owned)).collect()
    };
    let free = whole_text(&whole(&api, &host, CHAT, &of(&[])).await?).context("a text")?;
    let words: Vec<&str> = free.split_whitespace().collect();
    let stop = words.get(4..6).context("a story of six words")?.join(" ");
    let (before, _) = free.split_once(&stop).context("the words are there")?;
    let body = of(&[&stop]);
    let answer = whole(&api, &host, CHAT, &body).await?;
    assert_eq!(whole_text(&answer).as_deref(), Some(before));
    // All of the text is told of. The last token may reach into the stop string, and none begins in it.
    let tokens = told(&answer);
    let last = tokens.last().context("tokens")?;
    assert!(tokens.concat().starts_with(before), "{tokens:?} of {free:?}");
    assert!(tokens.concat().len() - last.len() < before.len(), "{last:?} begins behind {before:?}");
    let mut body = body;
    body["stream"] = true.into();
    let chunks = streamed(&api, &host, CHAT, &body).await?;
    assert_eq!(chunks.iter().flat_map(told).collect::<Vec<_>>(), tokens);
    Ok(())
}

#[tokio::test]
async fn a_completion_tells_the_token_that_was_taken_however_unlikely_it_was() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let body = prompt(&json!({ "max_tokens": 24, "temperature": 2, "top_p": 1, "logprobs": 1, "seed": 3 }));
    let answer = whole(&api, &host, COMPLETIONS, &body).await?;
    let logprobs = &answer["choices"][0]["logprobs"];
    let (tokens, tops) =
        (logprobs["tokens"].as_array().context("tokens")?, logprobs["top_logprobs"].as_array().context("tops")?);
    for (token, top) in tokens.iter().zip(tops) {
        assert!(top.get(token.as_str().context("a text")?).is_some(), "{token} is not in {top}");
    }
    let unlikely = tops.iter().filter(|top| top.as_object().is_some_and(|top| top.len() == 2)).count();
    assert!(unlikely > 0, "no other token than the likeliest was taken: {logprobs}");
    Ok(())
}

#[tokio::test]
async fn the_coldest_temperatures_take_the_likeliest_token() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let told = async |temperature: f64| -> Result<Value> {
        let body = chat(&json!({ "max_tokens": 12, "temperature": temperature, "top_p": 1, "seed": 1 }));
        Ok(whole(&api, &host, CHAT, &body).await?["choices"][0]["message"]["content"].clone())
    };
    let likeliest = told(0.0).await?;
    for temperature in [1e-45, 1e-38, 1e-20, 1e-6] {
        assert_eq!(told(temperature).await?, likeliest, "{temperature}");
    }
    Ok(())
}

#[tokio::test]
async fn what_shapes_an_answer_does() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let one = async |more: Value| -> Result<String> {
        let answer = whole(&api, &host, CHAT, &chat(&super::with(json!({ "max_tokens": 40 }), &more))).await?;
        Ok(answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
    };
    let plain = one(json!({ "temperature": 0 })).await?;
    let word = plain.split_whitespace().nth(5).context("six words")?;
    let stopped =
        whole(&api, &host, CHAT, &chat(&json!({ "max_tokens": 40, "temperature": 0, "stop": ["\u{1}", word] })))
            .await?;
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let (before, _) = plain.split_once(word).context("the word")?;
    assert_eq!(stopped["choices"][0]["message"]["content"], before);
    // One token and no other.
    let biased = whole(
        &api,
        &host,
        COMPLETIONS,
        &prompt(&json!({ "max_tokens": 5, "logit_bias": { "300": 100 }, "logprobs": 0 })),
    )
    .await?;
    let tokens = biased["choices"][0]["logprobs"]["tokens"].as_array().context("tokens")?;
    assert!(tokens.len() == 5 && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    let likeliest = one(json!({ "top_p": 0, "temperature": 2 })).await?;
    assert_eq!(likeliest, plain, "no share of the probability leaves the likeliest token");
    let schema = json!({
        "type": "object",
        "properties": { "mood": { "enum": ["good", "bad"] }, "age": { "type": "integer", "minimum": 1, "maximum": 9 } },
        "required": ["mood", "age"], "additionalProperties": false,
    });
    for format in [
        json!({ "type": "json_schema", "json_schema": { "name": "mood", "strict": true, "schema": schema } }),
        json!({ "type": "json_schema", "schema": schema }),
        json!({ "type": "json_object", "schema": schema }),
    ] {
        let text = one(json!({ "response_format": format, "max_tokens": 100 })).await?;
        assert!(text.find("mood") < text.find("age"), "properties come in the schema's order: {text}");
        let answer: Value = serde_json::from_str(&text)?;
        let (mood, age) = (answer["mood"].as_str().context("mood")?, answer["age"].as_u64().context("age")?);
        assert!(["good", "bad"].contains(&mood) && (1..=9).contains(&age), "{answer}");
    }
    let object = one(json!({ "response_format": { "type": "json_object" }, "max_tokens": 8 })).await?;
    assert!(object.starts_with('{'), "{object}");
    Ok(())
}

#[tokio::test]
async fn vectors_are_the_same_as_numbers_and_as_their_bytes() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let ask = async |more: Value| -> Result<Value> {
        let body =
            super::with(json!({ "model": "embedder", "input": ["When will my parcel come?", "I like it."] }), &more);
        let answer = host.post_json(EMBEDDINGS, &body).await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.text());
        let json = answer.json()?;
        api.check("embeddings", &json)?;
        Ok(json)
    };
    let (numbers, bytes) = (ask(json!({})).await?, ask(json!({ "encoding_format": "base64" })).await?);
    assert_eq!(numbers["model"], "sentence@1.0.0");
    assert!(numbers["usage"]["prompt_tokens"].as_u64() > Some(5), "{}", numbers["usage"]);
    for index in 0..2 {
        let row: Vec<f32> = serde_json::from_value(numbers["data"][index]["embedding"].clone())?;
        let encoded = BASE64_STANDARD.decode(bytes["data"][index]["embedding"].as_str().context("base64")?)?;
        let decoded: Vec<f32> =
            encoded.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
        // The batch is another one, and with it the last bits.
        assert!(row.len() == 192 && row.iter().zip(&decoded).all(|(a, b)| (a - b).abs() < 1e-3), "{row:?} {decoded:?}");
    }
    let short = ask(json!({ "input": "I like it.", "dimensions": 16 })).await?;
    let row: Vec<f32> = serde_json::from_value(short["data"][0]["embedding"].clone())?;
    let length: f32 = row.iter().map(|value| value * value).sum();
    assert!(row.len() == 16 && (length - 1.0).abs() < 1e-3, "{row:?}");
    Ok(())
}

#[tokio::test]
async fn models_are_listed_and_found_by_their_names() -> Result {
    let (api, host) = (PublicApi::read()?, example().await?);
    let list = host.get("/v1/models").await?.json()?;
    api.check("models", &list)?;
    let data = list["data"].as_array().context("data")?;
    let names: Vec<_> = data.iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(names.contains(&"storyteller") && names.contains(&"embedder"), "{names:?}");
    for model in data {
        let id = model["id"].as_str().unwrap_or_default();
        for path in [id.to_owned(), id.replace('@', "%40")] {
            let one = host.get(&format!("/v1/models/{path}")).await?;
            assert_eq!(one.status(), 200, "{}", one.text());
            assert_eq!(&one.json()?, model);
            api.check("model", &one.json()?)?;
        }
    }
    let none = host.get("/v1/models/nothing").await?;
    api.check("error", &none.json()?)?;
    assert_eq!((none.status(), &none.json()?["error"]["code"]), (404, &json!("model_not_found")));
    Ok(())
}
