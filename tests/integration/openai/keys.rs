//! Who may ask, and how often: decided by the host, told in the API's form.

use super::{CHAT, chat};
use anyhow::Context;
use bobbin_tests::{PublicApi, Result, TestApp, TestHost, TestKey};
use serde_json::json;
use tempfile::TempDir;

const REQUIRED: &str = "[application.trigger.bobbin]\nkeys = \"required\"\n";

#[tokio::test]
async fn keys_open_the_api_and_limits_close_it_in_its_own_form() -> Result {
    let (api, app, state) = (PublicApi::read()?, TestApp::openai(REQUIRED)?, TempDir::new()?);
    let key = TestKey::create(state.path(), &[])?;
    let limited = TestKey::create(state.path(), &["--requests-per-minute", "1"])?;
    let other = TestKey::create(state.path(), &["--model", "another"])?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let bearer = |key: &TestKey| format!("Bearer {}", key.token);
    let body = chat(&json!({ "max_tokens": 2 }));
    let refused = async |answer: bobbin_tests::Answer, status: u16, code: &str| -> Result<bobbin_tests::Answer> {
        let json = answer.json()?;
        api.check("error", &json)?;
        assert_eq!((answer.status(), &json["error"]["code"]), (status, &json!(code)), "{json}");
        Ok(answer)
    };
    refused(host.post_json(CHAT, &body).await?, 401, "invalid_api_key").await?;
    refused(host.post_as("Bearer sk-none", CHAT, &body).await?, 401, "invalid_api_key").await?;
    refused(host.get("/v1/models").await?, 401, "invalid_api_key").await?;
    assert_eq!(host.post_as(&bearer(&key), CHAT, &body).await?.status(), 200);
    assert_eq!(host.post_as(&bearer(&limited), CHAT, &body).await?.status(), 200);
    let over = refused(host.post_as(&bearer(&limited), CHAT, &body).await?, 429, "rate_limit_exceeded").await?;
    for header in ["retry-after", "retry-after-ms", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"] {
        over.header(header).with_context(|| format!("no {header}"))?;
    }
    // To a key for other models there is none here.
    let list = host.get_as(&bearer(&other), "/v1/models").await?.json()?;
    assert_eq!(list, json!({ "object": "list", "data": [] }));
    refused(host.post_as(&bearer(&other), CHAT, &body).await?, 404, "model_not_found").await?;
    key.revoke(state.path())?;
    refused(host.post_as(&bearer(&key), CHAT, &body).await?, 401, "invalid_api_key").await?;
    Ok(())
}
