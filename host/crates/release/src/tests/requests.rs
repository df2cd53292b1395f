//! What a request sees of its releases.

use super::fake::{Behaviour, FakeAsker, Host, candidate, context, declared, stable, story, tell_a_story, text};
use crate::{Command, Declared, Edit, ReleaseId, Spec, State, Sticky};
use bobbin_inference::Reason;
use std::collections::BTreeMap;

#[tokio::test]
async fn a_trigger_sees_its_own_graphs_only() {
    let secret = ReleaseId { trigger: "b".into(), graph: "secret".into() };
    let other = Declared { id: secret, digest: "d".into(), spec: Spec::of("s@1.1.0".into()) };
    let host = Host::with(1_000_000, vec![declared("s@1.0.0"), other]).await;
    let (pins, _) = host.request();
    assert_eq!(&*pins.graph("story").unwrap().bundle(), "s@1.0.0");
    assert!(pins.graph("secret").is_none());
    let unknown = host.releases.pin(&context("unknown"), &FakeAsker::default());
    assert!(unknown.graph("story").is_none());
}

#[tokio::test]
async fn releases_that_declare_the_same_bundle_share_one_worker() {
    let id = ReleaseId { trigger: "b".into(), graph: "tale".into() };
    let other = Declared { id, digest: "d".into(), spec: Spec::of("s@1.0.0".into()) };
    let host = Host::with(1_000_000, vec![declared("s@1.0.0"), other]).await;
    assert_eq!(host.workshop.running(), ["s@1.0.0"]);
}

#[tokio::test]
async fn a_refused_graph_is_recorded_even_where_the_trigger_is_granted_nothing() {
    let host = Host::start().await;
    for trigger in ["r", "nothing"] {
        let context = context(trigger);
        host.releases.pin(&context, &FakeAsker::default()).refuse(&context, "secret");
    }
    let wanted = ["r", "nothing"].map(|trigger| (trigger.to_owned(), "secret".to_owned()));
    assert_eq!(*host.records.refused.lock(), wanted);
}

#[tokio::test]
async fn who_may_use_one_model_of_the_component_sees_no_other_and_keeps_none_alive() {
    let id = ReleaseId { trigger: "r".into(), graph: "tale".into() };
    let other = Declared { id, digest: "d".into(), spec: Spec::of("s@1.1.0".into()) };
    let host = Host::with(1_000_000, vec![declared("s@1.0.0"), other]).await;
    let context = context("r");
    let asker = FakeAsker { only: Some("story"), ..FakeAsker::default() };
    for pins in [host.releases.pin(&context, &asker), host.releases.pin_trigger("r", &asker)] {
        assert!(pins.is_restricted() && pins.graph("story").is_some() && pins.graph("tale").is_none());
        assert_eq!(pins.iter().count(), 1);
    }
    let all = host.releases.pin(&context, &FakeAsker::default());
    assert!(!all.is_restricted() && all.graph("tale").is_some());
}

#[tokio::test]
async fn a_request_keeps_the_version_it_started_with() {
    let host = Host::start().await;
    let (pins, request) = host.request();
    host.change(stable("s@1.1.0")).await.unwrap();
    let (mut session, info) = pins.graph("story").unwrap().open(&request).unwrap();
    assert_eq!(&*info.bundle, "s@1.0.0");
    let (_, _, by) = text(&session.compute(tell_a_story(false)).await.unwrap());
    drop(session);
    assert_eq!((by.as_str(), host.serves().as_str()), ("s@1.0.0", "s@1.1.0"));
    let records = host.records.made.lock();
    assert_eq!((&*records[0].bundle, records[0].generation), ("s@1.0.0", 1));
}

#[tokio::test]
async fn a_version_that_failed_says_why() {
    let host = Host::with(1_000_000, Vec::new()).await;
    let failing = Behaviour { unsound: Some("weights.gguf has another digest".into()), ..Behaviour::default() };
    host.workshop.has("s@1.0.0", failing);
    let host = host.again(vec![declared("s@1.0.0")]).await;
    let error = host.request().0.graph("story").unwrap().load().err().unwrap();
    assert_eq!((error.reason, error.retryable), (Reason::VersionFailed, false));
    assert!(error.message.contains("another digest"), "{}", error.message);
    assert_eq!(host.releases.readiness().0[0].state, State::Failed);
}

