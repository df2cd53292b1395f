//! Guests that make the host hold more and more: what it holds for each is bounded by the request's account.

use crate::hostile_guests::{impatient, neighbours_are_well};
use bobbin_tests::{Result, TestHost};
use futures::future::join_all;

const MIB: u64 = 1 << 20;
/// `account_bytes` of [`impatient`].
const ACCOUNT: u64 = 16 * MIB;
/// `guest_memory_bytes` of [`impatient`].
const GUEST_MEMORY: u64 = 64 * MIB;
/// What the host needs besides, for itself.
const SLACK: u64 = 32 * MIB;

#[tokio::test]
async fn guests_that_pile_up_tensors_stay_within_their_accounts() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    neighbours_are_well(&host).await?;
    let memory = host.watch_memory()?;
    for _ in 0..8 {
        let piles = join_all((0..4).map(|_| host.get("/f3/tensors?size=1048576&count=0"))).await;
        for pile in piles {
            assert_eq!(pile?.status(), 500, "a tensor over the account was accepted");
        }
    }
    // What fits is accepted, held, and counted.
    let held = host.get("/f3/tensors?size=1048576&count=8").await?;
    assert_eq!(held.json()?["tensors"], 8, "{}", held.text());
    let four = join_all((0..4).map(|_| host.get("/f3/tensors?size=1048576&count=8&hold_ms=300"))).await;
    assert!(four.into_iter().all(|pile| pile.is_ok_and(|pile| pile.status() == 200)));
    // Each guest has one tensor's bytes in its own memory, and a few pages.
    let grown = memory.peak_growth()?;
    assert!(grown < 4 * (ACCOUNT + 4 * MIB) + SLACK, "the host grew by {} MiB", grown / MIB);
    neighbours_are_well(&host).await
}

/// Whether the guest traps, is refused, or runs out of time is its own affair.
async fn a_pile_stays_bounded(path: &str) -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    neighbours_are_well(&host).await?;
    let memory = host.watch_memory()?;
    for _ in 0..2 {
        let pile = host.get(path).await?;
        assert!([200, 500, 504].contains(&pile.status()), "{path}: {} {}", pile.status(), pile.text());
    }
    let grown = memory.peak_growth()?;
    assert!(grown < ACCOUNT + GUEST_MEMORY + SLACK, "{path} made the host grow by {} MiB", grown / MIB);
    let logged = host.log().len() as u64;
    assert!(logged < MIB, "{path} made the host write {logged} bytes into its log");
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_piles_up_errors_stays_within_its_account() -> Result {
    a_pile_stays_bounded("/f3/errors-pile?size=1048576&count=1000").await
}

// As much as one set of headers may have, or nearly.
#[tokio::test]
async fn a_guest_that_piles_up_headers_stays_within_its_account() -> Result {
    a_pile_stays_bounded("/f3/fields-pile?size=30000&count=40000").await?;
    a_pile_stays_bounded("/f2/fields-pile?size=30000&count=40000").await
}

#[tokio::test]
async fn a_guest_that_piles_up_responses_that_it_never_sends_stays_within_its_account() -> Result {
    a_pile_stays_bounded("/f3/bodies-pile?size=30000&count=40000").await?;
    a_pile_stays_bounded("/f2/bodies-pile?size=1048576&count=1000").await
}

#[tokio::test]
async fn a_guest_that_piles_up_streams_stays_within_its_account() -> Result {
    a_pile_stays_bounded("/f3/streams-pile?count=10000000").await
}

#[tokio::test]
async fn sessions_and_graphs_are_bounded_by_the_account() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/f3/sessions?count=1000000", "/f3/graphs?count=1000000"] {
        let answer = host.get(path).await?;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let answer = answer.json()?;
        assert_eq!(answer["refused"]["reason"], "limit_exceeded", "{path}: {answer}");
        assert_eq!(answer["refused"]["code"], "too-large", "{path}: {answer}");
        assert!(answer["opened"].as_u64().is_some_and(|opened| opened > 0), "{path}: {answer}");
    }
    neighbours_are_well(&host).await
}
