//! What is done to the host meanwhile: its releases change, and its workers are killed.

use crate::answers::{End, Tally};
use anyhow::Result;
use bobbin_tests::{Answer, Broken, Report, TestHost};
use rustix::process::Signal;
use serde_json::json;
use std::cell::Cell;
use std::time::{Duration, Instant};

const BETWEEN_CHANGES: Duration = Duration::from_secs(3);
const BETWEEN_KILLS: Duration = Duration::from_secs(7);
/// So long after it a kill or a change may still explain an error: a version is loaded again, or its drain ends.
const AFTERMATH: Duration = Duration::from_secs(2);

/// What may explain an error.
#[derive(Clone, Copy)]
pub(crate) struct Done {
    pub(crate) killed: bool,
    pub(crate) changed: bool,
}

/// What was done, and when.
#[derive(Default)]
pub(crate) struct Trouble {
    killed: Cell<Option<Instant>>,
    changed: Cell<Option<Instant>>,
    kills: Cell<usize>,
    changes: Cell<usize>,
}

impl Trouble {
    /// What was done since a moment, or shortly before it.
    pub(crate) fn since(&self, moment: Instant) -> Done {
        let lately = |last: &Cell<Option<Instant>>| last.get().is_some_and(|last| last + AFTERMATH > moment);
        Done { killed: lately(&self.killed), changed: lately(&self.changed) }
    }

    /// Swaps to and fro, splits, and ends splits; in turn with versions that stay warm and that leave at once.
    pub(crate) async fn change(&self, host: &TestHost, tally: &Tally, until: Instant) -> Result<()> {
        let story = host.release("story");
        let mut made = false;
        for nth in 0.. {
            tokio::time::sleep(BETWEEN_CHANGES).await;
            if Instant::now() >= until {
                return Ok(());
            }
            let asked = Instant::now();
            let keep_warm = if nth % 20 < 10 { 600 } else { 0 };
            let answer = match nth % 5 {
                // Back to where the last change left from.
                1 if made => story.step("rollback").await?,
                1 | 4 => story.try_set(json!({"stable": "storyteller@1.0.0", "candidate": null})).await?,
                2 => story.try_set(json!({"candidate": {"bundle": "storyteller@1.1.0", "weight": 50}})).await?,
                _ => {
                    let edit = json!({
                        "stable": "storyteller@1.1.0", "candidate": null, "keep_warm_seconds": keep_warm,
                    });
                    story.try_set(edit).await?
                }
            };
            made = answer.status() == 200;
            self.changes.set(self.changes.get() + 1);
            self.changed.set(Some(Instant::now()));
            tally.count("changes of the release", end(&answer), self.since(asked));
        }
        Ok(())
    }

    /// Kills one worker after the other, whichever they are by then.
    pub(crate) async fn kill(&self, host: &TestHost, until: Instant) -> Result<()> {
        for nth in 0.. {
            tokio::time::sleep(BETWEEN_KILLS).await;
            if Instant::now() >= until {
                return Ok(());
            }
            let workers = host.workers()?;
            let Some(worker) = workers.get(nth % workers.len().max(1)) else { continue };
            self.killed.set(Some(Instant::now()));
            // It may have left by itself just now.
            if host.signal(*worker, Signal::KILL).is_ok() {
                self.kills.set(self.kills.get() + 1);
            }
        }
        Ok(())
    }

    /// The log has every death, also of versions that are gone by now, and what each process ended by.
    pub(crate) fn report(&self, log: &str, report: &mut Report) {
        let deaths: Vec<_> = log.lines().filter(|line| line.contains("the worker died")).collect();
        let kills = self.kills.get();
        let figure = format!("{} of {kills} kills", deaths.len());
        // One that was about to leave anyway is not missed.
        report.must("deaths of workers in the log", figure, "no more than kills", deaths.len() <= kills);
        let others: Vec<_> = deaths.iter().filter(|line| !line.contains("ended by SIGKILL")).collect();
        report.none("- by anything but SIGKILL", others.len(), &deaths.len().to_string());
        for line in others.iter().take(3) {
            println!("      {line}");
        }
        report.note("- changes that were asked for", self.changes.get().to_string());
    }
}

/// The bundle that a worker's command line names.
pub(crate) fn bundle(worker: u32) -> Option<String> {
    let line = std::fs::read_to_string(format!("/proc/{worker}/cmdline")).ok()?;
    line.split('\0').skip_while(|word| *word != "--bundle").nth(1).map(str::to_owned)
}

fn end(answer: &Answer) -> End {
    if answer.status() == 200 {
        return End::Whole;
    }
    End::Broken(Broken::Refused(answer.status(), answer.text().to_owned()))
}
