//! Versions that must not serve: none of them ever receives a request, and everybody learns why.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::Context;
use bobbin_tests::{Result, TestApp, TestHost, eventually, shared_models};
use futures::future::try_join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

/// Stable answered all of these requests, and the other version none ever.
async fn only_stable_answers(host: &TestHost, other: &str) -> Result {
    let answers = try_join_all((0..20).map(async |_| tell(host, &ask_least()).await)).await?;
    assert!(answers.iter().all(|answer| answer.header == MEADOW), "{answers:#?}");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_inferences_total", &[("bundle", other)]), 0.0, "{metrics}");
    Ok(())
}

/// The same reason in the answer, the release, the events and what `bobbin release show` prints.
async fn everybody_learns_why(host: &TestHost, answer: &Value, code: &str, why: &str) -> Result {
    assert_eq!(answer["code"], code, "{answer}");
    let detail = answer["detail"].as_str().context("no detail")?;
    assert!(detail.contains(why), "{detail}");
    let shown = host.release("story").show().await?;
    assert_eq!((&shown["failure"]["code"], &shown["failure"]["detail"]), (&json!(code), &json!(detail)), "{shown}");
    assert_eq!((&shown["generation"], &shown["candidate"], &shown["pending"]), (&json!(1), &Value::Null, &Value::Null));
    let told = host.events(Some(0)).await?.until_is("change", &[("step", "failed"), ("code", code)]).await?;
    let told = told.last().context("an event")?;
    assert!(told.data["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{told:?}");
    let (code, text, errors) = super::command_line::release(host, &["show", "story"]).await?;
    assert!(code == 0 && text.contains(why), "{text}{errors}");
    Ok(())
}

#[tokio::test]
async fn a_candidate_that_does_not_match_its_fingerprint_never_answers() -> Result {
    let app = TestApp::stories("")?;
    app.publish("1.2.0", "1.1.0", |_, manifest| manifest.replace("logprobs = [-1.", "logprobs = [-91."))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let candidate = json!({"candidate": {"bundle": "storyteller@1.2.0", "weight": 50}});
    let answer = host.release("story").try_set(candidate).await?;
    assert_eq!(answer.status(), 422, "{}", answer.text());
    everybody_learns_why(&host, &answer.json()?, "version_failed", "fingerprint").await?;
    only_stable_answers(&host, "storyteller@1.2.0").await?;
    eventually(async || Ok(host.workers_of("storyteller@1.2.0")?.is_empty().then_some(()))).await?;
    let args = ["canary", "story", "storyteller@1.2.0", "--weight", "50"];
    let (code, _, errors) = super::command_line::release(&host, &args).await?;
    assert!(code == 5 && errors.contains("fingerprint"), "{code}: {errors}");
    Ok(())
}

#[tokio::test]
async fn a_candidate_whose_worker_aborts_while_it_loads_never_answers() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    let answer = release.begin(json!({"candidate": {"bundle": SEA, "weight": 50}})).await?;
    assert_eq!(answer.status(), 202, "{}", answer.text());
    // Each of its workers ends as if llama.cpp had found something impossible in its weights.
    let shown = eventually(async || {
        for worker in host.workers_of(SEA)? {
            // It may be gone already.
            let _ = host.signal(worker, Signal::ABORT);
        }
        Ok(Some(release.show().await?).filter(|shown| shown["pending"].is_null()))
    });
    let shown = shown.await?;
    assert_eq!((&shown["candidate"], &shown["stable"]["bundle"]), (&Value::Null, &json!(MEADOW)), "{shown}");
    assert_eq!(shown["failure"]["code"], "version_failed", "{shown}");
    let detail = shown["failure"]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("SIGABRT"), "{detail}");
    only_stable_answers(&host, SEA).await
}

#[tokio::test]
async fn a_candidate_that_needs_too_much_memory_is_refused_before_it_is_loaded() -> Result {
    let room = super::policies::need().await? * 3 / 2;
    let host = TestHost::stories().arg("--model-memory").arg(&room.to_string()).start().await?;
    let candidate = json!({"candidate": {"bundle": SEA, "weight": 50}});
    let answer = host.release("story").try_set(candidate).await?;
    assert_eq!(answer.status(), 422, "{}", answer.text());
    everybody_learns_why(&host, &answer.json()?, "does_not_fit", "needs").await?;
    let events = host.events(Some(0)).await?.until_is("change", &[("step", "failed")]).await?;
    assert!(!events.iter().any(|event| event.is("version", &[("bundle", SEA), ("state", "loading")])), "{events:#?}");
    only_stable_answers(&host, SEA).await
}

#[tokio::test]
async fn a_stable_version_that_would_not_serve_leaves_the_old_one_in_place() -> Result {
    let app = TestApp::stories("")?;
    app.publish("1.2.0", "1.1.0", |folder, manifest| {
        std::fs::write(folder.join("storyteller-q8_0.gguf"), b"GGUF and nothing more").unwrap();
        manifest
    })?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let answer = host.release("story").try_set(json!({"stable": "storyteller@1.2.0"})).await?;
    assert_eq!(answer.status(), 422, "{}", answer.text());
    everybody_learns_why(&host, &answer.json()?, "version_failed", "storyteller-q8_0.gguf").await?;
    only_stable_answers(&host, "storyteller@1.2.0").await
}

#[tokio::test]
async fn hostile_weights_are_refused_before_anything_loads_them() -> Result {
    let Some(models) = shared_models() else { return Ok(()) };
    let app = TestApp::stories("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let mut tried = 0;
    for entry in std::fs::read_dir(models.join("hostile"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        let version = format!("{tried}.0.0");
        app.add_bundle("hostile", &version, &path, 64)?;
        let edit = json!({"candidate": {"bundle": format!("hostile@{version}"), "weight": 100}});
        let answer = host.release("story").try_set(edit).await?;
        let code = answer.json()?["code"].clone();
        assert_eq!((answer.status(), code), (422, json!("version_failed")), "{}: {}", path.display(), answer.text());
        only_stable_answers(&host, &format!("hostile@{version}")).await?;
        tried += 1;
    }
    assert!(tried >= 5, "only {tried} hostile models are there");
    let last = format!("hostile@{}.0.0", tried - 1);
    let told = host.events(Some(0)).await?.until_is("change", &[("bundle", &last), ("step", "failed")]).await?;
    let loading = told.iter().filter(|event| event.is("version", &[("state", "loading")])).count();
    assert_eq!(loading, 1, "more than the stable version was loaded");
    Ok(())
}
