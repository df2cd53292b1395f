//! A GPU's worker goes first, and the processor takes over where it fails.

use super::*;
use crate::supervisor::Gpu;
use bobbin_inference::wire::Offloaded;

fn bench() -> Bench {
    let gpu = Gpu { program: "/opt/bobbin-worker-cuda".into(), devices: Vec::new(), layers: Some(3) };
    Bench::with(SupervisorConfig {
        gpu: Some(gpu),
        restart: RestartLimits { first_delay: Duration::ZERO, ..RestartLimits::default() },
        ..SupervisorConfig::default()
    })
}

fn offloaded() -> Offloaded {
    Offloaded { devices: "CUDA0 (a GPU)".into(), layers: 3, of: 7 }
}

#[tokio::test]
async fn the_gpus_worker_is_preferred_and_told_how_much_to_compute() {
    let mut bench = bench();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    assert_eq!(fake.target, Target::Gpu);
    fake.greet().await;
    let spec = fake.load_spec().await;
    assert_eq!(spec.gpu, Some(Offload { layers: Some(3), cells: 512 }));
    fake.send(FromWorker::Ready(Loaded { gpu: Some(offloaded()), ..loaded() })).await;
    soon(worker.ready()).await.unwrap();
    assert_eq!(worker.gpu(), Some(Ok(offloaded())));
}

#[tokio::test]
async fn where_it_does_not_load_the_processor_does_and_the_reason_is_kept() {
    let mut bench = bench();
    let worker = bench.start();
    let mut fake = bench.launched().await;
    fake.greet().await;
    fake.load_spec().await;
    fake.send(FromWorker::LoadFailed { message: "no kernel image is available".into() }).await;
    let mut fake = bench.launched().await;
    assert_eq!(fake.target, Target::Processor);
    fake.greet().await;
    assert_eq!(fake.load().await.gpu, None);
    soon(worker.ready()).await.unwrap();
    let reason = worker.gpu().unwrap().unwrap_err();
    for part in ["no kernel image is available", "the processor computes"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(worker.restarts(), 0, "nobody has seen it die");
}

#[tokio::test]
async fn where_it_dies_before_it_has_answered_the_processor_goes_on() {
    let mut bench = bench();
    let worker = bench.start();
    let fake = bench.ready(&worker).await;
    assert_eq!(fake.target, Target::Gpu);
    fake.die("ended by SIGABRT; last words: CUDA error: out of memory");
    let fake = bench.ready(&worker).await;
    assert_eq!(fake.target, Target::Processor);
    assert!(worker.gpu().unwrap().unwrap_err().contains("CUDA error: out of memory"));
    fake.die("ended by SIGKILL");
    assert_eq!(bench.ready(&worker).await.target, Target::Processor);
}

#[tokio::test]
async fn a_model_that_neither_can_load_has_failed() {
    let mut bench = bench();
    let worker = bench.start();
    for message in ["bad weights, says the GPU", "bad weights, says the processor"] {
        let mut fake = bench.launched().await;
        fake.greet().await;
        fake.load_spec().await;
        fake.send(FromWorker::LoadFailed { message: message.into() }).await;
    }
    let failure = soon(worker.ready()).await.unwrap_err();
    assert!(failure.reason.contains("says the processor"), "{failure}");
}
