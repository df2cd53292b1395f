//! The life of a worker: first load, death, restart, quarantine, stop.

use super::*;
use crate::supervisor::StartPhase;
use bobbin_inference::Reason;
use bobbin_inference::wire::Phase;
use std::time::SystemTime;

#[tokio::test]
async fn a_start_is_visible_step_by_step() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    assert_eq!(worker.state(), WorkerState::Starting { phase: StartPhase::Spawning });
    fake.greet().await;
    let Some(ToWorker::Load(load)) = fake.receive().await else { panic!("expected a load") };
    assert_eq!((load.bundle.as_str(), load.threads, fake.threads), (BUNDLE, 3, 3));
    for (phase, expected) in [(Phase::Loading, StartPhase::Loading), (Phase::Warming, StartPhase::Warming)] {
        fake.send(FromWorker::Progress(phase)).await;
        state(&worker, |state| *state == WorkerState::Starting { phase: expected }).await;
    }
    fake.send(FromWorker::Ready(loaded())).await;
    assert_eq!(soon(worker.ready()).await.unwrap(), loaded());
    assert_eq!((worker.pid(), worker.restarts()), (Some(1), 0));
    assert_eq!(worker.info().bundle.as_ref(), BUNDLE);
}

#[tokio::test]
async fn a_follower_sees_every_phase_however_short_it_was() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let (mut changes, mut fake) = (worker.follow(), bench.launched().await);
    assert!(!worker.is_ready() && worker.vocabulary().is_none());
    fake.greet().await;
    fake.receive().await;
    for phase in [Phase::Loading, Phase::Warming] {
        fake.send(FromWorker::Progress(phase)).await;
    }
    fake.send(FromWorker::Ready(loaded())).await;
    soon(worker.ready()).await.unwrap();
    assert!(worker.is_ready());
    assert_eq!(worker.vocabulary().as_deref(), Some(loaded().vocabulary_digest.as_str()));
    for phase in [StartPhase::Spawning, StartPhase::Loading, StartPhase::Warming] {
        assert_eq!(soon(changes.next()).await.unwrap().state, WorkerState::Starting { phase });
    }
    assert!(matches!(soon(changes.next()).await.unwrap().state, WorkerState::Ready { .. }));
    // Who comes later begins with what is.
    assert!(matches!(soon(worker.follow().next()).await.unwrap().state, WorkerState::Ready { .. }));
    let (_, ()) = tokio::join!(soon(worker.stop(Duration::from_secs(60))), async {
        assert_eq!(fake.receive().await, None);
        fake.die("exited with status 0");
    });
    assert!(!worker.is_ready());
    drop(worker);
    for state in [WorkerState::Stopping, WorkerState::Stopped] {
        assert_eq!(soon(changes.next()).await.unwrap().state, state);
    }
    assert_eq!(soon(changes.next()).await, None);
}

#[tokio::test]
async fn what_is_no_digest_names_no_vocabulary() {
    for forged in ["", "AB", &"g".repeat(64), &"ab".repeat(33)] {
        let mut bench = Bench::new();
        let worker = bench.start();
        let mut fake = bench.launched().await;
        fake.greet().await;
        fake.receive().await;
        fake.send(FromWorker::Ready(Loaded { vocabulary_digest: forged.into(), ..loaded() })).await;
        soon(worker.ready()).await.unwrap();
        assert_eq!(worker.vocabulary(), None, "{forged}");
    }
}

#[tokio::test]
async fn a_first_load_that_fails_is_final_and_says_why() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    fake.greet().await;
    fake.receive().await;
    fake.send(FromWorker::LoadFailed { message: "tensor 'output' is missing".into() }).await;
    let failure = soon(worker.ready()).await.unwrap_err();
    assert_eq!(failure.to_string(), "the worker for storyteller@1.0.0 could not load it: tensor 'output' is missing");
    let error = open(&worker, &context()).compute(stream()).await.unwrap_err();
    assert_eq!(error.reason, Reason::WorkerUnavailable);
    assert!(error.message.contains("tensor 'output' is missing"), "{}", error.message);
    assert!(bench.launches.is_empty());
    assert!(fake.killed.is_cancelled());
    assert_eq!(worker.restarts(), 0);
}

