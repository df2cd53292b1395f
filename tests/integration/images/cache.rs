//! The room that images take: what was used least recently goes, and never what a running host uses.

use super::{Case, is_served};
use bobbin_tests::{Assembly, TestHost};
use bobbin_tests::{Locked, Registry, Result, SpinImage, TestHostBuilder, fixture_component};
use futures::future::try_join_all;
use serde_json::json;
use std::fs;

/// An application of one component, which names it by a variable of its environment.
fn small(name: &str) -> Result<SpinImage> {
    let app = Locked::new(name)
        .component("reader", &fixture_component("reader"), json!({ "env": { "NAME": name } }))
        .trigger("http", "reader-http-trigger", json!({ "route": "/r/...", "component": "reader" }));
    SpinImage::of(&app, Assembly::Simple)
}

async fn is_small(host: &TestHost, name: &str) -> Result {
    let environment = host.get("/r/env").await?.json()?;
    anyhow::ensure!(environment.get("NAME").is_some_and(|told| told == name), "{name}: {environment}");
    Ok(())
}

fn narrow(case: &Case, reference: &str) -> TestHostBuilder {
    case.host(reference).arg("--cache-size").arg("1")
}

/// Which of an image's blobs are kept.
fn kept(case: &Case, image: &SpinImage) -> Result<usize> {
    let entries = fs::read_dir(case.cache().join("images/blobs/sha256"))?;
    let names: Vec<_> = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    let name = |digest: &&String| names.iter().any(|name| digest.ends_with(&*name.to_string_lossy()));
    Ok(image.blobs.keys().filter(name).count())
}

#[tokio::test]
async fn what_no_host_uses_goes_where_there_is_no_room_and_what_one_uses_stays() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let (whole, one) = (case.image()?, small("one")?);
    let by_digest = |name: &str, image: &SpinImage| format!("{}/{name}@{}", registry.name(), image.digest());
    let first = whole.push(&registry, "team/app", "1.0.0").await?;
    let second = one.push(&registry, "team/one", "1.0.0").await?;
    let running = narrow(&case, &first).start().await?;
    let of_whole = kept(&case, &whole)?;
    assert!(of_whole >= 3, "{of_whole} blobs");
    let other = narrow(&case, &second).start().await?;
    is_served(&running).await?;
    is_small(&other, "one").await?;
    assert_eq!(kept(&case, &whole)?, of_whole, "a running host lost what it uses");
    assert!(other.log().contains("more room than --cache-size"), "{}", other.log());
    drop(running);
    drop(other);
    // The next one has no use for the first: what is of that one alone is gone.
    let again = narrow(&case, &second).start().await?;
    is_small(&again, "one").await?;
    let left = kept(&case, &whole)?;
    assert!(left < of_whole, "{left} of {of_whole} blobs are left");
    drop(again);
    let (first, second) = (by_digest("team/app", &whole), by_digest("team/one", &one));
    registry.stop().await?;
    is_small(&narrow(&case, &second).start().await?, "one").await?;
    let error = case.host(&first).refused().await?;
    assert!(error.contains("cannot be reached"), "it was there all the same: {error}");
    Ok(())
}

#[tokio::test]
async fn hosts_that_start_at_once_take_nothing_from_each_other() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let mut references = Vec::new();
    for number in 0..4 {
        let name = format!("app{number}");
        references.push((small(&name)?.push(&registry, &format!("team/{name}"), "1.0.0").await?, name));
    }
    for _round in 0..3 {
        let start = async |(reference, name): &(String, String)| {
            let host = narrow(&case, reference).start().await?;
            is_small(&host, name).await?;
            anyhow::Ok(host)
        };
        let hosts = try_join_all(references.iter().map(start)).await?;
        for (host, (_, name)) in hosts.iter().zip(&references) {
            is_small(host, name).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn images_that_fit_stay() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let (one, two) = (small("one")?, small("two")?);
    let first = one.push(&registry, "team/one", "1.0.0").await?;
    let second = two.push(&registry, "team/two", "1.0.0").await?;
    drop(case.host(&first).start().await?);
    drop(case.host(&second).start().await?);
    let by_digest = format!("{}/team/one@{}", registry.name(), one.digest());
    registry.stop().await?;
    is_small(&case.host(&by_digest).start().await?, "one").await
}
