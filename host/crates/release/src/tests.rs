//! Behaviour of pins and leases, on releases without a worker.

use crate::{Declared, ReleaseId, Releases, State, Table};
use bobbin_inference::{
    Account, BundleLog, CauseSlot, Deadlines, InferenceRecord, Reason, Recorder, RequestContext, RequestId, TraceParent,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    assert_eq!((error.reason, error.retryable), (Reason::VersionFailed, false));
    assert!(error.message.contains("another digest"), "{}", error.message);
    let readiness = releases.readiness();
    assert!(!readiness.is_ready());
    assert_eq!(readiness.0[0].state, State::Failed);
}

/// Remembers what was refused: trigger and graph.
#[derive(Default)]
struct Refusals(Mutex<Vec<(String, String)>>);

impl Recorder for Refusals {
    fn record(&self, _record: InferenceRecord) {}

    fn refused(&self, trigger: &Arc<str>, graph: &str) {
        self.0.lock().unwrap().push((trigger.to_string(), graph.to_owned()));
    }
}

#[test]
fn a_refused_graph_is_recorded_even_where_the_trigger_is_granted_nothing() {
    let recorder = Arc::new(Refusals::default());
    let releases = Releases::new(
        Table::declared(&[declared("a", "story", "s@1.0.0")]),
        Arc::clone(&recorder) as Arc<dyn Recorder>,
    );
    for trigger in ["a", "b"] {
        let context = RequestContext {
            id: RequestId::new(),
            trace: TraceParent::start(),
            trigger: trigger.into(),
            principal: None,
            sticky_key: None,
            deadlines: Deadlines::after(Duration::from_secs(60), Duration::from_secs(1)),
            account: Account::new(1 << 20),
            cancel: Default::default(),
            cause: CauseSlot::default(),
            bundles: BundleLog::default(),
        };
        releases.pin(trigger).refuse(&context, "secret");
    }
    let wanted = ["a", "b"].map(|trigger| (trigger.to_owned(), "secret".to_owned()));
    assert_eq!(*recorder.0.lock().unwrap(), wanted);
}