#[tokio::test]
async fn a_worker_that_dies_while_loading_is_reported_with_its_end() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    fake.greet().await;
    fake.die("ended by SIGABRT; last words: GGML_ASSERT(n > 0) failed");
    let reason = failed(&worker).await;
    assert_eq!(
        &*reason,
        "the worker for storyteller@1.0.0 ended by SIGABRT; last words: GGML_ASSERT(n > 0) failed, before it was ready"
    );
    let error = open(&worker, &context()).compute(stream()).await.unwrap_err();
    assert_eq!(error.message, "the worker for storyteller@1.0.0 ended by SIGABRT, before it was ready");
}

#[tokio::test]
async fn a_worker_of_another_build_or_protocol_is_refused() {
    let another_build = Greeting { build: "0.0.1-other".into(), ..Greeting::ours() };
    let another_protocol = Greeting { protocol: 99, ..Greeting::ours() };
    for (greeting, named) in [(another_build, "build 0.0.1-other"), (another_protocol, "protocol 99")] {
        let mut bench = Bench::new();
        let worker = bench.start();
        let mut fake = bench.launched().await;
        fake.expect(ToWorker::Hello(Greeting::ours())).await;
        fake.send(FromWorker::Hello(greeting)).await;
        let reason = failed(&worker).await;
        assert!(reason.contains(named) && reason.contains("install"), "{reason}");
        assert!(fake.killed.is_cancelled());
        assert!(bench.launches.is_empty());
    }
}

#[tokio::test]
async fn a_program_that_does_not_greet_or_does_not_load_in_time_is_killed() {
    let short = Duration::from_millis(10);
    let long = Duration::from_secs(600);
    for (greeting_timeout, load_timeout, expected) in
        [(short, long, "did not greet within 0.01 s"), (long, short, "did not load within 0.01 s")]
    {
        let config = SupervisorConfig { greeting_timeout, load_timeout, ..SupervisorConfig::default() };
        let mut bench = Bench::with(config);
        let worker = bench.start();
        let mut fake = bench.launched().await;
        if load_timeout == short {
            fake.greet().await;
        }
        let reason = failed(&worker).await;
        assert!(reason.contains(expected), "{reason}");
        assert!(fake.killed.is_cancelled());
    }
}

#[tokio::test]
async fn a_worker_that_died_is_started_again_and_computes_wait_for_it() {
    let mut bench = Bench::new();
    let (worker, fake) = bench.started().await;
    fake.die("ended by SIGSEGV");
    let mut fake = bench.launched().await;
    assert!(matches!(worker.state(), WorkerState::Starting { .. }));
    let mut session = open(&worker, &context());
    let (first, ()) = tokio::join!(session.compute(stream()), async {
        fake.greet().await;
        fake.load().await;
        let call = fake.asked().await.call;
        fake.piece(call, "Once", 1, None).await;
    });
    assert_eq!(text(first).text, "Once");
    assert_eq!((worker.restarts(), worker.pid()), (1, Some(2)));
}

#[tokio::test]
async fn a_pause_before_a_restart_says_why_and_how_often() {
    let restart = RestartLimits { first_delay: Duration::from_secs(600), ..RestartLimits::default() };
    let restart = RestartLimits { longest_delay: Duration::from_secs(600), ..restart };
    let mut bench = Bench::with(SupervisorConfig { restart, ..SupervisorConfig::default() });
    let (worker, fake) = bench.started().await;
    fake.die("ended by SIGSEGV");
    bench.ready(&worker).await.die("ended by SIGBUS");
    let restarting = state(&worker, |state| matches!(state, WorkerState::Restarting { attempt: 2, .. })).await;
    let WorkerState::Restarting { reason, .. } = restarting else { panic!("{restarting:?}") };
    assert_eq!(&*reason, "the worker for storyteller@1.0.0 ended by SIGBUS");
    // A compute waits for as long as its request may, and no longer.
    let error = open(&worker, &limited(Duration::from_millis(20), 1 << 20)).compute(stream()).await.unwrap_err();
    assert_eq!((error.reason, error.retryable), (Reason::DeadlineExceeded, true));
    assert!(error.message.contains("ended by SIGBUS"), "{}", error.message);
    let context = context();
    context.end(Cause::ClientGone);
    let error = open(&worker, &context).compute(stream()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Cancelled);
    // A stop does not wait for the pause to be over.
    soon(worker.stop(Duration::from_secs(60))).await;
    assert_eq!(worker.state(), WorkerState::Stopped);
}

