//! A guest has effects of its own, so it runs once for a request, whatever becomes of the worker that computes for it.

use anyhow::{Context, ensure};
use bobbin_tests::{Events, Result, TestApp, TestHost, eventually};
use futures::future::{join_all, try_join_all};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;

/// Requests of each kind at once.
const AT_ONCE: usize = 6;
/// Rounds in which both a replay and a failure have been seen long ago.
const MOST_ROUNDS: usize = 20;

/// Asks for an answer that ends when it must.
fn ask(stream: bool) -> Value {
    let options = json!({"max_tokens": 240, "logit_bias": {"2": -100}, "stream": stream});
    json!({"prompt": "Once upon a time", "options": options})
}

/// How often the guest says that it has run.
async fn runs(host: &TestHost) -> Result<usize> {
    let runs = host.get("/runs").await?.json()?;
    Ok(runs.as_u64().with_context(|| format!("no count: {runs}"))?.try_into()?)
}

#[tokio::test]
async fn a_guest_whose_worker_dies_runs_once_whether_its_compute_is_replayed_or_fails() -> Result {
    let app = TestApp::of_component("models", "/...")?;
    let manifest = fs::read_to_string(app.manifest())?;
    fs::write(app.manifest(), manifest + "key_value_stores = [\"default\"]\n")?;
    let host = TestHost::of(&app.manifest()).log_filter("info").start().await?;
    let (mut asked, mut failed, mut replayed, mut kills) = (0, 0, 0, 0);
    // Which computes a kill meets in which state is nobody's choice.
    while (failed == 0 || replayed == 0) && kills < MOST_ROUNDS {
        asked += 2 * AT_ONCE;
        kills += 1;
        failed += kill_among_runs(&host, asked).await.with_context(|| format!("kill {kills}"))?;
        replayed = host.log().matches("a compute is replayed").count();
        assert_eq!(runs(&host).await?, asked, "runs after {kills} kills: {failed} failed, {replayed} replayed");
    }
    println!("{asked} guests ran through {kills} kills: {failed} failed, {replayed} replayed");
    assert!(failed > 0, "no answer was cut by {kills} kills");
    assert!(replayed > 0, "no compute was replayed after {kills} kills:\n{}", host.log());
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_worker_restarts_total", &[]), kills as f64);
    Ok(())
}

/// Kills the worker among answers that are streamed, and others of which nothing has come yet, once the guests of all of
/// them have run: `asked` in all. Returns how many failed.
async fn kill_among_runs(host: &TestHost, asked: usize) -> Result<usize> {
    let [worker] = host.workers()?[..] else { anyhow::bail!("{:?}", host.workers()?) };
    let (streamed, whole) = (ask(true), ask(false));
    // Their heads are here, so something was returned to each of these guests.
    let mut streams = try_join_all((0..AT_ONCE).map(|_| host.stream("/counted", &streamed))).await?;
    let wholes = join_all((0..AT_ONCE).map(|_| host.post_json("/counted", &whole)));
    let kill = async {
        eventually(async || Ok((runs(host).await? >= asked).then_some(()))).await.context("guests did not run")?;
        host.signal(worker, Signal::KILL)
    };
    let (ends, answers, killed) = futures::join!(join_all(streams.iter_mut().map(Events::rest)), wholes, kill);
    killed?;
    for answer in answers {
        let answer = answer?;
        ensure!(answer.status() == 200, "what returned nothing was not replayed: {}", answer.text());
    }
    let mut failed = 0;
    for end in ends {
        let end = end?;
        let last = end.last().context("an answer without an end")?;
        ensure!(last == "[DONE]" || last.contains("worker_lost"), "{end:?}");
        failed += usize::from(last != "[DONE]");
    }
    // The next one has begun.
    eventually(async || Ok((host.workers()?.first().is_some_and(|next| *next != worker)).then_some(()))).await?;
    Ok(failed)
}
