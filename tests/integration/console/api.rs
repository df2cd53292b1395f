//! What the console asks the host, asked without a browser.

use anyhow::{Context, ensure};
use bobbin_tests::{Events, Result, TestHost, eventually};
use reqwest::Method;
use serde_json::{Value, json};

const PLAY: &str = "/admin/v1/playground";
/// Long enough that computing it again is worth keeping it.
const LONG: &str = "Once upon a time there was a little girl named Lily. She had a red ball and a blue boat. Every day she went \
                    to the garden and played with her friends until the sun went down, and then she ran home to her mom.";

async fn get(host: &TestHost, path: &str) -> Result<Value> {
    let answer = host.admin(path).await?;
    ensure!(answer.status() == 200, "{path}: {} {}", answer.status(), answer.text());
    answer.json()
}

/// The pieces of an answer, and the event that ended it.
async fn play(host: &TestHost, ask: &Value) -> Result<(String, Value)> {
    let mut events = host.admin_stream(PLAY, ask).await?;
    let (mut text, mut last) = (String::new(), Value::Null);
    while let Some(event) = events.next().await? {
        last = serde_json::from_str(&event)?;
        text.push_str(last["text"].as_str().unwrap_or_default());
    }
    Ok((text, last))
}

#[tokio::test]
async fn a_prompt_is_answered_by_exactly_the_version_that_was_named() -> Result {
    let host = TestHost::stories().start().await?;
    host.release("story").set(json!({"candidate": {"bundle": "storyteller@1.1.0", "weight": 0}})).await?;
    let options = json!({"max_tokens": 30, "temperature": 0, "logprobs": true, "top_logprobs": 2});
    let mut texts = Vec::new();
    for bundle in ["storyteller@1.0.0", "storyteller@1.1.0"] {
        let ask = json!({"release": "story", "bundle": bundle, "prompt": "Once upon a time", "options": options});
        let (text, last) = play(&host, &ask).await?;
        assert_eq!(
            (&last["metadata"]["bundle"], &last["metadata"]["finish_reason"]),
            (&json!(bundle), &json!("length"))
        );
        assert_eq!(last["metadata"]["output_tokens"], 30, "{last}");
        texts.push(text);
    }
    assert_ne!(texts[0], texts[1]);
    let (stable, last) =
        play(&host, &json!({"release": "story", "prompt": "Once upon a time", "options": options})).await?;
    assert_eq!((stable.as_str(), &last["metadata"]["bundle"]), (texts[0].as_str(), &json!("storyteller@1.0.0")));

    host.release("story").make("promote").await?;
    let kept =
        json!({"release": "story", "bundle": "storyteller@1.0.0", "prompt": "Once upon a time", "options": options});
    assert_eq!(play(&host, &kept).await?.0, texts[0], "what is kept warm can be asked");

    // Accounted under a route of its own, by the version that answered.
    let labels = [("route", "admin:playground"), ("bundle", "storyteller@1.0.0")];
    let counted = host.metrics_when("it is counted", |m| m.sum("bobbin_output_tokens_total", &labels) >= 90.0).await?;
    assert_eq!(counted.sum("bobbin_inferences_total", &labels), 3.0);
    assert_eq!(counted.sum("bobbin_http_requests_in_flight", &[]), 0.0, "its place is free again");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_tried_out_is_refused_in_words_and_the_host_goes_on() -> Result {
    let host = TestHost::example().start().await?;
    for (ask, status, code, part) in [
        (json!([]), 400, "invalid_body", "an object with release"),
        (json!({"release": "story", "promt": "x"}), 400, "invalid_body", "promt"),
        (json!({"release": "none", "prompt": "x"}), 404, "unknown_release", "there are"),
        (json!({"release": "story"}), 422, "invalid_prompt", "a prompt, or messages"),
        (
            json!({"release": "story", "bundle": "storyteller@1.1.0", "prompt": "x"}),
            409,
            "version_not_live",
            "kept warm",
        ),
        (json!({"release": "story", "prompt": "x", "options": {"n_ctx": 1}}), 422, "invalid_prompt", "n_ctx"),
        (
            json!({"release": "story", "prompt": "x", "options": {"temperature": 99}}),
            422,
            "invalid_prompt",
            "temperature",
        ),
        (json!({"release": "sentence", "prompt": "x"}), 422, "invalid_prompt", "write text"),
    ] {
        let answer = host.admin_send(Method::POST, PLAY, ask.to_string()).await?;
        let problem = answer.json()?;
        assert_eq!((answer.status(), problem["code"].as_str()), (status, Some(code)), "{ask}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(part)), "{ask}: {problem}");
    }
    let long = json!({"release": "story", "prompt": "Once upon a time ".repeat(500)});
    let (_, last) = play(&host, &long).await?;
    assert_eq!(last["code"], "context_exceeded", "what only the model knows is told in the stream: {last}");
    let huge =
        host.admin_send(Method::POST, PLAY, json!({"release": "story", "prompt": "x".repeat(1 << 20)}).to_string());
    assert_eq!(huge.await?.status(), 413);
    let (_, last) = play(&host, &json!({"release": "story", "prompt": "Once", "options": {"max_tokens": 1}})).await?;
    assert_eq!(last["metadata"]["output_tokens"], 1, "{last}");
    Ok(())
}

#[tokio::test]
async fn prompts_are_bounded_and_one_that_is_left_ends() -> Result {
    let host = TestHost::stories().start().await?;
    let ask = json!({"release": "story", "prompt": "Once", "options": {"max_tokens": 200, "top_logprobs": 20, "grammar": "root ::= [a-z ]+"}});
    let mut held: Vec<Events> = Vec::new();
    let refused = loop {
        // Nobody reads: each waits for its reader, and keeps its place.
        match host.admin_stream(PLAY, &ask).await {
            Ok(events) => held.push(events),
            Err(error) => break error.to_string(),
        }
        ensure!(held.len() <= 64, "nothing bounds them");
    };
    assert!(refused.contains("503") && refused.contains("playground_full"), "{refused}");
    drop(held);
    let freed = eventually(async || {
        let workers = get(&host, "/admin/v1/workers").await?;
        Ok((workers["workers"][0]["process"]["running"] == 0).then_some(()))
    });
    freed.await?;
    eventually(async || {
        Ok(play(&host, &json!({"release": "story", "prompt": "Once", "options": {"max_tokens": 1}})).await.ok())
    })
    .await
    .map(drop)
}

#[tokio::test]
async fn the_series_and_the_workers_count_what_happens() -> Result {
    let host = TestHost::stories().start().await?;
    for _ in 0..3 {
        host.post_json("/story", &json!({"prompt": LONG, "max_tokens": 20, "logit_bias": {"2": -100}})).await?;
    }
    host.get("/hello").await?;
    let step = eventually(async || {
        let series = get(&host, "/admin/v1/series?span=live").await?;
        let samples = series["samples"].as_array().context("no samples")?;
        Ok(samples.iter().find(|sample| sample["versions"]["storyteller@1.0.0"]["requests"] != Value::Null).cloned())
    });
    let step = step.await?;
    let series = get(&host, "/admin/v1/series").await?;
    let sum = |bundle: &str, key: &str| -> u64 {
        let samples = series["samples"].as_array().into_iter().flatten();
        samples.filter_map(|sample| sample["versions"][bundle][key].as_u64()).sum()
    };
    let story = "storyteller@1.0.0";
    assert_eq!((sum(story, "requests"), sum(story, "sessions"), sum(story, "failed")), (3, 3, 0), "{series}");
    assert_eq!((sum(story, "output_tokens"), sum("none", "requests")), (60, 1), "{series}");
    let first: u64 =
        step["versions"][story]["first_token"].as_array().context("no buckets")?.iter().filter_map(Value::as_u64).sum();
    assert!(first > 0, "{step}");
    let number = step["number"].as_u64().context("no number")?;
    let later = get(&host, &format!("/admin/v1/series?after={number}")).await?;
    assert!(later["samples"].as_array().is_some_and(|all| all.iter().all(|s| s["number"].as_u64() > Some(number))));
    assert_eq!(host.admin("/admin/v1/series?span=weeks").await?.status(), 400);

    let workers = get(&host, "/admin/v1/workers").await?;
    let worker = &workers["workers"][0];
    assert_eq!((&worker["bundle"], &worker["state"]), (&json!(story), &json!("ready")), "{worker}");
    assert!(worker["process"]["resident_bytes"].as_u64() > Some(1 << 20), "{worker}");
    assert_eq!((&worker["totals"]["sessions"], &worker["totals"]["output_tokens"]), (&json!(3), &json!(60)));
    assert!(worker["totals"]["cached_tokens"].as_u64() > Some(0), "the same prompt three times: {worker}");
    assert_eq!(Some(json!(host.workers_of(story)?)), Some(json!([worker["process"]["pid"]])));

    let application = get(&host, "/admin/v1/application").await?;
    assert_eq!((&application["name"], &application["in_flight"]), (&json!("stories"), &json!(0)));
    let routes: Vec<_> =
        application["routes"].as_array().into_iter().flatten().map(|r| (&r["path"], &r["component"])).collect();
    assert_eq!(routes, [(&json!("/hello"), &json!("hello")), (&json!("/story"), &json!("storyteller"))]);
    Ok(())
}

#[tokio::test]
async fn a_page_of_another_site_runs_no_prompt() -> Result {
    let host = TestHost::stories().start().await?;
    let ask = json!({"release": "story", "prompt": "Once", "options": {"max_tokens": 1}}).to_string();
    for (name, value) in [("origin", "http://evil.test"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let url = format!("http://{}{PLAY}", host.admin_addr());
        let answer = reqwest::Client::new().post(url).header(name, value).body(ask.clone()).send().await?;
        assert_eq!(answer.status(), 403, "{name}: {value}");
    }
    Ok(())
}
