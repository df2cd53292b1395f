//! Workers that are killed again and again: whoever is answered meanwhile pays once, and nobody else does.

use anyhow::{Context, bail, ensure};
use bobbin_tests::{AdminEvents, Files, Result, TestHost, age, children, connections, eventually, process_status};
use futures::future::{Either, join_all, select};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::cell::Cell;
use std::pin::pin;
use std::time::{Duration, Instant};

const KILLS: usize = 100;
const CLIENTS: usize = 6;
/// What whoever asks after a kill may wait besides the time that the next process takes to load.
const BACK: Duration = Duration::from_secs(1);

/// How the answers of the load ended.
#[derive(Debug, Default)]
struct Ends {
    whole: Cell<usize>,
    lost: Cell<usize>,
}

/// The way back after a kill.
#[derive(Debug, Clone, Copy)]
struct Return {
    /// From the kill to the answer to whoever asked right after it.
    answered: Duration,
    /// From the start of the next process until it was ready.
    load: Duration,
}

#[tokio::test]
async fn of_a_hundred_kills_under_load_each_costs_the_answers_in_flight_only() -> Result {
    let host = TestHost::stories().start().await?;
    let (_, mut returns) = kill(&host, 10).await?;
    let before = Held::by(&host).await?;
    let (ends, more) = kill(&host, KILLS).await?;
    ensure!(ends.lost.get() > 0 && ends.whole.get() > 0, "the kills met no answer, or every answer: {ends:?}");
    let after = Held::by(&host).await?;
    assert_eq!(after.files, before.files, "files are left open");
    assert_eq!(after.children, 1, "there are processes besides the worker");
    let grown = after.memory.saturating_sub(before.memory);
    // Of an answer, a process or a link there would be a hundred.
    assert!(grown < 4 << 20, "{grown} bytes of memory are left over: {before:?}, {after:?}");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_worker_restarts_total", &[]), (10 + KILLS) as f64);
    returns.extend(more);
    // The longest load: what else this machine does meanwhile makes either longer now and then.
    let longest = |of: fn(&Return) -> Duration| returns.iter().map(of).max().unwrap_or_default();
    let (answered, load) = (longest(|back| back.answered), longest(|back| back.load));
    println!("after {} kills: answered after {answered:?} at most, loaded in {load:?} at most", returns.len());
    let late: Vec<_> = returns.iter().filter(|back| back.answered > BACK + load).collect();
    // Something else may have this machine for a second now and then.
    assert!(late.len() * 20 <= returns.len(), "with a load of {load:?} at most, these came back late: {late:?}");
    Ok(())
}

/// Kills the worker so often, each time under answers, and waits until the next one answers.
async fn kill(host: &TestHost, times: usize) -> Result<(Ends, Vec<Return>)> {
    let (ends, mut returns) = (Ends::default(), Vec::new());
    let load = join_all((0..CLIENTS).map(|_| tell_on_and_on(host, &ends)));
    let kills = async {
        let mut events = host.events(None).await?;
        for nth in 1..=times {
            let back = kill_one(host, &mut events, &ends).await;
            returns.push(back.with_context(|| format!("at kill {nth}"))?);
        }
        anyhow::Ok(())
    };
    match select(pin!(load), pin!(kills)).await {
        Either::Left((results, _)) => {
            results.into_iter().collect::<Result>()?;
            unreachable!("the load never ends by itself");
        }
        Either::Right((result, _)) => result?,
    }
    Ok((ends, returns))
}

async fn kill_one(host: &TestHost, events: &mut AdminEvents, ends: &Ends) -> Result<Return> {
    let workers = host.workers()?;
    let [worker] = workers[..] else { bail!("one worker runs, not {workers:?}") };
    let mut stream = host.stream("/story", &ask(240)).await?;
    stream.next_json().await?;
    host.signal(worker, Signal::KILL)?;
    let killed = Instant::now();
    // Whoever comes now waits for the next process.
    let next = async {
        let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
        ensure!(answer.status() == 200, "{}", answer.text());
        anyhow::Ok(killed.elapsed())
    };
    let (rest, answered, load) = futures::join!(stream.rest(), next, loaded(host, events, worker));
    ensure!(counts(&rest, ends), "an answer neither ended nor failed: {rest:?}");
    let back = Return { answered: answered?, load: load? };
    ensure!(host.get("/hello").await?.status() == 200, "/hello");
    Ok(back)
}

/// Waits until the process after a killed one is ready, and returns how long that took it from its start.
async fn loaded(host: &TestHost, events: &mut AdminEvents, killed: u32) -> Result<Duration> {
    // What is told of an earlier process may still be on its way.
    events.until_is("version", &[("state", "loading")]).await?;
    events.until_is("version", &[("state", "ready")]).await?;
    let told = Instant::now();
    let next = host.workers()?.into_iter().find(|worker| *worker != killed).context("there is no next worker")?;
    Ok(age(next)?.saturating_sub(told.elapsed()))
}

fn ask(tokens: u32) -> Value {
    json!({"prompt": "Once upon a time", "max_tokens": tokens, "stream": true, "temperature": 1.5})
}

/// A client that asks again as soon as its answer has ended, and fails where it ends in another way than it may.
async fn tell_on_and_on(host: &TestHost, ends: &Ends) -> Result {
    loop {
        let mut stream = host.stream("/story", &ask(6)).await?;
        let rest = stream.rest().await;
        ensure!(counts(&rest, ends), "an answer neither ended nor failed: {rest:?}");
    }
}

/// Whether an answer is whole, or says that its worker was lost and does not look whole.
fn counts(rest: &Result<Vec<String>>, ends: &Ends) -> bool {
    let last = rest.as_ref().ok().and_then(|events| events.last()).map(String::as_str);
    let (whole, lost) = (last == Some("[DONE]"), last.is_some_and(|last| last.contains("worker_lost")));
    let end = if whole { &ends.whole } else { &ends.lost };
    end.set(end.get() + 1);
    whole || lost
}

/// What a host holds while nothing asks it for anything.
#[derive(Debug)]
struct Held {
    files: Files,
    children: usize,
    memory: u64,
}

impl Held {
    async fn by(host: &TestHost) -> Result<Self> {
        host.metrics_when("nothing is in flight", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
        let pid = host.pid()?;
        // The last process that was killed may be about to be waited for.
        eventually(async || Ok((children(pid)?.len() == 1).then_some(())))
            .await
            .context("there are other processes")?;
        // No client of this test keeps a connection that it does not use.
        eventually(async || Ok((connections(pid)? == 0).then_some(()))).await.context("connections are left open")?;
        let memory = process_status(pid, "RssAnon:")? * 1024;
        Ok(Self { files: Files::of(pid)?, children: children(pid)?.len(), memory })
    }
}
