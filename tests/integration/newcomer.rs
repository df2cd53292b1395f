//! What a newcomer does first.

use anyhow::Context as _;
use bobbin_tests::{Result, TestHost, repository_root};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use tokio::process::Command;

#[tokio::test]
async fn hello_answers_without_a_model() -> Result {
    let host = TestHost::example().start().await?;
    let answer = host.get("/hello").await?;
    assert_eq!(answer.status(), 200);
    assert!(!answer.text().is_empty());
    assert_eq!(answer.header("bobbin-bundle"), None);
    Ok(())
}

#[tokio::test]
async fn a_story_is_one_json_object_and_names_the_version_that_told_it() -> Result {
    let host = TestHost::example().start().await?;
    let answer = host.post_json("/story", &json!({"prompt": "Once upon a time", "max_tokens": 40})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.header("bobbin-bundle"), Some("storyteller@1.0.0"));
    let story = answer.json()?;
    assert!(story["text"].as_str().is_some_and(|text| text.split_whitespace().count() > 10), "{story}");
    assert!(["stop", "length"].contains(&story["finish_reason"].as_str().unwrap_or_default()), "{story}");
    assert!(story["usage"]["output_tokens"].as_u64().is_some_and(|tokens| (1..=40).contains(&tokens)), "{story}");
    Ok(())
}

#[tokio::test]
async fn a_streamed_story_is_pieces_then_usage_then_done() -> Result {
    let host = TestHost::example().start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 80, "stream": true, "temperature": 0});
    let mut events = host.stream("/story", &ask).await?;
    assert_eq!(events.header("bobbin-bundle"), Some("storyteller@1.0.0"));
    assert_eq!(events.header("content-type").map(|ty| ty.starts_with("text/event-stream")), Some(true));
    let events = events.rest().await?;
    let Some(([pieces @ .., last], "[DONE]")) = events.split_last().map(|(done, rest)| (rest, done.as_str())) else {
        panic!("no [DONE] at the end of {events:?}");
    };
    assert!(pieces.len() > 3, "{pieces:?}");
    let mut text = String::new();
    for piece in pieces {
        let piece: Value = serde_json::from_str(piece)?;
        assert!(piece.get("finish_reason").is_none_or(Value::is_null), "{piece}");
        text.push_str(piece["text"].as_str().unwrap_or_default());
    }
    let last: Value = serde_json::from_str(last)?;
    assert!(last["finish_reason"].is_string(), "{last}");
    assert!(last["usage"]["output_tokens"].as_u64().is_some_and(|tokens| tokens > 3), "{last}");
    text.push_str(last["text"].as_str().unwrap_or_default());

    let ask = json!({"prompt": "Once upon a time", "max_tokens": 80, "temperature": 0});
    let whole = host.post_json("/story", &ask).await?.json()?;
    assert_eq!(whole["text"], text, "streamed and whole answers differ");
    Ok(())
}

#[tokio::test]
async fn the_first_event_arrives_before_the_last_is_made() -> Result {
    let host = TestHost::example().start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 200, "stream": true});
    // Together these take far longer than one scrape; none of them is done when the first piece of one is here.
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(host.stream("/story", &ask).await?);
    }
    for stream in &mut streams {
        stream.next_json().await?;
    }
    let made: f64 = host.metrics().await?.sum("bobbin_worker_running", &[]);
    assert!(made > 0.0, "every story was complete before its first event arrived");
    for stream in &mut streams {
        assert_eq!(stream.rest().await?.last().map(String::as_str), Some("[DONE]"));
    }
    Ok(())
}

#[tokio::test]
async fn a_seed_repeats_a_story() -> Result {
    let host = TestHost::example().start().await?;
    let ask = |seed: u32| json!({"prompt": "One day", "max_tokens": 40, "seed": seed, "temperature": 1.0});
    let text = async |seed| Result::Ok(host.post_json("/story", &ask(seed)).await?.json()?["text"].clone());
    assert_eq!(text(7).await?, text(7).await?);
    assert_ne!(text(7).await?, text(8).await?);
    Ok(())
}

#[tokio::test]
async fn stop_strings_end_a_story_and_are_not_shown() -> Result {
    let host = TestHost::example().start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 120, "temperature": 0, "stop": ["."]});
    let story = host.post_json("/story", &ask).await?.json()?;
    assert_eq!(story["finish_reason"], "stop", "{story}");
    assert!(!story["text"].as_str().unwrap_or_default().contains('.'), "{story}");
    Ok(())
}

