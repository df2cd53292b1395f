//! Bundles whose files change after they were verified: nothing is loaded from them any more, and what runs goes on.

use super::{MEADOW, SEA, tell};
use bobbin_tests::{Result, TestApp, TestHost, eventually};
use rustix::process::Signal;
use serde_json::json;
use std::fs;

/// A host that has loaded the refresh once, and has let go of it again.
async fn that_knew_both(app: &TestApp) -> Result<TestHost> {
    let host = TestHost::of(&app.manifest()).start().await?;
    let release = host.release("story");
    release.set(json!({"candidate": {"bundle": SEA, "weight": 0}, "keep_warm_seconds": 0})).await?;
    release.set(json!({"candidate": null})).await?;
    eventually(async || Ok(host.workers_of(SEA)?.is_empty().then_some(()))).await?;
    Ok(host)
}

#[tokio::test]
async fn a_truncated_version_is_refused_for_a_new_load() -> Result {
    let app = TestApp::stories("")?;
    let host = that_knew_both(&app).await?;
    let weights = app.bundle("storyteller", "1.1.0").join("storyteller-q8_0.gguf");
    fs::File::options().write(true).open(&weights)?.set_len(500_000)?;
    let answer = host.release("story").try_set(json!({"stable": SEA})).await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (422, Some("version_failed")), "{}", answer.text());
    for part in ["storyteller-q8_0.gguf", "500000"] {
        assert!(answer.text().contains(part), "{part} is not in {}", answer.text());
    }
    assert_eq!(host.release("story").show().await?["stable"]["bundle"], MEADOW);
    Ok(())
}

#[tokio::test]
async fn a_version_that_was_replaced_by_other_weights_is_refused_even_with_right_digests() -> Result {
    let app = TestApp::stories("")?;
    let host = that_knew_both(&app).await?;
    let (old, new) = (app.bundle("storyteller", "1.0.0"), app.bundle("storyteller", "1.1.0"));
    fs::copy(old.join("storyteller-q8_0.gguf"), new.join("storyteller-q8_0.gguf"))?;
    let manifest = fs::read_to_string(old.join("bundle.toml"))?;
    fs::write(new.join("bundle.toml"), manifest.replace("version = \"1.0.0\"", "version = \"1.1.0\""))?;
    let answer = host.release("story").try_set(json!({"stable": SEA})).await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (422, Some("version_failed")), "{}", answer.text());
    assert!(answer.text().contains("a version never changes"), "{}", answer.text());
    assert_eq!(host.release("story").show().await?["stable"]["bundle"], MEADOW);
    Ok(())
}

#[tokio::test]
async fn the_running_worker_and_the_next_one_of_its_blob_go_on_when_the_folder_is_overwritten() -> Result {
    let app = TestApp::stories("")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0});
    let before = tell(&host, &ask).await?.text;
    let mut events = host.events(None).await?;
    // In place: a worker that mapped this file would read it, or die of it.
    let weights = app.bundle("storyteller", "1.0.0").join("storyteller-q8_0.gguf");
    fs::write(&weights, vec![0x55; 1000])?;
    events.until_is("bundle", &[("bundle", MEADOW), ("event", "refused")]).await?;
    assert_eq!(tell(&host, &ask).await?.text, before);
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    host.signal(worker, Signal::KILL)?;
    eventually(async || Ok((host.workers()?.first().is_some_and(|next| *next != worker)).then_some(()))).await?;
    assert_eq!(tell(&host, &ask).await?.text, before);
    assert_eq!(host.release("story").show().await?["stable"]["state"], "ready");
    Ok(())
}
