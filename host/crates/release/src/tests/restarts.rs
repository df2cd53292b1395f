//! What a host that starts again finds.

use super::fake::{Host, candidate, declared, stable, story};
use crate::{Command, Declared};

#[tokio::test]
async fn what_was_live_is_live_again() {
    let host = Host::start().await;
    host.change(stable("s@1.1.0")).await.unwrap();
    host.change(candidate("s@1.2.0", 100.0)).await.unwrap();
    let host = host.again(vec![declared("s@1.0.0")]).await;
    let view = host.view().await;
    assert_eq!((view.generation, &*view.stable.bundle), (3, "s@1.1.0"));
    assert_eq!(host.serves(), "s@1.2.0");
    assert!(host.notices[0].contains("generation 3, by alice"), "{:?}", host.notices);
    // Where a rollback leads is remembered too, though nothing is kept warm over a restart.
    assert_eq!(&*host.change(Command::Rollback).await.unwrap().stable.bundle, "s@1.0.0");
}

#[tokio::test]
async fn a_changed_declaration_begins_a_new_generation_and_says_so() {
    let host = Host::start().await;
    host.change(stable("s@1.1.0")).await.unwrap();
    let host = host.again(vec![declared("s@1.2.0")]).await;
    let view = host.view().await;
    assert_eq!((view.generation, &*view.stable.bundle, view.changed.who.as_str()), (3, "s@1.2.0", "spin.toml"));
    assert!(host.notices[0].contains("generation 3 follows it"), "{:?}", host.notices);
    let host = host.again(vec![declared("s@1.2.0")]).await;
    assert_eq!((host.view().await.generation, host.notices.len()), (3, 0));
}

#[tokio::test]
async fn other_releases_keep_what_they_have_when_one_declaration_changes() {
    let tale = |digest: &str| Declared {
        id: crate::ReleaseId { trigger: "r".into(), graph: "tale".into() },
        digest: digest.into(),
        ..declared("s@1.0.0")
    };
    let host = Host::with(1_000_000, vec![declared("s@1.0.0"), tale("a")]).await;
    host.change(stable("s@1.1.0")).await.unwrap();
    let host = host.again(vec![declared("s@1.0.0"), tale("b")]).await;
    assert_eq!(host.releases.view(&story()).unwrap().generation, 2);
    assert_eq!(host.releases.view(&tale("b").id).unwrap().generation, 2);
    assert_eq!(host.serves(), "s@1.1.0");
}