#[tokio::test]
async fn the_banner_has_routes_models_the_admin_address_and_a_line_to_paste() -> Result {
    let host = TestHost::example().start().await?;
    let banner = host.banner();
    for part in ["/hello", "/story", "storyteller@1.0.0", "ready", "(as story, storyteller)", "admin"] {
        assert!(banner.contains(part), "{part} is missing in:\n{banner}");
    }
    Ok(())
}

#[tokio::test]
async fn the_line_to_paste_works_as_it_stands() -> Result {
    let everywhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let remote = TestHost::of(&repository_root().join("guest-components/spin-llm/spin.toml"));
    for (host, told) in [(TestHost::example().listen(everywhere), "data: [DONE]"), (remote, "generatedTokenCount")] {
        let host = host.start().await?;
        let line = host.line_to_paste().await?;
        let pasted = Command::new("sh").args(["-c", &line]).output().await?;
        let answer = String::from_utf8_lossy(&pasted.stdout);
        assert!(pasted.status.success() && answer.contains(told), "{line}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn the_admin_listener_tells_health_readiness_and_metrics() -> Result {
    let host = TestHost::example().start().await?;
    assert_eq!(host.admin("/healthz").await?.status(), 200);
    assert_eq!(host.admin("/readyz").await?.status(), 200);
    // So many tokens that they do not all come at once.
    host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 80, "stream": true})).await?;
    let labels = [("bundle", "storyteller@1.0.0")];
    let metrics =
        host.metrics_when("the story is counted", |m| m.sum("bobbin_output_tokens_total", &labels) > 0.0).await?;
    assert_eq!(metrics.sum("bobbin_inferences_total", &labels), 1.0);
    assert_eq!(metrics.sum("bobbin_time_to_first_token_seconds_count", &labels), 1.0);
    assert!(metrics.sum("bobbin_inter_token_seconds_count", &labels) >= 1.0, "{metrics}");
    assert!(metrics.sum("bobbin_http_requests_total", &[]) >= 1.0, "{metrics}");
    Ok(())
}

#[tokio::test]
async fn what_means_the_same_comes_first() -> Result {
    let host = TestHost::example().start().await?;
    let among =
        ["What is the price?", "My phone is broken.", "The package has not arrived.", "How do I reset my password?"];
    let asks = [
        ("When will my parcel come?", "The package has not arrived."),
        ("How much does it cost?", "What is the price?"),
        ("I forgot my password.", "How do I reset my password?"),
        ("The screen of my phone cracked.", "My phone is broken."),
    ];
    for (text, nearest) in asks {
        let answer = host.post_json("/similar", &json!({"text": text, "among": among})).await?;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("bobbin-bundle"), Some("sentence@1.0.0"));
        let answer = answer.json()?;
        let matches = answer["matches"].as_array().context("no matches")?;
        assert_eq!(matches[0]["text"], nearest, "{answer}");
        let scores: Vec<f64> = matches.iter().filter_map(|found| found["score"].as_f64()).collect();
        assert!(scores.len() == among.len() && scores.is_sorted_by(|a, b| a >= b), "{answer}");
        for found in matches {
            assert_eq!(
                found["text"],
                among[usize::try_from(found["index"].as_u64().context("no index")?)?],
                "{answer}"
            );
        }
        assert!(answer["usage"]["input_tokens"].as_u64() > Some(20), "{answer}");
    }
    let same = json!({"text": "A cat.", "among": ["A dog.", "A cat.", "A ship."], "top": 1});
    let same = host.post_json("/similar", &same).await?.json()?;
    assert_eq!(same["matches"].as_array().map(Vec::len), Some(1), "{same}");
    assert!(same["matches"][0]["index"] == 1 && same["matches"][0]["score"].as_f64() > Some(0.999), "{same}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_comparison_is_refused_in_words() -> Result {
    let host = TestHost::example().start().await?;
    for (ask, word) in [
        (json!({"text": "A cat."}), "among"),
        (json!({"text": "A cat.", "among": "A dog."}), "sequence"),
        (json!({"text": "A cat.", "among": [], "temperature": 1}), "temperature"),
        (json!(["A cat."]), "an object with a"),
    ] {
        let answer = host.post_json("/similar", &ask).await?;
        assert_eq!(answer.status(), 400, "{ask}: {}", answer.text());
        assert!(answer.text().contains(word), "{ask}: {}", answer.text());
    }
    let none = host.post_json("/similar", &json!({"text": "A cat.", "among": []})).await?;
    assert_eq!(none.json()?["matches"], json!([]), "{}", none.text());
    let long = host.post_json("/similar", &json!({"text": "A cat. ".repeat(300), "among": ["A dog."]})).await?;
    assert_eq!(long.status(), 413, "{}", long.text());
    Ok(())
}
