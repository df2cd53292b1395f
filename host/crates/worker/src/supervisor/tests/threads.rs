//! Who computes with how many threads, as the workers hear it.

use super::*;

/// Four cores, and workers that are busy for so long after their last call.
fn bench(busy_for: Duration) -> Bench {
    Bench::with(SupervisorConfig { cores: 4, busy_for, ..SupervisorConfig::default() })
}

#[tokio::test]
async fn a_worker_hears_of_its_threads_before_its_compute_and_the_others_hear_of_theirs() {
    let mut bench = bench(Duration::from_secs(3600));
    let ((one, mut first), (two, mut second)) = (bench.started().await, bench.started().await);
    assert_eq!((first.threads, second.threads), (3, 3), "nobody computes while they load");
    let (mut of_one, mut of_two) = (open(&one, &context()), open(&two, &context()));
    let mut alone = of_one.compute(stream());
    assert!(futures::poll!(&mut alone).is_pending());
    assert_eq!(first.told().await, 4);
    first.asked().await;
    let mut compute = of_two.compute(stream());
    assert!(futures::poll!(&mut compute).is_pending());
    assert_eq!(second.told().await, 2);
    second.asked().await;
    assert_eq!(first.told().await, 2);
}

#[tokio::test]
async fn a_worker_gets_no_more_threads_than_its_bundle_says_and_the_others_get_the_rest() {
    let mut bench = bench(Duration::from_secs(3600));
    let one = bench.supervisor.start(spec_of_threads(1), Class::Serving);
    let mut first = bench.ready(&one).await;
    let (two, mut second) = bench.started().await;
    assert_eq!((first.threads, second.threads), (1, 3));
    let (mut of_one, mut of_two) = (open(&one, &context()), open(&two, &context()));
    // It has what it was loaded with, so it is told nothing before its compute, though three cores are free.
    let mut alone = of_one.compute(stream());
    assert!(futures::poll!(&mut alone).is_pending());
    assert!(matches!(next(&mut first).await, ToWorker::Compute { .. }));
    // Beside it there are three of four, with which the other one was loaded.
    let mut compute = of_two.compute(stream());
    assert!(futures::poll!(&mut compute).is_pending());
    assert!(matches!(next(&mut second).await, ToWorker::Compute { .. }));
    soon(one.stop(Duration::ZERO)).await;
    assert_eq!(second.told().await, 4);
}

/// The next message but pings.
async fn next(fake: &mut Fake) -> ToWorker {
    loop {
        match fake.receive_any().await.unwrap() {
            ToWorker::Ping => {}
            message => return message,
        }
    }
}

#[tokio::test]
async fn a_worker_without_computes_leaves_its_cores_to_the_others() {
    let mut bench = bench(Duration::from_millis(1));
    let ((one, mut first), (two, mut second)) = (bench.started().await, bench.started().await);
    let (mut of_one, mut of_two) = (open(&one, &context()), open(&two, &context()));
    streaming(&mut first, of_one.as_mut()).await;
    let (answer, ()) = tokio::join!(of_two.compute(generate("{}")), async {
        assert_eq!(second.told().await, 2);
        let call = second.asked().await.call;
        assert_eq!(first.told().await, 2);
        second.piece(call, "x", 1, Some(FinishReason::Stop)).await;
    });
    answer.unwrap();
    assert_eq!(first.told().await, 4);
}

#[tokio::test]
async fn a_worker_that_dies_leaves_its_cores_to_the_others_at_once() {
    let mut bench = bench(Duration::from_secs(3600));
    let ((one, mut first), (two, mut second)) = (bench.started().await, bench.started().await);
    let (mut of_one, mut of_two) = (open(&one, &context()), open(&two, &context()));
    streaming(&mut first, of_one.as_mut()).await;
    let mut compute = of_two.compute(stream());
    assert!(futures::poll!(&mut compute).is_pending());
    assert_eq!(second.told().await, 2);
    assert_eq!(first.told().await, 2);
    second.die("ended by SIGKILL");
    assert_eq!(first.told().await, 4);
}

#[tokio::test]
async fn a_worker_that_loads_beside_busy_ones_takes_one_thread() {
    let mut bench = bench(Duration::from_secs(3600));
    let (worker, mut fake) = bench.started().await;
    let mut session = open(&worker, &context());
    streaming(&mut fake, session.as_mut()).await;
    let _second = bench.start();
    assert_eq!(bench.launched().await.threads, 1);
}

#[tokio::test]
async fn a_shadow_runs_in_the_background_and_takes_no_threads() {
    let mut bench = bench(Duration::from_secs(3600));
    let (worker, mut fake) = bench.started().await;
    let shadow = bench.supervisor.start(spec(), Class::Shadow);
    let mut shadows = bench.ready(&shadow).await;
    assert_eq!((fake.class, shadows.class, shadows.threads), (Class::Serving, Class::Shadow, 1));
    let (mut session, mut scoring) = (open(&worker, &context()), open(&shadow, &context()));
    streaming(&mut shadows, scoring.as_mut()).await;
    // The shadow keeps its one thread and takes none.
    let mut compute = session.compute(stream());
    assert!(futures::poll!(&mut compute).is_pending());
    assert_eq!(fake.told().await, 4);
    fake.asked().await;
    drop(scoring);
    loop {
        match shadows.receive_any().await.unwrap() {
            ToWorker::Close { .. } => break,
            ToWorker::Ping | ToWorker::Cancel { .. } => {}
            other => panic!("a shadow was told {other:?}"),
        }
    }
}
