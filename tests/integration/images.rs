//! Applications from OCI registries, as `spin registry push` publishes them.

mod cache;
mod credentials;
mod lies;
mod refused;

use anyhow::ensure;
use bobbin_tests::{
    Assembly, Locked, Registry, Result, SpinImage, TestHost, TestHostBuilder, file_url, fixture_component,
    repository_root,
};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// More than Spin puts into the application itself.
const LONG: &str = "A page that is long enough to be a layer of its own, since what is short lies in the application \
    itself: it takes more than one hundred and twenty-eight bytes to get out of there.";

fn hello() -> PathBuf {
    repository_root().join("guest-components/target/wasm32-wasip2/release/hello.wasm")
}

/// A folder with the files of an application, and one in which hosts keep images.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let pages = folder.path().join("assets/reader/pages");
        fs::create_dir_all(&pages)?;
        fs::write(pages.join("long.html"), LONG)?;
        fs::write(pages.join("short.html"), "short")?;
        fs::write(pages.join("empty.html"), "")?;
        Ok(Self { folder })
    }

    /// Two components, of which one has files.
    fn app(&self) -> Locked {
        let assets = self.folder.path().join("assets/reader");
        Locked::new("published")
            .component("hello", &hello(), json!({}))
            .component(
                "reader",
                &fixture_component("reader"),
                json!({ "env": { "A": "b" }, "files": [{ "source": file_url(&assets), "path": "/" }] }),
            )
            .trigger("http", "hello-http-trigger", json!({ "route": "/hello", "component": "hello" }))
            .trigger("http", "reader-http-trigger", json!({ "route": "/r/...", "component": "reader" }))
    }

    fn image(&self) -> Result<SpinImage> {
        SpinImage::of(&self.app(), Assembly::Simple)
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// A host that keeps images in this folder, and that has no credentials.
    fn host(&self, reference: &str) -> TestHostBuilder {
        let nobody = self.folder.path().join("nobody");
        TestHost::of(Path::new(reference))
            .arg("--cache-dir")
            .arg(&self.cache().display().to_string())
            .env("XDG_CONFIG_HOME", &nobody)
            .env("DOCKER_CONFIG", &nobody)
            .env("REGISTRY_AUTH_FILE", nobody.join("auth.json"))
    }

    /// The files that are kept, by their sizes.
    fn partials(&self) -> Result<Vec<u64>> {
        let entries = fs::read_dir(self.cache().join("images/partial"))?;
        entries.map(|entry| Ok(entry?.metadata()?.len())).collect()
    }
}

/// The whole application answers.
async fn is_served(host: &TestHost) -> Result {
    let (hello, environment) = (host.get("/hello").await?, host.get("/r/env").await?.json()?);
    ensure!(hello.status() == 200, "{}", hello.status());
    ensure!(environment.get("A").is_some_and(|value| value == "b"), "{environment}");
    for (path, text) in [("long", LONG), ("short", "short"), ("empty", "")] {
        let answer = host.get(&format!("/r/read?path=/pages/{path}.html")).await?;
        let read = answer.json()?;
        ensure!(read.get("text").is_some_and(|told| told == text), "{path}: {read}");
    }
    Ok(())
}

