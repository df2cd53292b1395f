//! Workers that die cost their own computes one clear error.

use anyhow::ensure;
use bobbin_tests::{Events, Result, TestApp, TestHost, eventually};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;

#[tokio::test]
async fn a_worker_is_a_child_that_names_its_bundle() -> Result {
    let host = TestHost::stories().start().await?;
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    let line = std::fs::read_to_string(format!("/proc/{worker}/cmdline"))?;
    assert!(line.replace('\0', " ").starts_with("bobbin worker --bundle storyteller@1.0.0"), "{line:?}");
    Ok(())
}

#[tokio::test]
async fn every_thread_of_a_worker_is_in_its_cage() -> Result {
    let host = TestHost::stories().start().await?;
    host.post_json("/story", &json!({"prompt": "Once upon a time", "max_tokens": 4})).await?;
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("/proc/{worker}/task"))? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
            ensure!(status.contains(line), "a thread without {line:?}:\n{status}");
        }
        threads += 1;
    }
    assert!(threads > 1, "it computes with helpers");
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_mid_stream_costs_its_streams_and_nothing_else() -> Result {
    let host = TestHost::stories().start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "stream": true, "temperature": 1.5});
    for round in 1..=3 {
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(host.stream("/story", &ask).await?);
        }
        for stream in &mut streams {
            stream.next_json().await?;
        }
        let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
        host.signal(worker, Signal::KILL)?;
        let ends = join_all(streams.iter_mut().map(Events::rest)).await;
        let cut = ends.iter().filter(|end| is_an_error(end)).count();
        let whole = ends.iter().filter(|end| is_whole(end)).count();
        assert_eq!(cut + whole, ends.len(), "an answer neither ended nor failed: {ends:?}");
        assert!(cut > 0, "no stream was open when its worker was killed");
        // What a process says is for whoever runs the host.
        let told = ends.iter().flatten().flatten().find(|event| event.contains("last words"));
        assert_eq!(told, None);
        // The next one is answered by a new worker, without a failure in between.
        let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(host.get("/hello").await?.status(), 200);
        let metrics =
            host.metrics_when("it was restarted", |m| m.sum("bobbin_worker_restarts_total", &[]) == f64::from(round));
        metrics.await?;
    }
    let log = host.log();
    ensure!(log.contains("SIGKILL"), "the reason is not in the log:\n{log}");
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_under_answers_that_have_returned_nothing_costs_them_nothing() -> Result {
    let host = TestHost::stories().log_filter("info").start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "temperature": 1.5, "seed": 7});
    let answers = join_all((0..8).map(|_| host.post_json("/story", &ask)));
    let kill = async {
        host.metrics_when("several compute", |m| m.sum("bobbin_worker_running", &[]) >= 2.0).await?;
        let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
        host.signal(worker, Signal::KILL)
    };
    let (answers, killed) = futures::join!(answers, kill);
    killed?;
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        // How long it is depends on who shares its steps; that it has an end does not.
        let answer = answer.json()?;
        assert!(answer["finish_reason"].is_string() && answer["usage"]["output_tokens"].as_u64() > Some(0), "{answer}");
    }
    let replayed = host.log().matches("a compute is replayed").count();
    ensure!(replayed > 0, "none was in the middle of its answer:\n{}", host.log());
    Ok(())
}

fn is_whole(end: &Result<Vec<String>>) -> bool {
    end.as_ref().is_ok_and(|events| events.last().is_some_and(|last| last == "[DONE]"))
}

/// A broken connection, or an error event that says that the worker was lost; never a clean end.
fn is_an_error(end: &Result<Vec<String>>) -> bool {
    match end {
        Err(_) => true,
        Ok(events) => events.last().is_some_and(|last| last.contains("worker_lost") && !last.contains("[DONE]")),
    }
}

