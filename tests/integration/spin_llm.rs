//! Spin's LLM interface, asked by components of spin-sdk 5.

use bobbin_tests::{Answer, Result, TestApp, TestHost, TestHostBuilder, repository_root};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// Both names of the interface.
const VERSIONS: [&str; 2] = ["/llm", "/llm/unversioned"];

fn application() -> TestHostBuilder {
    TestHost::of(&repository_root().join("tests/fixtures/llm.toml"))
}

fn params(max_tokens: u32) -> Value {
    json!({
        "max_tokens": max_tokens,
        "repeat_penalty": 1.0,
        "repeat_penalty_last_n_token_count": 64,
        "temperature": 0.0,
        "top_k": 40,
        "top_p": 1.0,
    })
}

async fn infer(host: &TestHost, path: &str, ask: Value) -> Result<Answer> {
    host.post_json(&format!("{path}/infer"), &ask).await
}

fn case(answer: &Answer) -> Result<(String, String)> {
    let answer = answer.json()?;
    let field = |path| answer.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((field("/error/case"), field("/error/message")))
}

#[tokio::test]
async fn without_parameters_spins_own_apply() -> Result {
    let host = application().start().await?;
    for version in VERSIONS {
        let answer = infer(&host, version, json!({ "model": "story", "prompt": "Once upon a time" })).await?;
        let json = answer.json()?;
        // The bundle's own bound is higher. A story may end before.
        assert!((1..=100).contains(&json["usage"]["generated"].as_u64().unwrap_or_default()), "{json}");
    }
    Ok(())
}

#[tokio::test]
async fn many_requests_infer_at_once() -> Result {
    let host = application().start().await?;
    // Each takes part in the batches of the others: none waits for the end of another one.
    let ask = || json!({ "model": "story", "prompt": "Once upon a time", "params": params(100) });
    let answers = try_join_all((0..8).map(|_| infer(&host, "/llm", ask()))).await?;
    for answer in &answers {
        assert!(answer.json()?["text"].is_string(), "{}", answer.text());
    }
    let metrics = host.metrics_when("all are counted", |m| m.sum("bobbin_inferences_total", &[]) >= 8.0).await?;
    let (tokens, steps) =
        (metrics.sum("bobbin_output_tokens_total", &[]), metrics.sum("bobbin_worker_steps_total", &[]));
    assert!(tokens > 2.0 * steps, "{tokens} tokens took {steps} steps: hardly any step was shared");
    Ok(())
}

#[tokio::test]
async fn what_a_call_makes_the_host_hold_is_bounded_by_the_account() -> Result {
    let manifest = std::fs::read_to_string(repository_root().join("tests/fixtures/llm.toml"))?
        .replace("../../models", "{root}/models")
        .replace("\"components/", "\"{root}/tests/fixtures/components/");
    let limits = "[application.trigger.bobbin.limits]\naccount_bytes = 8388608\nbody_bytes = 33554432\n";
    let app = TestApp::new(&format!("{manifest}\n{limits}"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let ask = json!({ "model": "story", "prompt": "x".repeat(7 << 20) });
    let (case, message) = case(&infer(&host, "/llm", ask).await?)?;
    assert_eq!(case, "invalid-input");
    assert!(message.contains("limit of 8388608"), "{message}");
    Ok(())
}

#[tokio::test]
async fn instances_that_ask_models_answer_one_request_each() -> Result {
    let app = TestApp::new(
        r#"
spin_manifest_version = 2

[application]
name = "test"
version = "0.1.0"

[application.trigger.bobbin]
reuse_instances = ["llm"]

[[trigger.http]]
route = "/..."
component = "llm"

[component.llm]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/llm_spin5.wasm"
"#,
    )?;
    let told = TestHost::of(&app.manifest()).refused().await?;
    assert!(told.contains("fermyon:spin/llm") && told.contains("reuse_instances"), "{told}");
    Ok(())
}
