//! Registries that do not give what they say.

use super::{Case, is_served};
use bobbin_tests::{Liar, Lie, Result};

/// The `range` headers of the requests for a blob, in order.
fn ranges(liar: &Liar, digest: &str) -> Vec<Option<String>> {
    let asked = liar.asked();
    let of_blob = asked.iter().filter(|head| head.contains(&format!("/blobs/{digest} ")));
    let range = |head: &String| head.lines().find_map(|line| line.strip_prefix("range: ").map(str::to_owned));
    of_blob.map(range).collect()
}

#[tokio::test]
async fn other_bytes_than_their_digest_names_are_refused_by_name() -> Result {
    let case = Case::new()?;
    let image = case.image()?;
    for digest in image.blobs.keys() {
        // Nobody asks for the configuration.
        if image.manifest["config"]["digest"] == digest.as_str() {
            continue;
        }
        let registry = Liar::start(&image, Lie::OtherBytes(digest.clone())).await?;
        let error = case.host(&registry.reference()).refused().await?;
        assert!(error.contains("lies: what it sent as") && error.contains(digest.as_str()), "{error}");
        assert!(!case.cache().join("images/blobs/sha256").join(digest.trim_start_matches("sha256:")).exists());
        assert_eq!(ranges(&registry, digest), [None::<String>], "it is not asked again");
        std::fs::remove_dir_all(case.cache())?;
    }
    let registry = Liar::start(&image, Lie::ManifestDigest).await?;
    let error = case.host(&registry.reference()).refused().await?;
    assert!(error.contains("lies: what it sent as sha256:00000000"), "{error}");
    let registry = Liar::start(&image, Lie::None).await?;
    let other = registry.reference().replace(":1.0.0", &format!("@sha256:{}", "1".repeat(64)));
    let error = case.host(&other).refused().await?;
    assert!(error.contains("has no image"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke() -> Result {
    let case = Case::new()?;
    let image = case.image()?;
    let digest = image.largest();
    let bytes = image.blobs[&digest].len();
    let step = bytes / 3 + 1;
    let registry = Liar::start(&image, Lie::Cut(digest.clone(), step)).await?;
    is_served(&case.host(&registry.reference()).start().await?).await?;
    let expected = [None, Some(format!("bytes={step}-")), Some(format!("bytes={}-", 2 * step))];
    assert_eq!(ranges(&registry, &digest), expected);
    Ok(())
}

#[tokio::test]
async fn the_next_host_goes_on_where_one_gave_up() -> Result {
    let case = Case::new()?;
    let image = case.image()?;
    let digest = image.largest();
    let short = Liar::start(&image, Lie::Short(digest.clone(), 1000)).await?;
    let error = case.host(&short.reference()).refused().await?;
    let bytes = image.blobs[&digest].len();
    assert!(error.contains(&format!("after 1000 of {bytes} bytes")) && error.contains("try again later"), "{error}");
    assert!(case.partials()?.contains(&1000), "{:?}", case.partials()?);
    let honest = Liar::start(&image, Lie::None).await?;
    is_served(&case.host(&honest.reference()).start().await?).await?;
    assert_eq!(ranges(&honest, &digest), [Some("bytes=1000-".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn what_an_earlier_registry_left_may_be_wrong_without_this_one_lying() -> Result {
    let case = Case::new()?;
    let image = case.image()?;
    let digest = image.largest();
    let short = Liar::start(&image, Lie::Short(digest.clone(), 1000)).await?;
    case.host(&short.reference()).refused().await?;
    let partial = case.cache().join("images/partial").join(digest.trim_start_matches("sha256:"));
    std::fs::write(partial, [b'x'; 1000])?;
    let honest = Liar::start(&image, Lie::None).await?;
    is_served(&case.host(&honest.reference()).start().await?).await?;
    assert_eq!(ranges(&honest, &digest), [Some("bytes=1000-".to_owned()), None]);
    Ok(())
}

#[tokio::test]
async fn a_registry_without_ranges_is_asked_for_the_whole_and_not_without_end() -> Result {
    let case = Case::new()?;
    let image = case.image()?;
    let digest = image.largest();
    let registry = Liar::start(&image, Lie::CutWithoutRanges(digest.clone(), 1000)).await?;
    let error = case.host(&registry.reference()).refused().await?;
    assert!(error.contains("after 1000 of"), "{error}");
    assert_eq!(ranges(&registry, &digest).len(), 5);
    Ok(())
}

#[tokio::test]
async fn more_than_was_said_is_not_read() -> Result {
    let case = Case::new()?;
    let image = case.image()?;
    let digest = image.largest();
    let registry = Liar::start(&image, Lie::Endless(digest.clone())).await?;
    let error = case.host(&registry.reference()).refused().await?;
    let bytes = image.blobs[&digest].len();
    assert!(error.contains(&format!("sent more than {bytes} bytes for {digest}")), "{error}");
    // What has come of the other blobs by then may be of use.
    let kept = case.cache().join("images/partial").join(digest.trim_start_matches("sha256:"));
    assert!(!kept.exists(), "something of it is kept");
    let registry = Liar::start(&image, Lie::EndlessManifest).await?;
    let error = case.host(&registry.reference()).refused().await?;
    assert!(error.contains("bytes for the manifest of"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_fails_is_named_with_its_status() -> Result {
    let case = Case::new()?;
    let registry = Liar::start(&case.image()?, Lie::Status(503)).await?;
    let error = case.host(&registry.reference()).refused().await?;
    assert!(error.contains("status 503: out of order"), "{error}");
    let image = case.image()?;
    let registry = Liar::start(&image, Lie::Missing(image.largest())).await?;
    let error = case.host(&registry.reference()).refused().await?;
    assert!(error.contains("has the image, and not") && error.contains(&image.largest()), "{error}");
    Ok(())
}
