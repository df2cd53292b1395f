//! How releases change, and how they refuse to.

use super::fake::{Behaviour, Host, candidate, change, declared, stable, story};
use crate::{Accepted, ChangeError, Command, Edit, Policy, Sighting, State};
use std::sync::Arc;
use tokio::sync::Semaphore;

fn gated() -> (Behaviour, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    (Behaviour { gate: Arc::clone(&gate), ..Behaviour::default() }, gate)
}

fn code<T: std::fmt::Debug>(result: Result<T, ChangeError>) -> &'static str {
    result.unwrap_err().code()
}

#[tokio::test]
async fn the_old_version_serves_until_the_new_one_is_ready() {
    let host = Host::start().await;
    let (behaviour, gate) = gated();
    host.workshop.has("s@1.1.0", behaviour);
    let accepted = host.releases.change(&story(), change(1, stable("s@1.1.0"))).await.unwrap();
    let Accepted::Pending(view, outcome) = accepted else { panic!("it cannot be ready") };
    assert_eq!((view.generation, view.pending.unwrap().who.as_str()), (1, "alice"));
    host.until(|kind, data| kind == "change" && data["step"] == "loading").await;
    assert_eq!(host.serves(), "s@1.0.0");
    gate.add_permits(1);
    let view = outcome.wait().await.unwrap();
    assert_eq!((view.generation, &*view.stable.bundle, view.stable.state), (2, "s@1.1.0", State::Ready));
    assert!(view.pending.is_none());
    assert_eq!(host.serves(), "s@1.1.0");
}

