//! Many sequences at once.

use bobbin_tests::{Result, TestHost};
use futures::future::try_join_all;
use serde_json::json;

const PROMPTS: [&str; 6] =
    ["Once upon a time", "One day, a girl", "The old lighthouse", "In a quiet village", "A small robot", "The fox"];

#[tokio::test]
async fn sessions_that_share_a_batch_tell_what_they_tell_alone() -> Result {
    let host = TestHost::stories().start().await?;
    let ask = |prompt: &str| json!({"prompt": prompt, "max_tokens": 24, "temperature": 0});
    let mut alone = Vec::new();
    for prompt in PROMPTS {
        alone.push(host.post_json("/story", &ask(prompt)).await?.json()?["text"].clone());
    }
    let together = try_join_all(
        PROMPTS
            .iter()
            .map(async |prompt| Result::Ok(host.post_json("/story", &ask(prompt)).await?.json()?["text"].clone())),
    );
    let together = together.await?;
    // A batch may round differently than a single sequence, and a near-tie then falls the other way; a mixed-up
    // sequence differs everywhere.
    let same = alone.iter().zip(&together).filter(|(a, b)| a == b).count();
    assert!(same >= PROMPTS.len() - 1, "alone: {alone:#?}\ntogether: {together:#?}");
    Ok(())
}

#[tokio::test]
async fn several_sessions_decode_in_one_step() -> Result {
    let host = TestHost::stories().start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 100, "temperature": 1.0});
    try_join_all((0..16).map(async |_| host.post_json("/story", &ask).await)).await?;
    let metrics =
        host.metrics_when("all stories are counted", |m| m.sum("bobbin_inferences_total", &[]) >= 16.0).await?;
    let (tokens, steps) =
        (metrics.sum("bobbin_output_tokens_total", &[]), metrics.sum("bobbin_worker_steps_total", &[]));
    assert!(tokens > 3.0 * steps, "{tokens} tokens took {steps} steps: hardly any step was shared");
    Ok(())
}
