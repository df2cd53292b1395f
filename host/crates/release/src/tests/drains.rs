//! How versions leave.

use super::fake::{Behaviour, Host, story, tell_a_story, text};
use crate::{Command, Edit, Pins};
use bobbin_inference::{Cause, FinishReason, Reason, RequestContext, Session};
use std::sync::Arc;
use tokio::sync::Semaphore;

fn replaced_by(bundle: &str, drain_seconds: u64, keep_warm_seconds: u64) -> Command {
    Command::Put(Edit {
        stable: Some(bundle.into()),
        drain_seconds: Some(drain_seconds),
        keep_warm_seconds: Some(keep_warm_seconds),
        ..Edit::default()
    })
}

/// A request whose answer has begun.
async fn begun(host: &Host) -> (Pins, Arc<RequestContext>, Box<dyn Session>) {
    let (pins, request) = host.request();
    let (mut session, _) = pins.graph("story").unwrap().open(&request).unwrap();
    session.compute(tell_a_story(true)).await.unwrap();
    (pins, request, session)
}

async fn drained(host: &Host) {
    host.until(|kind, data| kind == "drain" && data["event"] == "ended").await;
}

#[tokio::test]
async fn a_version_without_requests_leaves_at_once_and_its_worker_ends() {
    let host = Host::start().await;
    host.change(replaced_by("s@1.1.0", 30, 0)).await.unwrap();
    host.until(|kind, data| kind == "version" && data["bundle"] == "s@1.0.0" && data["state"] == "unloading").await;
    while host.workshop.running() != ["s@1.1.0"] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_finished_by_its_version() {
    let host = Host::start().await;
    let (pins, _request, mut session) = begun(&host).await;
    host.change(replaced_by("s@1.1.0", 30, 0)).await.unwrap();
    let draining = host.view().await.draining;
    assert_eq!((&*draining[0].bundle, draining[0].leases), ("s@1.0.0", 1));
    assert_eq!(text(&session.next().await.unwrap()), ("w ".into(), None, "s@1.0.0".into()));
    assert_eq!(text(&session.next().await.unwrap()).1, Some(FinishReason::Stop));
    assert_eq!(host.workshop.running().len(), 2);
    drop((session, pins));
    drained(&host).await;
    host.until(|kind, data| kind == "version" && data["bundle"] == "s@1.0.0" && data["state"] == "unloading").await;
}

#[tokio::test]
async fn the_deadline_ends_an_answer_with_an_error_that_may_be_retried() {
    let host = Host::start().await;
    let (_pins, request, mut session) = begun(&host).await;
    host.change(replaced_by("s@1.1.0", 0, 0)).await.unwrap();
    host.until(|kind, data| kind == "drain" && data["event"] == "deadline").await;
    let error = session.next().await.unwrap_err();
    assert_eq!((error.reason, error.retryable), (Reason::VersionRetired, true));
    drained(&host).await;
    assert!(request.cause.get().is_none(), "a guest that was told is not cut");
    // Whoever goes on asking in this request gets the same, and not another version.
    let error = session.compute(tell_a_story(false)).await.unwrap_err();
    assert_eq!(error.reason, Reason::VersionRetired);
    drop(session);
    assert_eq!(host.records.made.lock()[0].error, Some(Reason::VersionRetired));
}

#[tokio::test]
async fn a_guest_that_does_not_hear_is_cut() {
    let host = Host::start().await;
    let (pins, request, session) = begun(&host).await;
    host.change(replaced_by("s@1.1.0", 0, 0)).await.unwrap();
    host.until(|kind, data| kind == "drain" && data["event"] == "stuck").await;
    let draining = host.view().await.draining;
    assert!(draining[0].reason.as_deref().is_some_and(|reason| reason.contains("did not end")), "{draining:?}");
    assert_eq!(request.cause.get(), Some(&Cause::VersionRetired));
    assert!(request.cancel.is_cancelled());
    drained(&host).await;
    while host.workshop.running() != ["s@1.1.0"] {
        tokio::task::yield_now().await;
    }
    drop((session, pins));
}

#[tokio::test]
async fn a_compute_of_which_nothing_was_returned_moves_to_the_new_version() {
    let silent = Behaviour { answers: Arc::new(Semaphore::new(0)), ..Behaviour::default() };
    let host = Host::with(1_000_000, Vec::new()).await;
    host.workshop.has("s@1.0.0", silent);
    let host = host.again(vec![super::fake::declared("s@1.0.0")]).await;
    let (pins, request) = host.request();
    let (mut session, _) = pins.graph("story").unwrap().open(&request).unwrap();
    let (answer, changed) =
        tokio::join!(session.compute(tell_a_story(false)), host.change(replaced_by("s@1.1.0", 0, 0)),);
    changed.unwrap();
    assert_eq!(text(&answer.unwrap()), ("w w w ".into(), Some(FinishReason::Stop), "s@1.1.0".into()));
    drop(session);
    assert_eq!(request.bundles.header().as_deref(), Some("s@1.1.0"));
    let records = host.records.made.lock();
    let only = (records.len(), &*records[0].bundle, records[0].generation, records[0].computes, records[0].error);
    assert_eq!(only, (1, "s@1.1.0", 2, 1, None));
    assert_eq!(&*pins.graph("story").unwrap().bundle(), "s@1.1.0", "the pin was made anew");
}

#[tokio::test]
async fn a_compute_does_not_move_once_the_head_of_the_answer_is_on_its_way() {
    let silent = Behaviour { answers: Arc::new(Semaphore::new(0)), ..Behaviour::default() };
    let host = Host::with(1_000_000, Vec::new()).await;
    host.workshop.has("s@1.0.0", silent);
    let host = host.again(vec![super::fake::declared("s@1.0.0")]).await;
    let (pins, request) = host.request();
    let (mut session, _) = pins.graph("story").unwrap().open(&request).unwrap();
    let _ = request.bundles.tell();
    let (answer, changed) =
        tokio::join!(session.compute(tell_a_story(false)), host.change(replaced_by("s@1.1.0", 0, 0)),);
    changed.unwrap();
    assert_eq!(answer.unwrap_err().reason, Reason::VersionRetired);
}

#[tokio::test]
async fn a_request_that_loads_late_gets_the_version_that_serves_then() {
    let host = Host::start().await;
    let (pins, request) = host.request();
    host.change(replaced_by("s@1.1.0", 0, 0)).await.unwrap();
    drained(&host).await;
    let (_, info) = pins.graph("story").unwrap().open(&request).unwrap();
    assert_eq!(&*info.bundle, "s@1.1.0");
}

#[tokio::test]
async fn a_previous_version_is_kept_warm_for_its_time_and_then_ends() {
    let host = Host::start().await;
    let view = host.change(replaced_by("s@1.1.0", 30, 1)).await.unwrap();
    assert!(view.previous.unwrap().warm_until.is_some());
    assert_eq!(host.workshop.running(), ["s@1.0.0", "s@1.1.0"]);
    while host.workshop.running() != ["s@1.1.0"] {
        tokio::task::yield_now().await;
    }
    // A rollback loads it again.
    assert_eq!(&*host.change(Command::Rollback).await.unwrap().stable.bundle, "s@1.0.0");
}

#[tokio::test]
async fn answers_of_a_version_that_came_back_are_not_ended() {
    let host = Host::start().await;
    let (pins, _request, mut session) = begun(&host).await;
    host.change(replaced_by("s@1.1.0", 1, 600)).await.unwrap();
    host.change(Command::Rollback).await.unwrap();
    let first = host.view().await.draining[0].deadline.clone();
    // The deadline of a version that is back is put off.
    while host.view().await.draining[0].deadline == first {
        tokio::task::yield_now().await;
    }
    assert_eq!(text(&session.next().await.unwrap()).2, "s@1.0.0");
    assert_eq!(text(&session.next().await.unwrap()).1, Some(FinishReason::Stop));
    drop((session, pins));
    drained(&host).await;
    assert_eq!(host.view().await.draining.len(), 0);
    assert_eq!(host.releases.view(&story()).unwrap().stable.leases, 0);
}

#[tokio::test]
async fn a_shorter_time_to_keep_warm_counts_from_when_it_began() {
    let host = Host::start().await;
    host.change(replaced_by("s@1.1.0", 30, 600)).await.unwrap();
    let longer = Command::Put(Edit { keep_warm_seconds: Some(900), ..Edit::default() });
    assert!(host.change(longer).await.unwrap().previous.unwrap().warm_until.is_some());
    assert_eq!(host.workshop.running(), ["s@1.0.0", "s@1.1.0"]);
    let none = Command::Put(Edit { keep_warm_seconds: Some(0), ..Edit::default() });
    assert!(host.change(none).await.unwrap().previous.unwrap().warm_until.is_none());
    while host.workshop.running() != ["s@1.1.0"] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_drain_that_has_begun_can_be_shortened() {
    let host = Host::start().await;
    let (_pins, _request, mut session) = begun(&host).await;
    host.change(replaced_by("s@1.1.0", 3600, 0)).await.unwrap();
    assert_eq!(host.view().await.draining.len(), 1);
    host.change(Command::Put(Edit { drain_seconds: Some(0), ..Edit::default() })).await.unwrap();
    host.until(|kind, data| kind == "drain" && data["event"] == "deadline").await;
    assert_eq!(session.next().await.unwrap_err().reason, Reason::VersionRetired);
    drained(&host).await;
}
