//! Bad input over HTTP: a clear error, and the host goes on.

use bobbin_tests::{Answer, Result, TestHost};
use serde_json::json;

async fn story(host: &TestHost, body: impl Into<reqwest::Body>) -> Result<Answer> {
    host.post("/story", body).await
}

async fn still_tells_stories(host: &TestHost) -> Result {
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() -> Result {
    let host = TestHost::stories().start().await?;
    for body in ["", "{", "once upon a time", "[]", "3", r#"{"max_tokens": 3}"#, "\u{0}"] {
        let answer = story(&host, body).await?;
        assert_eq!(answer.status(), 400, "{body:?}: {}", answer.text());
        assert!(answer.text().len() > 10, "{body:?} got no explanation");
    }
    still_tells_stories(&host).await
}

#[tokio::test]
async fn an_unknown_option_is_refused_by_name() -> Result {
    let host = TestHost::stories().start().await?;
    for option in ["temprature", "n_gpu_layers", "model_path"] {
        let answer = host.post_json("/story", &json!({"prompt": "Once", option: 1})).await?;
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.text().contains(option), "{option} is not named: {}", answer.text());
    }
    still_tells_stories(&host).await
}

#[tokio::test]
async fn an_option_out_of_range_is_refused_by_name() -> Result {
    let host = TestHost::stories().start().await?;
    for (option, value) in [("temperature", json!(-1)), ("max_tokens", json!(0)), ("top_p", json!("high"))] {
        let answer = host.post_json("/story", &json!({"prompt": "Once", option: value})).await?;
        assert_eq!(answer.status(), 400, "{}", answer.text());
        assert!(answer.text().contains(option), "{option} is not named: {}", answer.text());
    }
    still_tells_stories(&host).await
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_both_numbers() -> Result {
    let host = TestHost::stories().start().await?;
    let body = json!({"prompt": "x".repeat(2 << 20)}).to_string();
    let size = body.len();
    let answer = story(&host, body).await?;
    assert_eq!(answer.status(), 413, "{}", answer.text());
    assert!(answer.text().contains(&size.to_string()), "{}", answer.text());
    assert!(answer.text().contains("1048576"), "{}", answer.text());
    still_tells_stories(&host).await
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_refused() -> Result {
    let host = TestHost::stories().start().await?;
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>("x".repeat(64 << 10)));
    let answer = story(&host, reqwest::Body::wrap_stream(futures::stream::iter(chunks))).await?;
    assert_eq!(answer.status(), 413, "{}", answer.text());
    still_tells_stories(&host).await
}

#[tokio::test]
async fn a_prompt_over_the_context_is_refused_with_both_numbers() -> Result {
    let host = TestHost::stories().start().await?;
    let answer = host.post_json("/story", &json!({"prompt": "once upon a time ".repeat(500)})).await?;
    assert!([413, 422].contains(&answer.status()), "{}: {}", answer.status(), answer.text());
    assert!(answer.text().contains("256"), "the context is not named: {}", answer.text());
    let numbers: Vec<u32> =
        answer.text().split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    assert!(numbers.iter().any(|number| *number > 1500), "the prompt's length is not named: {}", answer.text());
    still_tells_stories(&host).await
}

#[tokio::test]
async fn an_unknown_route_is_not_found() -> Result {
    let host = TestHost::stories().start().await?;
    let answer = host.get("/no/such/route").await?;
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    Ok(())
}