#[tokio::test]
async fn requests_are_split_by_the_weight() {
    let host = Host::start().await;
    host.change(candidate("s@1.1.0", 12.5)).await.unwrap();
    let taken = (0..10_000).filter(|_| host.serves() == "s@1.1.0").count();
    assert!((1150..=1350).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_key_never_changes_side_while_the_weight_stands_and_moves_one_way_when_it_grows() {
    let host = Host::start().await;
    host.change(candidate("s@1.1.0", 20.0)).await.unwrap();
    let sides = |host: &Host, sticky: &str| -> Vec<bool> {
        let side = |key: usize| {
            let (headers, cookies) = match sticky {
                "header" => (BTreeMap::from([("x-user", key.to_string())]), BTreeMap::new()),
                "cookie" => (BTreeMap::new(), BTreeMap::from([("sid", key.to_string())])),
                _ => (BTreeMap::new(), BTreeMap::new()),
            };
            let asker = FakeAsker { headers, cookies, client: key.to_string(), only: None };
            &*host.request_of(&asker).0.graph("story").unwrap().bundle() == "s@1.1.0"
        };
        (0..2_000).map(side).collect()
    };
    for (sticky, way) in [
        (Sticky::Header("x-user".into()), "header"),
        (Sticky::Cookie("sid".into()), "cookie"),
        (Sticky::Client, "client"),
    ] {
        host.change(candidate("s@1.1.0", 20.0)).await.unwrap();
        host.change(Command::Put(Edit { sticky: Some(sticky), ..Edit::default() })).await.unwrap();
        let before = sides(&host, way);
        assert_eq!(before, sides(&host, way), "{way}");
        host.change(candidate("s@1.1.0", 30.0)).await.unwrap();
        let after = sides(&host, way);
        assert!(before.iter().zip(&after).all(|(before, after)| !before || *after), "{way}: a key went back");
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!((140..=260).contains(&moved), "{way}: {moved} of 2000 keys moved for ten percent more");
    }
}

#[tokio::test]
async fn a_tester_asks_for_a_side_where_the_release_allows_it() {
    let host = Host::start().await;
    host.change(candidate("s@1.1.0", 0.0)).await.unwrap();
    let asks = |word: &str| {
        let headers = BTreeMap::from([("bobbin-version", word.to_owned())]);
        let asker = FakeAsker { headers, ..FakeAsker::default() };
        host.request_of(&asker).0.graph("story").unwrap().bundle().to_string()
    };
    assert_eq!(asks("candidate"), "s@1.0.0", "not allowed yet");
    host.change(Command::Put(Edit { version_header: Some(true), ..Edit::default() })).await.unwrap();
    for word in ["candidate", "s@1.1.0", "1.1.0"] {
        assert_eq!(asks(word), "s@1.1.0", "{word}");
    }
    for word in ["stable", "1.0.0", "9.9.9"] {
        assert_eq!(asks(word), "s@1.0.0", "{word}");
    }
}

#[tokio::test]
async fn a_candidate_that_does_not_answer_gets_no_request() {
    let host = Host::start().await;
    host.change(candidate("s@1.1.0", 100.0)).await.unwrap();
    assert_eq!(host.serves(), "s@1.1.0");
    let running = host.releases.serving("s@1.1.0").unwrap();
    running.live().unwrap().stop(std::time::Duration::ZERO).await;
    assert_eq!(host.serves(), "s@1.0.0");
    assert_eq!(host.releases.find("story").unwrap(), story());
}

#[tokio::test]
async fn a_pin_on_one_version_is_for_those_that_are_live_and_moves_to_no_other() {
    let host = Host::start().await;
    let pin = |bundle: &str| host.releases.pin_version(&story(), bundle);
    assert!(pin("s@1.1.0").is_none(), "it has no role");
    host.change(candidate("s@1.1.0", 0.0)).await.unwrap();
    for bundle in ["s@1.0.0", "s@1.1.0"] {
        assert_eq!(&*pin(bundle).unwrap().bundle(), bundle);
    }
    host.change(Command::Promote).await.unwrap();
    let kept = pin("s@1.0.0").expect("the previous version is kept warm");
    let context = context("admin:playground");
    let (mut session, info) = kept.open(&context).unwrap();
    assert_eq!(&*info.bundle, "s@1.0.0");
    let (_, _, by) = text(&session.compute(tell_a_story(false)).await.unwrap());
    assert_eq!(by, "s@1.0.0");
    drop(session);
    assert_eq!(
        host.records.made.lock().last().map(|record| record.trigger.to_string()),
        Some("admin:playground".into())
    );
    let unknown = ReleaseId { trigger: "r".into(), graph: "none".into() };
    assert!(host.releases.pin_version(&unknown, "s@1.0.0").is_none());
}