#[tokio::test]
async fn a_stale_generation_is_refused_with_the_current_one() {
    let host = Host::start().await;
    host.change(stable("s@1.1.0")).await.unwrap();
    let error = host.change_of(1, stable("s@1.2.0")).await.unwrap_err();
    assert_eq!((error.code(), error.current_generation()), ("stale_generation", Some(2)));
    assert_eq!(host.serves(), "s@1.1.0");
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins() {
    let host = Host::start().await;
    let (a, b) = tokio::join!(host.change_of(1, stable("s@1.1.0")), host.change_of(1, stable("s@1.2.0")));
    let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
    let won = won.unwrap();
    assert_eq!(won.generation, 2);
    assert!(["stale_generation", "change_in_progress"].contains(&code(lost)));
    assert_eq!(host.serves(), *won.stable.bundle);
    assert_eq!(host.releases.history(&story(), 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_version_that_fails_changes_nothing_but_what_is_said_of_it() {
    let host = Host::start().await;
    let unsound = Behaviour { unsound: Some("weights.gguf is truncated".into()), ..Behaviour::default() };
    let unloadable = Behaviour { unloadable: Some("its fingerprint differs by 3.1".into()), ..Behaviour::default() };
    for (behaviour, reason) in [(unsound, "truncated"), (unloadable, "fingerprint")] {
        host.workshop.has("s@1.1.0", behaviour);
        for command in [stable("s@1.1.0"), candidate("s@1.1.0", 50.0)] {
            let error = host.change(command).await.unwrap_err();
            assert_eq!(error.code(), "version_failed");
            let view = host.view().await;
            assert_eq!((view.generation, view.candidate.is_none()), (1, true));
            let failure = view.failure.unwrap();
            assert!(failure.detail.contains(reason) && error.to_string().contains(reason), "{}", failure.detail);
            host.until(|kind, data| kind == "change" && data["step"] == "failed" && data["code"] == "version_failed")
                .await;
        }
    }
    assert_eq!((host.serves(), host.workshop.running()), ("s@1.0.0".into(), vec!["s@1.0.0".into()]));
    // A repaired one is tried afresh.
    host.workshop.has("s@1.1.0", Behaviour::default());
    assert!(host.change(stable("s@1.1.0")).await.unwrap().failure.is_none());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_loaded() {
    let host = Host::start().await;
    assert_eq!(code(host.change(stable("s@9.9.9")).await), "unknown_bundle");
    assert_eq!(code(host.change(candidate("s@1.0.0", 10.0)).await), "invalid_change");
    host.workshop.has("e@1.0.0", Behaviour { kind: "embed", ..Behaviour::default() });
    for command in [stable("e@1.0.0"), candidate("e@1.0.0", 10.0)] {
        let error = host.change(command).await.unwrap_err();
        assert_eq!(error.code(), "invalid_change");
        assert!(
            error.to_string().contains("e@1.0.0 is there to embed, and s@1.0.0, which serves, to generate"),
            "{error}"
        );
    }
    assert_eq!(code(host.change(Command::Promote).await), "nothing_to_promote");
    assert_eq!(code(host.change(Command::Rollback).await), "nothing_to_roll_back");
    assert_eq!(code(host.releases.find("tale")), "unknown_release");
    assert_eq!(code(host.releases.cancel(&story()).await), "nothing_pending");
    assert_eq!((host.view().await.generation, host.workshop.most_at_once()), (1, 1));
}

#[tokio::test]
async fn a_canary_is_promoted_and_rolled_back_without_loading_anything_again() {
    let host = Host::start().await;
    host.change(candidate("s@1.1.0", 10.0)).await.unwrap();
    host.workshop.has("s@1.0.0", Behaviour { unsound: Some("loaded again".into()), ..Behaviour::default() });
    host.workshop.has("s@1.1.0", Behaviour { unsound: Some("loaded again".into()), ..Behaviour::default() });
    let promoted = host.change(Command::Promote).await.unwrap();
    assert_eq!((&*promoted.stable.bundle, promoted.candidate.is_none()), ("s@1.1.0", true));
    assert!(promoted.previous.unwrap().warm_until.is_some());
    let back = host.change(Command::Rollback).await.unwrap();
    assert_eq!((&*back.stable.bundle, back.generation), ("s@1.0.0", 4));
    let actions: Vec<_> = host.releases.history(&story(), 10).await.unwrap().into_iter().map(|c| c.stable).collect();
    assert_eq!(actions.iter().map(|b| &**b).collect::<Vec<_>>(), ["s@1.0.0", "s@1.1.0", "s@1.0.0", "s@1.0.0"]);
}

#[tokio::test]
async fn a_change_can_be_given_up_and_is_overtaken_by_a_rollback() {
    let host = Host::start().await;
    host.change(stable("s@1.1.0")).await.unwrap();
    for give_up in [true, false] {
        let (behaviour, _gate) = gated();
        host.workshop.has("s@1.2.0", behaviour);
        let generation = host.view().await.generation;
        let accepted = host.releases.change(&story(), change(generation, stable("s@1.2.0"))).await.unwrap();
        let Accepted::Pending(_, outcome) = accepted else { panic!("it cannot be ready") };
        assert_eq!(code(host.change(candidate("s@1.0.0", 1.0)).await), "change_in_progress");
        if give_up {
            host.releases.cancel(&story()).await.unwrap();
        } else {
            host.change(Command::Rollback).await.unwrap();
        }
        assert_eq!(code(outcome.wait().await), "superseded");
        let serves = if give_up { "s@1.1.0" } else { "s@1.0.0" };
        assert_eq!((host.serves().as_str(), host.view().await.pending.is_none()), (serves, true));
    }
}

#[tokio::test]
async fn memory_decides_what_comes_first() {
    // Room for one and a half.
    let host = Host::with(150, vec![declared("s@1.0.0")]).await;
    let with = |policy| Command::Put(Edit { stable: Some("s@1.1.0".into()), policy: Some(policy), ..Edit::default() });
    let refused = host.change(with(Policy::Availability)).await.unwrap_err();
    assert_eq!(refused.code(), "does_not_fit");
    assert!(refused.to_string().contains("needs 100 bytes"), "{refused}");
    let view = host.change(with(Policy::Auto)).await.unwrap();
    assert_eq!((&*view.stable.bundle, host.workshop.most_at_once()), ("s@1.1.0", 1));
    assert_eq!(host.workshop.running(), ["s@1.1.0"]);
    host.workshop.has("s@1.2.0", Behaviour { need: 151, ..Behaviour::default() });
    assert_eq!(code(host.change(stable("s@1.2.0")).await), "does_not_fit");
    assert_eq!(host.serves(), "s@1.1.0");
}

#[tokio::test]
async fn a_version_that_was_retired_for_one_that_fails_comes_back() {
    let host = Host::with(150, vec![declared("s@1.0.0")]).await;
    host.workshop.has("s@1.1.0", Behaviour { unloadable: Some("it aborts".into()), ..Behaviour::default() });
    assert_eq!(code(host.change(stable("s@1.1.0")).await), "version_failed");
    assert_eq!((host.serves().as_str(), host.workshop.running().len()), ("s@1.0.0", 1));
    assert!(host.releases.readiness().is_ready());
    assert!(host.request().0.graph("story").unwrap().load().is_ok());
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_the_change_and_the_old_generation_serves() {
    let host = Host::start().await;
    host.releases.store.fill();
    let long = crate::Change { why: Some("x".repeat(100_000)), ..change(1, stable("s@1.1.0")) };
    let Accepted::Pending(_, outcome) = host.releases.change(&story(), long).await.unwrap() else {
        panic!("not loaded")
    };
    let error = outcome.wait().await.unwrap_err();
    assert_eq!((error.code(), error.current_generation()), ("not_persisted", Some(1)));
    assert_eq!((host.serves().as_str(), host.view().await.generation), ("s@1.0.0", 1));
}

#[tokio::test]
async fn a_version_that_has_changed_since_it_was_verified_is_refused() {
    let host = Host::start().await;
    host.change(stable("s@1.1.0")).await.unwrap();
    host.change(stable("s@1.2.0")).await.unwrap();
    let host = host.again(vec![declared("s@1.0.0")]).await;
    host.workshop.has("s@1.1.0", Behaviour { digest: "sha256:11".into(), ..Behaviour::default() });
    let error = host.change(stable("s@1.1.0")).await.unwrap_err().to_string();
    assert!(error.contains("a version never changes"), "{error}");
    assert_eq!(host.serves(), "s@1.2.0");
}

#[tokio::test]
async fn a_repaired_bundle_reaches_the_release_that_waits_for_it() {
    let host = Host::with(1_000_000, Vec::new()).await;
    host.workshop.has("s@1.0.0", Behaviour { unsound: Some("truncated".into()), ..Behaviour::default() });
    let host = host.again(vec![declared("s@1.0.0")]).await;
    assert!(!host.releases.readiness().is_ready());
    host.releases.repository_changed("s@1.0.0".into(), Sighting::Changed).await;
    assert_eq!(host.releases.bundles().await.unwrap()[0].state, State::Failed);
    host.workshop.has("s@1.0.0", Behaviour::default());
    host.releases.repository_changed("s@1.0.0".into(), Sighting::Changed).await;
    assert!(host.releases.readiness().is_ready());
    let bundles = host.releases.bundles().await.unwrap();
    assert_eq!((bundles[0].state, bundles[0].releases.as_slice()), (State::Ready, [story()].as_slice()));
}

#[tokio::test]
async fn setting_a_release_to_what_it_is_brings_failed_versions_back() {
    let host = Host::with(1_000_000, Vec::new()).await;
    host.workshop.has("s@1.0.0", Behaviour { unloadable: Some("it aborts".into()), ..Behaviour::default() });
    let host = host.again(vec![declared("s@1.0.0")]).await;
    assert!(!host.releases.readiness().is_ready());
    host.workshop.has("s@1.0.0", Behaviour::default());
    let view = host.change(stable("s@1.0.0")).await.unwrap();
    assert_eq!(view.generation, 1);
    while !host.releases.readiness().is_ready() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_change_of_settings_leaves_a_failed_version_what_it_is_and_it_can_still_be_repaired() {
    let host = Host::with(1_000_000, Vec::new()).await;
    host.workshop.has("s@1.0.0", Behaviour { unsound: Some("truncated".into()), ..Behaviour::default() });
    let host = host.again(vec![declared("s@1.0.0")]).await;
    let settings = Command::Put(Edit { drain_seconds: Some(7), ..Edit::default() });
    let view = host.change(settings).await.unwrap();
    assert_eq!((view.generation, view.stable.state), (2, State::Failed));
    assert!(view.stable.reason.unwrap().contains("truncated"));
    host.workshop.has("s@1.0.0", Behaviour::default());
    host.releases.repository_changed("s@1.0.0".into(), Sighting::Changed).await;
    assert!(host.releases.readiness().is_ready());
}

#[tokio::test]
async fn a_version_that_never_served_may_still_be_corrected_in_place() {
    let host = Host::start().await;
    let wrong = Behaviour { unloadable: Some("its fingerprint differs".into()), ..Behaviour::default() };
    host.workshop.has("s@1.1.0", wrong);
    assert_eq!(code(host.change(stable("s@1.1.0")).await), "version_failed");
    host.workshop.has("s@1.1.0", Behaviour { digest: "sha256:22".into(), ..Behaviour::default() });
    host.change(stable("s@1.1.0")).await.unwrap();
}

#[tokio::test]
async fn a_bundle_that_served_and_has_changed_is_refused_when_it_is_seen() {
    let host = Host::start().await;
    host.change(stable("s@1.1.0")).await.unwrap();
    host.workshop.has("s@1.0.0", Behaviour { digest: "sha256:33".into(), ..Behaviour::default() });
    host.releases.repository_changed("s@1.0.0".into(), Sighting::Changed).await;
    host.until(|kind, data| kind == "bundle" && data["event"] == "refused").await;
}

#[tokio::test]
async fn hashing_that_nobody_waits_for_any_more_ends() {
    let host = Host::start().await;
    let hashing = Arc::new([Semaphore::new(0), Semaphore::new(0)]);
    let endless = Behaviour { endless: Some(Arc::clone(&hashing)), ..Behaviour::default() };
    host.workshop.has("s@1.2.0", endless);
    for _ in 0..3 {
        let accepted = host.releases.change(&story(), change(1, stable("s@1.2.0"))).await.unwrap();
        let Accepted::Pending(_, outcome) = accepted else { panic!("it is never ready") };
        hashing[0].acquire().await.unwrap().forget();
        host.releases.cancel(&story()).await.unwrap();
        assert_eq!(code(outcome.wait().await), "superseded");
        hashing[1].acquire().await.unwrap().forget();
    }
    // Its turn is over, so another bundle has one.
    host.change(stable("s@1.1.0")).await.unwrap();
}

#[tokio::test]
async fn the_change_after_one_that_was_given_up_finds_all_as_it_was() {
    // Room for one: the first change has retired stable before it is given up.
    let host = Host::with(150, vec![declared("s@1.0.0")]).await;
    for command in [stable("s@1.2.0"), candidate("s@1.0.0", 10.0), stable("s@1.0.0")] {
        let generation = host.view().await.generation;
        let before = host.serves();
        let (behaviour, _gate) = gated();
        host.workshop.has("s@1.1.0", behaviour);
        let accepted = host.releases.change(&story(), change(generation, stable("s@1.1.0"))).await.unwrap();
        let Accepted::Pending(_, outcome) = accepted else { panic!("it cannot be ready") };
        while host.workshop.running() != ["s@1.1.0"] {
            tokio::task::yield_now().await;
        }
        host.releases.cancel(&story()).await.unwrap();
        let next = host.change(command.clone()).await;
        assert_eq!(code(outcome.wait().await), "superseded");
        let serves = match next {
            Ok(view) => view.stable.bundle.to_string(),
            // There is no room for a candidate beside stable, and stable is back.
            Err(error) => {
                assert_eq!((error.code(), &command), ("does_not_fit", &candidate("s@1.0.0", 10.0)));
                before
            }
        };
        while !host.releases.readiness().is_ready() {
            tokio::task::yield_now().await;
        }
        assert_eq!((host.serves(), host.workshop.running()), (serves.clone(), vec![serves]));
        assert_eq!(host.workshop.most_at_once(), 1);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_loaded_at_the_start_either() {
    let tale = crate::Declared {
        id: crate::ReleaseId { trigger: "tale".into(), graph: "story".into() },
        ..declared("s@1.1.0")
    };
    let host = Host::with(150, vec![declared("s@1.0.0"), tale]).await;
    assert_eq!(host.workshop.most_at_once(), 1);
    let unready = host.releases.readiness().0;
    let [unready] = unready.as_slice() else { panic!("{unready:?}") };
    assert_eq!(unready.state, State::Failed);
    assert!(unready.reason.as_deref().is_some_and(|reason| reason.contains("it needs 100 bytes")), "{unready:?}");
    // Nor when somebody asks for it again.
    let view = host.releases.view(&unready.release).unwrap();
    let accepted = host.releases.change(&view.id, change(1, stable(&view.stable.bundle))).await.unwrap();
    let Accepted::Pending(_, outcome) = accepted else { panic!("it is not ready") };
    assert_eq!(code(outcome.wait().await), "version_failed");
    assert_eq!(host.workshop.most_at_once(), 1);
}

#[tokio::test]
async fn what_a_removed_bundle_stored_goes_once_it_does_not_serve() {
    let host = Host::start().await;
    host.workshop.loses("s@1.0.0");
    host.releases.repository_changed("s@1.0.0".into(), Sighting::Removed).await;
    assert_eq!(host.workshop.collections(), 0, "its worker may have to start again");
    host.change(Command::Put(Edit { stable: Some("s@1.1.0".into()), keep_warm_seconds: Some(0), ..Edit::default() }))
        .await
        .unwrap();
    while host.workshop.running() != ["s@1.1.0"] {
        tokio::task::yield_now().await;
    }
    host.workshop.loses("s@1.2.0");
    host.releases.repository_changed("s@1.2.0".into(), Sighting::Removed).await;
    assert_eq!(host.workshop.collections(), 1);
}

#[tokio::test]
async fn a_version_that_was_retired_comes_back_although_its_bundle_is_gone() {
    for gone in [true, false] {
        let host = Host::with(150, vec![declared("s@1.0.0")]).await;
        if gone {
            host.workshop.loses("s@1.0.0");
        } else {
            host.workshop.has("s@1.0.0", Behaviour { unsound: Some("truncated".into()), ..Behaviour::default() });
        }
        host.workshop.has("s@1.1.0", Behaviour { unloadable: Some("it aborts".into()), ..Behaviour::default() });
        assert_eq!(code(host.change(stable("s@1.1.0")).await), "version_failed");
        assert_eq!((host.serves().as_str(), host.workshop.running().len()), ("s@1.0.0", 1));
        assert!(host.releases.readiness().is_ready());
    }
}