#[tokio::test]
async fn a_worker_killed_while_idle_is_started_again() -> Result {
    let host = TestHost::stories().start().await?;
    let [first] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    host.signal(first, Signal::KILL)?;
    eventually(async || Ok((host.workers()?.first().is_some_and(|worker| *worker != first)).then_some(()))).await?;
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn ctrl_c_and_sigterm_do_not_reach_a_worker() -> Result {
    let host = TestHost::stories().start().await?;
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    host.signal(worker, Signal::INT)?;
    host.signal(worker, Signal::TERM)?;
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(host.workers()?, vec![worker]);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_keeps_dying_is_quarantined_and_says_so() -> Result {
    let host = TestHost::stories().start().await?;
    let mut killed = Vec::new();
    for _ in 0..5 {
        let worker = eventually(async || {
            // The process that is killed may be there for a moment longer.
            Ok(host.workers()?.into_iter().find(|worker| !killed.contains(worker)))
        });
        let worker = worker.await?;
        eventually(async || Ok((host.admin("/readyz").await?.status() == 200).then_some(()))).await?;
        host.signal(worker, Signal::KILL)?;
        killed.push(worker);
    }
    let ready = eventually(async || {
        let ready = host.admin("/readyz").await?;
        Ok((ready.json()?["unready"][0]["state"] == "failed").then_some(ready))
    });
    let ready = ready.await?;
    assert_eq!(ready.status(), 503);
    for part in ["SIGKILL", "quarantined", "storyteller@1.0.0"] {
        assert!(ready.text().contains(part), "{part} is not in {}", ready.text());
    }
    // At once, and for good: nothing waits for a worker that will not come.
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert!([502, 503].contains(&answer.status()), "{}: {}", answer.status(), answer.text());
    assert_eq!(answer.json()?["code"], "version_failed", "{}", answer.text());
    assert!(answer.text().contains("quarantined"), "{}", answer.text());
    assert!(!answer.text().contains("last words"), "{}", answer.text());
    assert!(!answer.text().contains("deadline"), "the request waited: {}", answer.text());
    assert_eq!(host.get("/hello").await?.status(), 200);
    assert_eq!(host.workers()?, Vec::<u32>::new());
    // Released by hand: the release is set to what it is.
    let release = host.release("story");
    let generation = release.generation().await?;
    let stable = release.show().await?["stable"]["bundle"].clone();
    let set = release.try_set(json!({ "stable": stable })).await?;
    assert_eq!((set.status(), release.generation().await?), (200, generation), "{}", set.text());
    let answer = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(host.admin("/readyz").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_stands_still_costs_requests_their_deadline_and_serves_again() -> Result {
    let app = TestApp::fixtures("request_seconds = 2\ngrace_seconds = 2")?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    let ask = json!({"prompt": "Once", "max_tokens": 4});
    host.signal(worker, Signal::STOP)?;
    let (story, hello) = futures::join!(host.post_json("/story", &ask), host.get("/hello"));
    assert_eq!(hello?.status(), 200);
    let story = story?;
    assert_eq!(story.status(), 504, "{}", story.text());
    assert_eq!(story.json()?["code"], "deadline_exceeded", "{}", story.text());
    host.signal(worker, Signal::CONT)?;
    let story = host.post_json("/story", &ask).await?;
    assert_eq!(story.status(), 200, "{}", story.text());
    assert_eq!(host.workers()?, vec![worker], "it was started again");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_stands_still_is_not_ready_until_it_answers_again() -> Result {
    let host = TestHost::stories().start().await?;
    let [worker] = host.workers()?[..] else { panic!("{:?}", host.workers()?) };
    let ready = async || Result::Ok(host.admin("/readyz").await?);
    assert_eq!(ready().await?.status(), 200);
    host.signal(worker, Signal::STOP)?;
    let silent = eventually(async || Ok(Some(ready().await?).filter(|answer| answer.status() == 503))).await?;
    assert!(silent.text().contains("has not answered"), "{}", silent.text());
    host.signal(worker, Signal::CONT)?;
    eventually(async || Ok((ready().await?.status() == 200).then_some(()))).await?;
    assert_eq!(host.workers()?, vec![worker], "it was started again");
    Ok(())
}