#[tokio::test]
async fn what_spin_published_is_served_by_its_reference() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    for (assembly, tag) in [(Assembly::Simple, "1.0.0"), (Assembly::Archive, "archived")] {
        let case = Case::new()?;
        let reference = SpinImage::of(&case.app(), assembly)?.push(&registry, "team/app", tag).await?;
        let host = case.host(&reference).start().await?;
        is_served(&host).await?;
        let log = host.log();
        ensure!(log.contains(&format!("fetching {reference}: ")) && log.contains("fetched layer 1 of "), "{log}");
        ensure!(case.partials()?.is_empty(), "nothing is left of the way here");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_here_is_not_fetched_again_and_a_digest_needs_no_registry() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let image = case.image()?;
    let reference = image.push(&registry, "team/app", "1.0.0").await?;
    is_served(&case.host(&reference).start().await?).await?;
    let again = case.host(&reference).start().await?;
    assert!(!again.log().contains("fetched layer"), "{}", again.log());
    drop(again);
    let by_digest = format!("{}/team/app@{}", registry.name(), image.digest());
    registry.stop().await?;
    let offline = case.host(&by_digest).start().await?;
    is_served(&offline).await?;
    drop(offline);
    // A tag may have moved.
    let error = case.host(&reference).refused().await?;
    assert!(error.contains("cannot be reached"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_blob_that_was_damaged_on_this_disk_is_fetched_again() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    for (assembly, tag) in [(Assembly::Simple, "1.0.0"), (Assembly::Archive, "archived")] {
        let case = Case::new()?;
        let reference = SpinImage::of(&case.app(), assembly)?.push(&registry, "team/app", tag).await?;
        is_served(&case.host(&reference).start().await?).await?;
        for entry in fs::read_dir(case.cache().join("images/blobs/sha256"))? {
            fs::write(entry?.path(), "damaged")?;
        }
        is_served(&case.host(&reference).start().await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_single_component_answers_every_path_as_in_spin() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let mut image = SpinImage::empty();
    let config = json!({ "created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2" });
    image.configure("application/vnd.wasm.config.v0+json", config.to_string().into_bytes());
    image.layer("application/wasm", fs::read(fixture_component("reader"))?);
    let reference = image.push(&registry, "team/reader", "1.0.0").await?;
    let host = case.host(&reference).start().await?;
    for path in ["/env", "/deep/er/env"] {
        let answer = host.get(path).await?;
        ensure!(answer.status() == 200 && answer.json()?.is_object(), "{path}: {} {}", answer.status(), answer.text());
    }
    ensure!(host.log().contains("fetched layer 1 of 1"), "{}", host.log());
    drop(host);
    let mut library = SpinImage::empty();
    library.layer("application/wasm", fs::read(fixture_component("part"))?);
    let error = case.host(&library.push(&registry, "team/part", "1.0.0").await?).refused().await?;
    ensure!(error.contains("component \"part\"") && error.contains("answers no HTTP"), "{error}");
    Ok(())
}

#[tokio::test]
async fn middleware_that_was_pushed_uncomposed_stands_before_its_component() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let stamp = json!({ "middleware": [
        { "source": bobbin_tests::content(&fixture_component("stamp")), "export": null, "inherit": "All" }
    ] });
    let app = Locked::new("published")
        .component("reader", &fixture_component("reader"), json!({ "trigger_dependencies": stamp }))
        .trigger("http", "reader-http-trigger", json!({ "route": "/r/...", "component": "reader" }));
    let reference = SpinImage::of(&app, Assembly::Simple)?.push(&registry, "team/app", "1.0.0").await?;
    let host = case.host(&reference).start().await?;
    let answer = host.get("/r/env").await?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-stamp"), Some("none"));
    Ok(())
}

#[tokio::test]
async fn models_of_an_image_are_where_the_host_is_started() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let models = case.folder.path().join("models/storyteller/1.0.0");
    fs::create_dir_all(&models)?;
    for entry in fs::read_dir(repository_root().join("models/storyteller/1.0.0"))? {
        let entry = entry?;
        fs::copy(entry.path(), models.join(entry.file_name()))?;
    }
    let storyteller = repository_root().join("guest-components/target/wasm32-wasip2/release/storyteller.wasm");
    let app = Locked::new("published")
        .settings("bobbin", json!({ "releases": { "story": "storyteller@1.0.0" } }))
        .component("storyteller", &storyteller, json!({ "metadata": { "ai_models": ["story"] } }))
        .trigger("http", "storyteller-http-trigger", json!({ "route": "/story", "component": "storyteller" }));
    let reference = SpinImage::of(&app, Assembly::Simple)?.push(&registry, "team/app", "1.0.0").await?;
    let folder = case.folder.path().display().to_string();
    let host = case.host(&reference).through(vec!["env".into(), "-C".into(), folder]).start().await?;
    let story = host.post_json("/story", &json!({ "prompt": "Once upon a time", "max_tokens": 4 })).await?;
    assert_eq!((story.status(), story.header("bobbin-bundle")), (200, Some("storyteller@1.0.0")), "{}", story.text());
    Ok(())
}

#[tokio::test]
async fn a_locked_application_in_a_file_may_hold_content_too() -> Result {
    let case = Case::new()?;
    let mut app = case.app().json().clone();
    app["components"][1]["files"] = json!([
        { "path": "/pages/short.html", "inline": "c2hvcnQ" },
        { "path": "pages/long.html", "source": file_url(&case.folder.path().join("assets/reader/pages/long.html")) },
        { "path": "/pages/empty.html", "inline": "" },
    ]);
    let file = case.folder.path().join("spin.lock");
    fs::write(&file, app.to_string())?;
    is_served(&case.host(&file.display().to_string()).start().await?).await?;
    app["components"][1]["files"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    fs::write(&file, app.to_string())?;
    let error = case.host(&file.display().to_string()).refused().await?;
    assert!(error.contains("has the digest") && error.contains("short.html"), "{error}");
    Ok(())
}

#[tokio::test]
async fn only_the_chosen_components_are_served() -> Result {
    let Some(registry) = Registry::start().await? else { return Ok(()) };
    let case = Case::new()?;
    let reference = case.image()?.push(&registry, "team/app", "1.0.0").await?;
    let host = case.host(&reference).arg("--component-id").arg("reader").start().await?;
    assert_eq!(host.get("/r/env").await?.status(), 200);
    assert_eq!(host.get("/hello").await?.status(), 404);
    drop(host);
    let both = case.host(&reference).arg("-c").arg("reader").arg("-c").arg("hello").start().await?;
    is_served(&both).await?;
    drop(both);
    let error = case.host(&reference).arg("-c").arg("reeder").refused().await?;
    assert!(error.contains("no component \"reeder\"") && error.contains("did you mean \"reader\""), "{error}");
    Ok(())
}
