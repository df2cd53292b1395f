//! The state folder: what outlives a host, who may have it, and when the manifest counts again.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestApp, TestHost, eventually, on_a_small_disk};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

#[tokio::test]
async fn a_release_is_after_a_restart_what_it_was_before() -> Result {
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let release = host.release("story");
    release.swap_to(SEA).await?;
    let edit = json!({
        "candidate": {"bundle": MEADOW, "weight": 12.5}, "drain_seconds": 7, "keep_warm_seconds": 8,
        "policy": "availability", "sticky": "cookie:Session", "version_header": true, "reason": "a test of restarts",
    });
    let before = release.set(edit).await?;
    let history = release.history().await?;
    host.kill().await?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let after = host.release("story").show().await?;
    for key in ["generation", "drain_seconds", "keep_warm_seconds", "policy", "sticky", "version_header", "changed"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!((&after["stable"]["bundle"], &after["stable"]["state"]), (&json!(SEA), &json!("ready")), "{after}");
    let candidate = &after["candidate"];
    assert_eq!(
        (&candidate["bundle"], &candidate["weight"], &candidate["state"]),
        (&json!(MEADOW), &json!(12.5), &json!("ready"))
    );
    assert_eq!(host.release("story").history().await?, history);
    assert_eq!(history[0]["why"], "a test of restarts");
    assert_eq!(history[0]["who"], "a test (127.0.0.1)");
    // What the manifest says is not what serves, and whoever started the host is told.
    let log = host.log();
    assert!(log.contains("counts again when the declaration changes") && log.contains(SEA), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_declaration_that_changed_makes_a_new_generation_and_says_so() -> Result {
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    host.release("story").set(json!({"drain_seconds": 7})).await?;
    host.kill().await?;
    app.release(SEA)?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let shown = host.release("story").show().await?;
    assert_eq!((&shown["generation"], &shown["stable"]["bundle"]), (&json!(3), &json!(SEA)), "{shown}");
    assert_eq!((&shown["drain_seconds"], &shown["changed"]["action"]), (&json!(30), &json!("declared")), "{shown}");
    let log = host.log();
    assert!(log.contains("the declaration of release") && log.contains("generation 3"), "{log}");
    // The version before it is one step back, as after any other change.
    assert_eq!(shown["previous"]["bundle"], MEADOW, "{shown}");
    assert_eq!(tell(&host, &ask_least()).await?.header, SEA);
    Ok(())
}

#[tokio::test]
async fn a_second_host_on_the_same_state_is_refused_by_name() -> Result {
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let refused = TestHost::of(&app.manifest()).state_dir(state.path()).refused().await?;
    for part in [format!("process {}", host.pid()?), state.path().display().to_string(), "--state-dir".to_owned()] {
        assert!(refused.contains(&part), "{part} is not in: {refused}");
    }
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    // Its own folder is all that a second one needs.
    TestHost::of(&app.manifest()).start().await?;
    Ok(())
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_refused_with_its_path_and_never_overwritten() -> Result {
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    let database = state.path().join("releases.sqlite");
    std::fs::write(&database, "this is no database".repeat(100))?;
    let refused = TestHost::of(&app.manifest()).state_dir(state.path()).refused().await?;
    assert!(refused.contains(&database.display().to_string()), "{refused}");
    assert_eq!(std::fs::read_to_string(&database)?, "this is no database".repeat(100));
    Ok(())
}

#[tokio::test]
async fn a_host_whose_bundle_is_gone_says_so_and_serves_once_it_is_back() -> Result {
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    host.release("story").swap_to(SEA).await?;
    host.kill().await?;
    let folder = app.bundle("storyteller", "1.1.0");
    let away = app.path().join("away");
    std::fs::rename(&folder, &away)?;
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
    let shown = host.release("story").show().await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["stable"]["state"]), (&json!(SEA), &json!("failed")), "{shown}");
    assert!(shown["stable"]["reason"].as_str().is_some_and(|reason| reason.contains("1.1.0")), "{shown}");
    let ready = host.admin("/readyz").await?;
    assert!(ready.status() == 503 && ready.text().contains(SEA), "{}", ready.text());
    let answer = host.post_json("/story", &ask_least()).await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (502, Some("version_failed")), "{}", answer.text());
    std::fs::rename(&away, &folder)?;
    eventually(async || Ok((host.admin("/readyz").await?.status() == 200).then_some(()))).await?;
    assert_eq!(tell(&host, &ask_least()).await?.header, SEA);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_refuses_a_change_and_the_old_generation_serves() -> Result {
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    let Some(program) = on_a_small_disk(state.path(), "16m") else { return Ok(()) };
    let host = TestHost::of(&app.manifest()).state_dir(state.path()).through(program).start().await?;
    let release = host.release("story");
    release.swap_to(SEA).await?;
    // The disk is mounted where only the host sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{}/filler", host.pid()?, state.path().display()));
    fill(&inside)?;
    // What SQLite already holds may take a change or two.
    let mut refused = None;
    for change in 0..200 {
        let answer = release.try_set(json!({"drain_seconds": change, "reason": "x".repeat(1000)})).await?;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.context("the disk is full, and 200 changes were made")?;
    let problem = refused.json()?;
    assert_eq!((refused.status(), &problem["code"]), (507, &json!("not_persisted")), "{problem}");
    let shown = release.show().await?;
    assert_eq!(
        (&shown["generation"], &shown["stable"]["bundle"]),
        (&problem["current_generation"], &json!(SEA)),
        "{shown}"
    );
    assert_eq!(shown["failure"]["code"], "not_persisted", "{shown}");
    let rollback = release.step("rollback").await?;
    assert_eq!(rollback.status(), 507, "{}", rollback.text());
    assert_eq!(tell(&host, &ask_least()).await?.header, SEA);
    // With room again, the same change is made.
    std::fs::remove_file(&inside)?;
    let shown = release.make("rollback").await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["failure"]), (&json!(MEADOW), &Value::Null), "{shown}");
    Ok(())
}

/// Writes until nothing more fits.
fn fill(file: &std::path::Path) -> Result {
    use std::io::Write;
    let mut file = std::fs::File::create(file)?;
    for block in [1 << 20, 1 << 12] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
    ensure!(file.metadata()?.len() > 1 << 20, "the disk was full before");
    Ok(())
}
