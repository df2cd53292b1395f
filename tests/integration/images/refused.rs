//! Images that are no applications of Spin's, or not whole ones.

use super::Case;
use bobbin_tests::{Liar, Lie, Registry, Result, SpinImage};
use serde_json::{Value, json};
use std::io::Write as _;

const APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
const ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";

/// An application with one file of this digest.
fn with_file(digest: &str, path: &str) -> Value {
    json!({
        "spin_lock_version": 1, "metadata": { "name": "x" }, "triggers": [],
        "components": [{
            "id": "c",
            "source": { "content_type": "application/wasm", "inline": "AGFzbQ0AAQA" },
            "files": [{ "path": path, "digest": digest }],
        }],
    })
}

async fn error_of(image: &SpinImage) -> Result<String> {
    let registry = Liar::start(image, Lie::None).await?;
    Case::new()?.host(&registry.reference()).refused().await
}

#[tokio::test]
async fn an_image_for_containers_is_refused_for_what_it_is() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let mut image = SpinImage::empty();
    image.layer("application/vnd.oci.image.layer.v1.tar+gzip", b"layer".to_vec());
    let reference = image.push(&registry, "team/web", "latest").await?;
    let error = case.host(&reference).refused().await?;
    assert!(error.contains("an image for containers") && error.contains("spin registry push"), "{error}");
    let error = case.host(&format!("{}/team/web:2.0.0", registry.name())).refused().await?;
    assert!(error.contains("has no image team/web:2.0.0") && error.contains("correct the name or the tag"), "{error}");
    let error = case.host(&format!("{}/team/gone:latest", registry.name())).refused().await?;
    assert!(error.contains("has no image team/gone:latest"), "{error}");
    let mut package = SpinImage::empty();
    package.layer("application/wasm", b"\0asm".to_vec());
    let error = case.host(&package.push(&registry, "team/part", "1.0.0").await?).refused().await?;
    assert!(error.contains("component \"part\" is no component") && error.contains("no WebAssembly"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_image_without_its_content_is_refused_with_who_needs_it() -> Result {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let mut image = SpinImage::empty();
    image.layer(APPLICATION, with_file(&digest, "page.html").to_string().into_bytes());
    let error = error_of(&image).await?;
    let named = error.contains("the file \"page.html\" of component \"c\"") && error.contains(&digest);
    assert!(named && error.contains("in no layer of the image"), "{error}");
    let mut image = SpinImage::empty();
    let digest = image.layer("text/html", b"page".to_vec());
    image.layer(APPLICATION, with_file(&digest, "page.html").to_string().into_bytes());
    let error = error_of(&image).await?;
    assert!(error.contains("unknown media type \"text/html\"") && error.contains(&digest), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_file_cannot_be_mounted_outside_of_its_component() -> Result {
    let mut image = SpinImage::empty();
    let digest = image.layer("application/vnd.wasm.content.layer.v1+data", b"page".to_vec());
    image.layer(APPLICATION, with_file(&digest, "../../escaped").to_string().into_bytes());
    let error = error_of(&image).await?;
    assert!(error.contains("only plain relative paths are mounted") && error.contains("escaped"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_archive_that_is_none_or_lacks_the_file_is_refused() -> Result {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let archive = |bytes: Vec<u8>| {
        let mut image = SpinImage::empty();
        image.layer(ARCHIVE, bytes);
        image.layer(APPLICATION, with_file(&digest, "page.html").to_string().into_bytes());
        image
    };
    let error = error_of(&archive(b"no archive".to_vec())).await?;
    assert!(error.contains("cannot be unpacked"), "{error}");
    let mut empty = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    empty.write_all(&[0; 1024])?;
    let error = error_of(&archive(empty.finish()?)).await?;
    assert!(error.contains("in no layer of the image") && error.contains("page.html"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_reference_that_makes_no_sense_is_named_with_the_form() -> Result {
    let case = Case::new()?;
    let error = case.host("spin.toml").arg("--profile").arg("x").refused().await?;
    assert!(!error.contains("registry"), "a file that is not there is a file: {error}");
    let error = case.host("registry.invalid/team/app:1.0.0").arg("--profile").arg("x").refused().await?;
    assert!(error.contains("leave --profile out"), "{error}");
    Ok(())
}