#[tokio::test]
async fn a_worker_that_keeps_dying_is_quarantined() {
    let mut bench = Bench::new();
    let worker = bench.start();
    for _ in 0..5 {
        bench.ready(&worker).await.die("ended by SIGSEGV; last words: /srv/blobs/x is odd");
        state(&worker, |state| !matches!(state, WorkerState::Ready { .. })).await;
    }
    let reason = failed(&worker).await;
    assert!(reason.contains("ended by SIGSEGV; last words: /srv") && reason.contains("quarantined"), "{reason}");
    let WorkerState::Failed { told, .. } = worker.state() else { panic!("it has failed") };
    assert!(told.contains("ended by SIGSEGV; it died") && told.contains("quarantined"), "{told}");
    assert!(bench.launches.is_empty());
    assert_eq!(worker.restarts(), 4);
    let error = open(&worker, &context()).compute(stream()).await.unwrap_err();
    assert_eq!(error.reason, Reason::WorkerUnavailable);
}

#[tokio::test]
async fn an_answer_that_was_finished_before_the_death_still_counts() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let (answer, ()) = tokio::join!(session.compute(generate("{}")), async {
        let call = fake.asked().await.call;
        fake.piece(call, "The end.", 3, Some(FinishReason::Stop)).await;
        fake.die("ended by SIGKILL");
    });
    assert_eq!(text(answer).text, "The end.");
}

#[tokio::test]
async fn a_process_that_closes_its_socket_but_does_not_end_is_no_worker() {
    let mut bench = Bench::new();
    let (worker, Fake { stream: socket, ended, .. }) = bench.started().await;
    let mut session = open(&worker, &context());
    let mut compute = session.compute(stream());
    assert!(futures::poll!(&mut compute).is_pending());
    drop(socket);
    // While its end is waited for, it gets no new session.
    let late = limited(Duration::from_millis(20), 1 << 20);
    let mut other = open(&worker, &late);
    until(|| matches!(*worker.shared().access.borrow(), Access::Waiting(_))).await;
    assert!(futures::poll!(&mut compute).is_pending());
    assert_eq!(other.compute(stream()).await.unwrap_err().reason, Reason::DeadlineExceeded);
    ended.send_replace(Some("exited with status 0".into()));
    // The next one gets what it had been asked.
    let (answer, ()) = tokio::join!(compute, async {
        let mut fake = bench.ready(&worker).await;
        let call = fake.asked().await.call;
        fake.piece(call, "Once", 1, None).await;
    });
    assert_eq!(text(answer).text, "Once");
}

#[tokio::test]
async fn a_stop_closes_the_socket_and_waits_for_the_end() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    streaming(&mut fake, session.as_mut()).await;
    let killed = fake.killed.clone();
    tokio::join!(soon(worker.stop(Duration::from_secs(60))), async {
        assert_eq!(fake.receive().await, None);
        assert_eq!(worker.state(), WorkerState::Stopping);
        fake.die("exited with status 0");
    });
    assert_eq!(worker.state(), WorkerState::Stopped);
    assert!(!killed.is_cancelled());
    assert_eq!(session.next().await.unwrap_err().reason, Reason::WorkerLost);
    let error = open(&worker, &context()).compute(stream()).await.unwrap_err();
    assert_eq!(error.reason, Reason::WorkerUnavailable);
    assert!(bench.launches.is_empty());
    soon(worker.ready()).await.unwrap_err();
}

#[tokio::test]
async fn a_process_that_ignores_a_stop_is_killed() {
    let mut bench = Bench::new();
    let (worker, fake) = bench.started().await;
    soon(worker.stop(Duration::ZERO)).await;
    assert!(fake.killed.is_cancelled());
    assert_eq!(worker.state(), WorkerState::Stopped);
}

