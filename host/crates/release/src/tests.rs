//! Behaviour of pins and leases, on releases without a worker.

use crate::{Declared, ReleaseId, Releases, State, Table};
use bobbin_inference::{InferenceRecord, Reason, Recorder};
use std::sync::Arc;

struct Ignore;

impl Recorder for Ignore {
    fn record(&self, _record: InferenceRecord) {}
}

fn declared(trigger: &str, graph: &str, bundle: &str) -> Declared {
    Declared { id: ReleaseId { trigger: trigger.into(), graph: graph.into() }, stable: bundle.into() }
}

fn releases(declared: &[Declared]) -> Releases {
    Releases::new(Table::declared(declared), Arc::new(Ignore))
}

#[test]
fn a_trigger_sees_its_own_graphs_only() {
    let releases = releases(&[declared("a", "story", "s@1.0.0"), declared("b", "secret", "x@1.0.0")]);
    let pins = releases.pin("a");
    assert_eq!(&**pins.graph("story").unwrap().bundle(), "s@1.0.0");
    assert!(pins.graph("secret").is_none());
    assert!(releases.pin("unknown").graph("story").is_none());
}

#[test]
fn triggers_that_declare_the_same_bundle_share_one_version() {
    let releases = releases(&[declared("a", "story", "s@1.0.0"), declared("b", "tale", "s@1.0.0")]);
    assert_eq!(releases.versions().len(), 1);
}

#[test]
fn a_lease_lasts_as_long_as_the_request() {
    let releases = releases(&[declared("a", "story", "s@1.0.0")]);
    let version = releases.versions().remove(0);
    let pins = releases.pin("a");
    let copy = pins.clone();
    assert_eq!(version.leases(), 1);
    drop(pins);
    assert_eq!(version.leases(), 1);
    drop(copy);
    assert_eq!(version.leases(), 0);
}

#[test]
fn a_version_that_is_not_ready_is_unavailable_and_says_why() {
    let releases = releases(&[declared("a", "story", "s@1.0.0")]);
    let version = releases.versions().remove(0);
    version.enter(State::Failed, Some("weights.gguf has another digest".into()));
    let error = releases.pin("a").graph("story").unwrap().load().err().unwrap();
    assert_eq!(error.reason, Reason::WorkerUnavailable);
    assert!(error.message.contains("another digest"), "{}", error.message);
    let readiness = releases.readiness();
    assert!(!readiness.is_ready());
    assert_eq!(readiness.0[0].state, State::Failed);
}
