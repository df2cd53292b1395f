//! A host that is killed in the middle of a change: what was committed last serves after a restart, every time.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestApp, TestHost};
use futures::future::try_join_all;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Kills in all, on a few state folders side by side.
const KILLS: u64 = 100;
const FOLDERS: u64 = 4;

/// The moment of a kill.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as the host tells of this step of the change.
    Step(&'static str),
    /// So many microseconds after the change was sent.
    After(u64),
    /// As soon as the change was answered.
    Answered,
}

const MOMENTS: [Moment; 10] = [
    Moment::Step("accepted"),
    Moment::Step("verifying"),
    Moment::Step("loading"),
    Moment::Step("committed"),
    Moment::Answered,
    Moment::After(0),
    Moment::After(700),
    Moment::After(5_000),
    Moment::After(60_000),
    Moment::After(150_000),
];

/// What is known of a release from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    generation: u64,
    stable: &'static str,
}

impl Known {
    fn other(self) -> &'static str {
        if self.stable == MEADOW { SEA } else { MEADOW }
    }
}

#[tokio::test]
async fn after_a_kill_at_any_step_the_last_committed_generation_serves() -> Result {
    let app = TestApp::stories("")?;
    let folder = async |folder: u64| {
        let state = TempDir::new()?;
        let mut known = Known { generation: 1, stable: MEADOW };
        for kill in 0..KILLS / FOLDERS {
            let moment = MOMENTS[((kill * FOLDERS + folder) % MOMENTS.len() as u64) as usize];
            let round = round(&app, state.path(), known, moment).await;
            known = round.with_context(|| format!("kill {kill} of folder {folder}, at {moment:?}, from {known:?}"))?;
        }
        // Changes were made, and changes were lost.
        let made = known.generation - 1;
        ensure!(made > 0 && made < KILLS / FOLDERS, "{made} changes were made in folder {folder}");
        Result::Ok(made)
    };
    let made: u64 = try_join_all((0..FOLDERS).map(folder)).await?.iter().sum();
    println!("{made} of {KILLS} changes were made");
    Ok(())
}

#[tokio::test]
async fn every_commit_that_was_answered_is_there_after_a_kill() -> Result {
    const BURSTS: u64 = 20;
    let (app, state) = (TestApp::stories("")?, TempDir::new()?);
    // Each generation is one whose number is in its own settings.
    let drain = |generation: u64| generation % 1000;
    let mut answered = 1;
    for burst in 0..BURSTS {
        let host = TestHost::of(&app.manifest()).state_dir(state.path()).start().await?;
        let release = host.release("story");
        let shown = release.show().await?;
        let generation = shown["generation"].as_u64().context("no generation")?;
        ensure!([answered, answered + 1].contains(&generation), "{answered} was answered: {shown}");
        ensure!(generation == 1 || shown["drain_seconds"] == drain(generation), "{shown}");
        ensure!(release.history().await?.len() as u64 == generation.min(1000), "generation {generation}");
        answered = generation;
        let changes = async {
            loop {
                let next = answered + 1;
                let answer =
                    release.put(&json!({"expected_generation": answered, "drain_seconds": drain(next)})).await?;
                ensure!(answer.status() == 200, "{}", answer.text());
                answered = next;
            }
        };
        // Not to wait for anything: any moment is as good as another.
        let moment = tokio::time::sleep(Duration::from_micros(20_000 + burst * 1_300));
        let result: Result = tokio::select! { result = changes => result, () = moment => Ok(()) };
        result?;
        host.kill().await?;
    }
    ensure!(answered > BURSTS, "only {answered} changes were answered in {BURSTS} bursts");
    println!("{answered} changes were answered");
    Ok(())
}

/// Starts a host, holds it against what is known, begins a change and kills the host. Returns what must be true after
/// that; where the answer did not come, what the next start finds is as good as its alternative.
async fn round(app: &TestApp, state: &Path, known: Known, moment: Moment) -> Result<Known> {
    let host = TestHost::of(&app.manifest()).state_dir(state).start().await?;
    let known = serves(&host, known).await?;
    let next = Known { generation: known.generation + 1, stable: known.other() };
    let answered = {
        let release = host.release("story");
        let edit = json!({"expected_generation": known.generation, "stable": next.stable, "keep_warm_seconds": 0});
        let mut events = host.events(None).await?;
        let change = release.put(&edit);
        let until = async {
            match moment {
                Moment::Step(step) => drop(events.until_is("change", &[("step", step)]).await?),
                // Not to wait for anything: any moment is as good as another.
                Moment::After(micros) => tokio::time::sleep(Duration::from_micros(micros)).await,
                Moment::Answered => std::future::pending().await,
            }
            Result::Ok(())
        };
        tokio::select! {
            answer = change => Some(answer?),
            until = until => { until?; None }
        }
    };
    host.kill().await?;
    if let Some(answer) = &answered {
        ensure!(answer.status() == 200, "{}", answer.text());
        return Ok(next);
    }
    Ok(if matches!(moment, Moment::Step("committed")) { next } else { known })
}

/// The release is in the generation that is known to have been committed, or in the one whose answer was lost; it
/// answers with that, and its history ends in it.
async fn serves(host: &TestHost, known: Known) -> Result<Known> {
    let release = host.release("story");
    let shown = release.show().await?;
    let lost = Known { generation: known.generation + 1, stable: known.other() };
    let is = |known: &Known| shown["generation"] == known.generation && shown["stable"]["bundle"] == known.stable;
    let found = [known, lost].into_iter().find(is).with_context(|| format!("{known:?} was committed: {shown}"))?;
    ensure!(shown["stable"]["state"] == "ready" && shown["pending"].is_null(), "{shown}");
    let history = release.history().await?;
    ensure!(history.len() as u64 == found.generation, "{} changes in {found:?}", history.len());
    ensure!(history[0]["stable"] == found.stable && history[0]["generation"] == found.generation, "{}", history[0]);
    let answer = tell(host, &ask_least()).await?;
    ensure!(answer.header == found.stable, "{} answers in {found:?}", answer.header);
    Ok(found)
}
