//! How many threads compute: as the bundle says, within what whoever starts the host says.

use anyhow::{bail, ensure};
use bobbin_tests::{Result, TestApp, TestHost, TestHostBuilder, threads_named};
use futures::future::join_all;
use serde_json::json;
use std::fs;

/// A model of one megabyte, which is worth one thread, in a bundle that says two.
fn two_threads() -> Result<TestApp> {
    let app = TestApp::stories("")?;
    app.publish("1.0.1", "1.0.0", |_, manifest| {
        manifest.replacen("format = 1\n", "format = 2\n", 1).replacen("[limits]\n", "[limits]\nthreads = 2\n", 1)
    })?;
    app.release("storyteller@1.0.1")?;
    Ok(app)
}

/// Starts the host, has it tell a story, and counts the threads that its one worker has computed it with.
async fn computed_with(host: TestHostBuilder) -> Result<(usize, TestHost)> {
    let host = host.start().await?;
    let answer = host.post_json("/story", &json!({"prompt": "Once upon a time", "max_tokens": 20})).await?;
    ensure!(answer.status() == 200, "{}", answer.text());
    let [worker] = host.workers()?[..] else { bail!("{:?}", host.workers()?) };
    // They stay where they are between two answers. Others of the worker's have names of their own.
    Ok((threads_named(worker, "bobbin-worker")?.len(), host))
}

/// Two, where there are as many cores.
fn two_or_one_core() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get().min(2))
}

#[tokio::test]
async fn a_bundle_is_computed_by_as_many_threads_as_it_says() -> Result {
    assert_eq!(computed_with(TestHost::stories()).await?.0, 1, "a small model that says nothing");
    let app = two_threads()?;
    assert_eq!(computed_with(TestHost::of(&app.manifest())).await?.0, two_or_one_core()?);
    Ok(())
}

#[tokio::test]
async fn whoever_starts_the_host_says_how_many_threads_all_bundles_have() -> Result {
    let app = two_threads()?;
    let config = app.path().join("rc.toml");
    fs::write(&config, "[bobbin]\ncompute_threads = 1\n")?;
    let config = config.display().to_string();
    let host = || TestHost::of(&app.manifest());
    assert_eq!(computed_with(host().arg("--compute-threads").arg("1")).await?.0, 1);
    assert_eq!(computed_with(host().env("BOBBIN_COMPUTE_THREADS", "1")).await?.0, 1);
    assert_eq!(computed_with(host().arg("--runtime-config-file").arg(&config)).await?.0, 1);
    // What is typed goes before the file.
    let typed = host().arg("--runtime-config-file").arg(&config).arg("--compute-threads").arg("2");
    assert_eq!(computed_with(typed).await?.0, two_or_one_core()?);
    Ok(())
}

#[tokio::test]
async fn more_threads_than_cores_are_lowered_with_a_warning() -> Result {
    let app = two_threads()?;
    let many = TestHost::of(&app.manifest()).arg("--compute-threads").arg("1024").arg("--host-threads").arg("1023");
    let (computing, host) = computed_with(many.log_filter("info")).await?;
    assert_eq!(computing, two_or_one_core()?);
    let cores = std::thread::available_parallelism()?;
    let log = host.log();
    for part in ["--compute-threads 1024 is more than the cores", "--host-threads 1023 is more than the cores"] {
        assert!(log.contains(part), "{part} is not in:\n{log}");
    }
    assert!(log.contains(&format!("compute={cores} host={cores}")), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_host_with_one_thread_answers_everybody() -> Result {
    let host = TestHost::stories().arg("--host-threads").arg("1").log_filter("info").start().await?;
    assert!(host.log().contains(" host=1\n"), "{}", host.log());
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 40});
    let (stories, hello) = futures::join!(join_all((0..8).map(|_| host.post_json("/story", &ask))), host.get("/hello"));
    assert_eq!(hello?.status(), 200);
    for story in stories {
        let story = story?;
        assert_eq!(story.status(), 200, "{}", story.text());
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_number_of_threads_is_refused_before_anything_starts() -> Result {
    let app = TestApp::stories("")?;
    for (option, number) in [("--compute-threads", "0"), ("--host-threads", "many"), ("--host-threads", "1025")] {
        let refused = TestHost::of(&app.manifest()).arg(option).arg(number).refused().await?;
        assert!(refused.contains(option) && refused.contains("from 1 to 1024"), "{refused}");
    }
    let config = app.path().join("rc.toml");
    fs::write(&config, "[bobbin]\nhost_threads = 0\n")?;
    let refused = TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string());
    let refused = refused.refused().await?;
    assert!(refused.contains("rc.toml:2:16") && refused.contains("from 1 to 1024"), "{refused}");
    Ok(())
}
