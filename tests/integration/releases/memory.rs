//! Memory that swaps take is given back.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::Context;
use bobbin_tests::{Result, TestHost, eventually};
use serde_json::json;

const SWAPS: u64 = 100;
/// Swaps after which every path was taken often enough: what is there then is the baseline.
const FIRST: u64 = 10;
/// Beside the 5 %: the events that a host remembers, up to 4096 of a few hundred bytes, most of which are still to
/// come when the baseline is taken.
const REMEMBERED: u64 = 1 << 20;

#[tokio::test]
async fn memory_is_back_at_its_baseline_after_a_hundred_swaps() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(json!({"keep_warm_seconds": 0})).await?;
    let mut baseline = 0;
    let mut seen = Vec::new();
    for swap in 1..=SWAPS {
        let bundle = if swap % 2 == 1 { SEA } else { MEADOW };
        release.swap_to(bundle).await?;
        assert_eq!(tell(&host, &ask_least()).await?.header, bundle);
        eventually(async || Ok((host.workers()?.len() == 1).then_some(()))).await?;
        if swap % 10 == 0 {
            seen.push(parts(&host)?);
        }
        if swap <= FIRST {
            baseline = baseline.max(host.resident_bytes()?);
        }
    }
    assert_eq!(host.workers()?, host.workers_of(MEADOW)?);
    println!("{baseline} bytes after {FIRST} swaps, {} after {SWAPS}", host.resident_bytes()?);
    // Threads that wait for disks have what they freed last in caches of their own, until they end for want of work.
    let most = baseline + baseline / 20 + REMEMBERED;
    let settled = eventually(async || Ok(Some(host.resident_bytes()?).filter(|now| *now <= most))).await;
    let settled = settled
        .with_context(|| format!("{baseline} bytes before, now {:?}; host and worker: {seen:?}", parts(&host)))?;
    println!("{settled} bytes in the end");
    Ok(())
}

/// Resident bytes of the host, and of its workers.
fn parts(host: &TestHost) -> Result<(u64, u64)> {
    let all = host.resident_bytes()?;
    let own = host.own_resident_bytes()?;
    Ok((own, all - own))
}