#[tokio::test]
async fn a_worker_that_is_stopped_while_it_loads_is_gone() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    fake.greet().await;
    assert!(matches!(fake.receive().await, Some(ToWorker::Load(_))));
    tokio::join!(soon(worker.stop(Duration::from_secs(60))), async {
        assert_eq!(fake.receive().await, None);
        fake.die("exited with status 0");
    });
    assert_eq!(worker.state(), WorkerState::Stopped);
}

#[tokio::test]
async fn the_last_handle_or_session_stops_the_worker() {
    let mut bench = Bench::new();
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    let mut states = worker.watch();
    drop(worker);
    let Asked { call, .. } = streaming(&mut fake, session.as_mut()).await;
    drop(session);
    fake.expect(ToWorker::Cancel { call }).await;
    fake.expect(ToWorker::Close { session: 1 }).await;
    assert_eq!(fake.receive().await, None);
    fake.die("exited with status 0");
    soon(states.wait_for(|status| status.state == WorkerState::Stopped)).await.unwrap();
    assert_eq!(bench.supervisor.cpu.seated(), 0);
}

#[tokio::test]
async fn a_worker_that_grows_over_its_bound_is_killed_and_both_numbers_are_told() {
    let mut bench =
        Bench::with(SupervisorConfig { memory_check: Duration::from_millis(1), ..SupervisorConfig::default() });
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    streaming(&mut fake, session.as_mut()).await;
    fake.memory.lock().resident = 3_000_000_000;
    let error = session.next().await.unwrap_err();
    assert_eq!(error.reason, Reason::WorkerLost);
    let told = "the worker for storyteller@1.0.0 was killed, because it had 3000000000 bytes resident, over its bound \
                of 1677771600 ";
    assert!(error.message.starts_with(told), "{}", error.message);
    assert!(fake.killed.is_cancelled());
    bench.ready(&worker).await;
    assert_eq!(worker.restarts(), 1);
}

#[tokio::test]
async fn a_worker_that_stays_under_its_bound_serves_on() {
    let mut bench =
        Bench::with(SupervisorConfig { memory_check: Duration::from_millis(1), ..SupervisorConfig::default() });
    let (worker, fake) = bench.started().await;
    *fake.memory.lock() = Memory { resident: 1_610_667_736, data: u64::MAX };
    // The meter is read again after the change, and nothing comes of it.
    let looked = fake.looks.load(Ordering::Relaxed);
    until(|| fake.looks.load(Ordering::Relaxed) > looked + 1).await;
    assert!(matches!(worker.state(), WorkerState::Ready { .. }));
    assert!(!fake.killed.is_cancelled());
}

#[tokio::test]
async fn a_state_is_dated_when_it_is_entered_and_not_when_it_is_looked_at() {
    let mut bench = Bench::new();
    let before = SystemTime::now();
    let (worker, mut fake) = bench.started().await;
    let entered = worker.status();
    assert!(entered.since >= before && entered.since <= SystemTime::now());
    // What the process says meanwhile does not make it ready anew.
    fake.read_by(&worker).await;
    assert_eq!(worker.status(), entered);
    fake.die("ended by SIGSEGV");
    state(&worker, |state| matches!(state, WorkerState::Starting { .. })).await;
    assert!(worker.status().since >= entered.since);
}

#[tokio::test]
async fn the_cage_of_a_worker_is_known_while_it_computes() {
    let mut bench = Bench::new();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    assert_eq!(worker.cage(), []);
    fake.greet().await;
    fake.receive().await;
    let rules = vec![("seccomp".to_owned(), None), ("landlock".to_owned(), Some("this kernel has none".to_owned()))];
    fake.send(FromWorker::Ready(Loaded { cage: rules.clone(), ..loaded() })).await;
    soon(worker.ready()).await.unwrap();
    assert_eq!(worker.cage(), rules);
    fake.die("ended by SIGSEGV");
    state(&worker, |state| !matches!(state, WorkerState::Ready { .. })).await;
    assert_eq!(worker.cage(), []);
}
