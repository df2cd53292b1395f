//! Versions that requests ask for by their exact names.

use super::fake::{FakeAsker, Host, candidate, context, declared, stable, story, tell_a_story, text};
use crate::{Command, Declared, Edit, Pins, ReleaseId, Spec};
use bobbin_inference::{FinishReason, Reason};
use std::sync::Arc;

/// The release of the route "r", which lets requests ask for exact versions.
fn exact(stable: &str, retires: Option<u64>) -> Declared {
    let declared = declared(stable);
    Declared { spec: Spec { exact_versions: true, retires, ..declared.spec }, ..declared }
}

async fn host() -> Host {
    Host::with(1_000_000, vec![exact("s@1.0.0", None)]).await
}

fn keep_warm(seconds: u64) -> Command {
    Command::Put(Edit { keep_warm_seconds: Some(seconds), ..Edit::default() })
}

fn names(pins: &Pins) -> Vec<(String, String)> {
    pins.catalog().into_iter().map(|model| (model.name.to_string(), model.info.bundle.to_string())).collect()
}

fn listed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, bundle)| ((*name).to_owned(), (*bundle).to_owned())).collect()
}

#[tokio::test]
async fn every_live_version_of_a_release_that_allows_it_has_its_own_name() {
    let host = host().await;
    host.change(candidate("s@1.1.0", 0.0)).await.unwrap();
    let (pins, request) = host.request();
    let expected = [("s@1.0.0", "s@1.0.0"), ("s@1.1.0", "s@1.1.0"), ("story", "s@1.0.0")];
    assert_eq!(names(&pins), listed(&expected));
    // Its candidate gets no request of the release's, and every one that asks for it.
    let (mut session, info) = pins.graph("s@1.1.0").unwrap().open(&request).unwrap();
    assert_eq!(&*info.bundle, "s@1.1.0");
    assert_eq!(text(&session.compute(tell_a_story(false)).await.unwrap()).2, "s@1.1.0");
    drop(session);
    let records = host.records.made.lock();
    assert_eq!((&*records[0].graph, &*records[0].bundle), ("story", "s@1.1.0"));
}

#[tokio::test]
async fn a_release_that_does_not_allow_it_has_no_such_name() {
    let host = Host::start().await;
    host.change(candidate("s@1.1.0", 50.0)).await.unwrap();
    let pins = host.request().0;
    assert!(["s@1.0.0", "s@1.1.0"].iter().all(|name| pins.graph(name).is_none()));
    assert_eq!(names(&pins).len(), 1);
    let view = host.view().await;
    let candidates = view.candidate.map_or(0, |candidate| candidate.version.leases);
    assert_eq!(view.stable.leases + candidates, 1, "one lease for one name");
}

