//! What a worker is expected to need, against what it holds.

use crate::worker::{Worker, greedy, models, spec_of, text};
use bobbin_bundle::{BlobStore, Repository};
use bobbin_inference::wire::LoadSpec;
use bobbin_worker::supervisor::WorkerSpec;

/// `VmRSS` of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_worker_holds_no_more_than_its_bundle_says_it_needs_and_not_much_less() {
    let state = tempfile::tempdir().unwrap();
    let bundle = Repository::open(&models()).unwrap().find("storyteller", &"1.0.0".parse().unwrap()).unwrap();
    let bundle = bundle.verify(&BlobStore::open(state.path()).unwrap()).unwrap();
    let need = WorkerSpec::new(&bundle).unwrap().need_bytes();
    let limits = bundle.manifest().limits;
    let mut worker = Worker::ready(LoadSpec {
        bundle: bundle.id(),
        context: limits.context,
        parallel: limits.parallel,
        warm_up: Vec::new(),
        tolerance: 0.0,
        ..spec_of(bundle.weights().to_owned())
    });
    // Prompts of many sequences at once fill whole batches, and so all that is computed with.
    // They begin differently, so that they share nothing.
    let prompt = |session| format!("{session} times upon a time there was a cheerful dog. ").repeat(15);
    let calls: Vec<_> = (1..=32).map(|session| worker.start(session, text(&prompt(session), greedy(8)))).collect();
    for call in calls {
        assert_eq!(worker.finish(call).error, None);
    }
    let holds = resident(worker.pid());
    println!("needs {need} bytes, holds {holds}");
    assert!(holds <= need, "holds {holds} bytes of {need}");
    assert!(need <= holds * 3, "needs {need} bytes, and holds only {holds}");
}