#[tokio::test]
async fn a_replaced_version_answers_who_asks_for_it_as_long_as_it_is_kept_warm() {
    let host = host().await;
    let (pins, request) = host.request();
    let (mut session, _) = pins.graph("s@1.0.0").unwrap().open(&request).unwrap();
    session.compute(tell_a_story(true)).await.unwrap();
    host.change(stable("s@1.1.0")).await.unwrap();
    // The answer that has begun is in no hurry, since its version is in service still.
    assert!(host.view().await.draining.is_empty());
    assert_eq!(text(&session.next().await.unwrap()).2, "s@1.0.0");
    let (later, request) = host.request();
    assert_eq!((host.serves().as_str(), &*later.graph("s@1.0.0").unwrap().bundle()), ("s@1.1.0", "s@1.0.0"));
    let (mut again, _) = later.graph("s@1.0.0").unwrap().open(&request).unwrap();
    assert_eq!(text(&again.compute(tell_a_story(false)).await.unwrap()).2, "s@1.0.0");
    drop((later, again));

    host.change(keep_warm(0)).await.unwrap();
    let gone = host.request().0;
    assert!(gone.graph("s@1.0.0").is_none() && gone.graph("s@1.1.0").is_some());
    let draining = host.view().await.draining;
    assert_eq!((&*draining[0].bundle, draining[0].leases), ("s@1.0.0", 2));
    assert_eq!(text(&session.next().await.unwrap()).1, Some(FinishReason::Stop));
    drop((session, pins));
    while host.workshop.running() != ["s@1.1.0"] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn going_back_and_forth_keeps_requests_and_workers() {
    let host = host().await;
    let (pins, request) = host.request();
    let (mut session, _) = pins.graph("s@1.0.0").unwrap().open(&request).unwrap();
    session.compute(tell_a_story(true)).await.unwrap();
    for bundle in ["s@1.1.0", "s@1.0.0", "s@1.1.0", "s@1.0.0"] {
        host.change(stable(bundle)).await.unwrap();
        let expected = [("s@1.0.0", "s@1.0.0"), ("s@1.1.0", "s@1.1.0"), ("story", bundle)];
        assert_eq!(names(&host.request().0), listed(&expected));
        assert!(host.view().await.draining.is_empty());
    }
    assert_eq!(text(&session.next().await.unwrap()).2, "s@1.0.0");
    assert_eq!(host.workshop.running().len(), 2);
}

#[tokio::test]
async fn what_was_asked_for_exactly_never_becomes_another_version() {
    let host = host().await;
    let (pins, request) = host.request();
    let edit = Edit { drain_seconds: Some(0), keep_warm_seconds: Some(0), ..Edit::default() };
    host.change(Command::Put(Edit { stable: Some("s@1.1.0".into()), ..edit })).await.unwrap();
    host.until(|kind, data| kind == "drain" && data["event"] == "ended").await;
    assert_eq!(&*pins.graph("story").unwrap().load().unwrap().info().bundle, "s@1.1.0");
    let error = pins.graph("s@1.0.0").unwrap().open(&request).err().unwrap();
    assert_eq!((error.reason, error.retryable), (Reason::VersionRetired, true));
    assert!(error.message.contains("s@1.0.0"), "{}", error.message);
}

#[tokio::test]
async fn who_may_not_use_the_graph_may_not_use_its_versions_either() {
    let id = ReleaseId { trigger: "r".into(), graph: "tale".into() };
    let tale = Declared { id, digest: "d".into(), spec: Spec::of("s@1.1.0".into()) };
    let host = Host::with(1_000_000, vec![exact("s@1.0.0", None), tale]).await;
    let only = |graph| host.request_of(&FakeAsker { only: Some(graph), ..FakeAsker::default() }).0;
    assert_eq!(names(&only("tale")), listed(&[("tale", "s@1.1.0")]));
    assert_eq!(names(&only("story")), listed(&[("s@1.0.0", "s@1.0.0"), ("story", "s@1.0.0")]));
}

#[tokio::test]
async fn a_version_that_answers_for_two_graphs_has_one_name() {
    let id = ReleaseId { trigger: "r".into(), graph: "tale".into() };
    let tale = Declared { id, digest: "d".into(), ..exact("s@1.0.0", None) };
    let host = Host::with(1_000_000, vec![exact("s@1.0.0", None), tale]).await;
    let expected = [("s@1.0.0", "s@1.0.0"), ("story", "s@1.0.0"), ("tale", "s@1.0.0")];
    assert_eq!(names(&host.request().0), listed(&expected));
    assert!(host.releases.pin(&context("unknown"), &FakeAsker::default()).catalog().is_empty());
}

#[tokio::test]
async fn a_version_that_is_only_kept_warm_makes_room_whoever_may_ask_for_it() {
    let host = Host::with(250, vec![exact("s@1.0.0", None)]).await;
    host.change(stable("s@1.1.0")).await.unwrap();
    assert_eq!(names(&host.request().0).len(), 3);
    host.change(candidate("s@1.2.0", 10.0)).await.unwrap();
    let pins = host.request().0;
    assert!(pins.graph("s@1.0.0").is_none() && pins.graph("s@1.2.0").is_some());
    assert_eq!(host.workshop.running().len(), 2);
}

#[tokio::test]
async fn a_catalog_says_when_a_version_stops_answering() {
    const RETIRES: u64 = 4_000_000_000;
    let host = Host::with(1_000_000, vec![exact("s@1.0.0", Some(RETIRES))]).await;
    let retires = |pins: &Pins| -> Vec<(Arc<str>, Option<u64>)> {
        pins.catalog().into_iter().map(|model| (model.name, model.retires)).collect()
    };
    let pins = host.request().0;
    assert_eq!(retires(&pins), [("s@1.0.0".into(), Some(RETIRES)), ("story".into(), Some(RETIRES))]);
    assert!(pins.retirements().iter().all(|(bundle, at)| (&**bundle, *at) == ("s@1.0.0", RETIRES)));
    let view = host.releases.view(&story()).unwrap();
    assert_eq!((view.exact_versions, view.retires.as_deref()), (true, Some("2096-10-02T07:06:40.000Z")));
    // One that is kept warm is gone when it cools.
    host.change(stable("s@1.1.0")).await.unwrap();
    let cools = retires(&host.request().0)[0].1.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now..=now + 600).contains(&cools), "{cools} is not within keep_warm_seconds of {now}");
}
