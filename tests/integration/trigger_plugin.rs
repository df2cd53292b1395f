//! `trigger-bobbin`, as Spin uses it. No Spin is needed: the tests do what `spin up` does, down to its environment.

use anyhow::{Context, ensure};
use bobbin_tests::{
    Locked, Result, TestHost, TestHostBuilder, bobbin, file_url, fixture_component, packed_plugin, repository_root,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Spin's part: a folder for what it locks, and one in which the plugin is installed.
struct Spin {
    folder: TempDir,
}

impl Spin {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        for name in ["plugins/trigger-bobbin", "working", "app"] {
            fs::create_dir_all(folder.path().join(name))?;
        }
        let spin = Self { folder };
        // Where a link cannot reach, a copy does.
        if fs::hard_link(bobbin(), spin.plugin()).is_err() {
            fs::copy(bobbin(), spin.plugin())?;
        }
        Ok(spin)
    }

    /// With the plugin from an archive, as `spin plugins install --file` puts it there.
    fn installing(manifest: &Path) -> Result<Self> {
        let manifest: Value = serde_json::from_slice(&fs::read(manifest)?)?;
        for key in ["name", "version", "spinCompatibility", "license"] {
            ensure!(manifest.get(key).is_some_and(Value::is_string), "{key} is missing in {manifest}");
        }
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            other => other,
        };
        let packages = manifest.get("packages").and_then(Value::as_array).context("packages")?;
        let package = packages.iter().find(|each| field(each, "os") == "linux" && field(each, "arch") == architecture);
        let package = package.context("no package for this machine")?;
        let archive = field(package, "url").strip_prefix("file://").context("a file's URL")?;
        let bytes = fs::read(archive)?;
        ensure!(
            field(package, "sha256") == hex::encode(Sha256::digest(&bytes)),
            "another archive than {manifest} names"
        );
        let spin = Self::new()?;
        let folder = spin.folder.path().join("plugins").join(field(&manifest, "name"));
        fs::remove_dir_all(&folder)?;
        fs::create_dir_all(&folder)?;
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        archive.set_preserve_permissions(true);
        archive.unpack(&folder)?;
        Ok(spin)
    }

    fn plugin(&self) -> PathBuf {
        self.folder.path().join("plugins/trigger-bobbin/trigger-bobbin")
    }

    fn app_dir(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    /// Locks the application and starts its trigger, as `spin up` does for a spin.toml.
    fn up(&self, app: &Locked) -> Result<TestHostBuilder> {
        let working = self.folder.path().join("working");
        let locked = app.write(&working)?;
        Ok(TestHost::plugin(&self.plugin())
            .env("SPIN_LOCKED_URL", file_url(&locked))
            .env("SPIN_WORKING_DIR", working)
            .env("SPIN_LOCAL_APP_DIR", self.app_dir()))
    }

    /// Asks the plugin something, without an application.
    fn ask(&self, question: &str) -> Result<std::process::Output> {
        let output = Command::new(self.plugin()).arg(question).output()?;
        ensure!(output.status.success(), "{question}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output)
    }
}

fn guest(name: &str) -> PathBuf {
    repository_root().join("guest-components/target/wasm32-wasip2/release").join(name).with_extension("wasm")
}

fn app() -> Locked {
    Locked::new("spun")
        .component("reader", &fixture_component("reader"), json!({ "env": { "A": "b" } }))
        .component("hello", &guest("hello"), json!({}))
        .component("slow", &fixture_component("tally"), json!({}))
        .trigger("bobbin", "reader-bobbin-trigger", json!({ "route": "/r/...", "component": "reader" }))
        .trigger("bobbin", "slow-bobbin-trigger", json!({ "route": "/slow/...", "component": "slow" }))
        .trigger("http", "hello-http-trigger", json!({ "route": "/hello", "component": "hello" }))
        .trigger("redis", "redis-trigger1", json!({ "channel": "news", "component": "hello" }))
}

/// A text of a JSON object; empty where there is none.
fn field<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn spin_up_serves_the_triggers_of_our_type_and_leaves_the_others_to_their_plugins() -> Result {
    let spin = Spin::new()?;
    let host = spin.up(&app())?.start().await?;
    assert_eq!(host.get("/r/env").await?.json()?["A"], "b");
    assert_eq!(host.get("/hello").await?.status(), 404);
    Ok(())
}

#[tokio::test]
async fn the_packed_plugin_is_installed_and_started_as_spin_does_it() -> Result {
    let Some(manifest) = packed_plugin() else { return Ok(()) };
    let spin = Spin::installing(&manifest)?;
    let metadata = spin.ask("--launch-metadata-only")?;
    let metadata: Value = serde_json::from_slice(&metadata.stderr)?;
    assert!(metadata["all_flags"].is_array(), "{metadata}");
    let help = String::from_utf8(spin.ask("--help-args-only")?.stdout)?;
    assert!(help.contains("--listen <ADDR>"), "{help}");
    let host = spin.up(&app())?.start().await?;
    assert_eq!(host.get("/r/env").await?.json()?["A"], "b");
    Ok(())
}

#[tokio::test]
async fn models_are_where_the_spin_toml_is() -> Result {
    let spin = Spin::new()?;
    let models = spin.app_dir().join("models/storyteller");
    fs::create_dir_all(&models)?;
    copy(&repository_root().join("models/storyteller/1.0.0"), &models.join("1.0.0"))?;
    let app = Locked::new("spun")
        .settings("bobbin", json!({ "releases": { "story": "storyteller@1.0.0" } }))
        .component("storyteller", &guest("storyteller"), json!({ "metadata": { "ai_models": ["story"] } }))
        .trigger("bobbin", "storyteller-bobbin-trigger", json!({ "route": "/story", "component": "storyteller" }));
    let host = spin.up(&app)?.start().await?;
    let story = host.post_json("/story", &json!({ "prompt": "Once upon a time", "max_tokens": 4 })).await?;
    assert_eq!((story.status(), story.header("bobbin-bundle")), (200, Some("storyteller@1.0.0")), "{}", story.text());
    assert_eq!(host.workers()?.len(), 1, "the worker is the same executable by another name");
    Ok(())
}

#[tokio::test]
async fn sigterm_stops_it_after_the_requests_in_flight() -> Result {
    let spin = Spin::new()?;
    let mut host = spin.up(&app())?.start().await?;
    let mut connection = host.connect().await?;
    connection.send("GET /slow/sleep?ms=1500 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    host.metrics_when("the request runs", |metrics| metrics.sum("bobbin_http_requests_in_flight", &[]) >= 1.0).await?;
    host.signal(host.pid()?, Signal::TERM)?;
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(host.ended().await?, 0);
    Ok(())
}

#[tokio::test]
async fn one_ctrl_c_under_spin_comes_as_several_signals_and_cuts_nothing() -> Result {
    let spin = Spin::new()?;
    let mut host = spin.up(&app())?.start().await?;
    let mut connection = host.connect().await?;
    connection.send("GET /slow/sleep?ms=2500 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    host.metrics_when("the request runs", |metrics| metrics.sum("bobbin_http_requests_in_flight", &[]) >= 1.0).await?;
    // The terminal's to everybody in the foreground, then one by each Spin process above.
    for signal in [Signal::INT, Signal::TERM, Signal::TERM] {
        host.signal(host.pid()?, signal)?;
    }
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(host.ended().await?, 0);
    Ok(())
}

#[tokio::test]
async fn spin_learns_which_options_there_are() -> Result {
    let spin = Spin::new()?;
    let metadata = spin.ask("--launch-metadata-only")?;
    assert!(metadata.stdout.is_empty());
    // All of standard error is JSON, or Spin cannot read it.
    let json: Value = serde_json::from_slice(&metadata.stderr)?;
    let flags = json["all_flags"].as_array().context("a list of flags")?;
    for long in ["--listen", "--state-dir", "--max-in-flight"] {
        assert!(flags.iter().any(|flag| flag["long"] == long), "{long} is missing in {json}");
    }
    let help = spin.ask("--help-args-only")?;
    let text = String::from_utf8(help.stdout)?;
    assert!(text.contains("--listen <ADDR>") && text.contains("Bobbin Trigger Options"), "{text}");
    assert!(!text.contains("Usage") && !text.contains("--help-args-only"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_next_step() -> Result {
    let spin = Spin::new()?;
    let error = TestHost::plugin(&spin.plugin()).refused().await?;
    assert!(error.contains("SPIN_LOCKED_URL is not set") && error.contains("bobbin up"), "{error}");
    let error = spin.up(&app())?.env("SPIN_LOCKED_URL", "https://example.com/spin.lock").refused().await?;
    assert!(error.contains("no URL of a file"), "{error}");
    let none = Locked::new("spun").component("hello", &guest("hello"), json!({})).trigger(
        "http",
        "hello",
        json!({ "route": "/hello", "component": "hello" }),
    );
    let error = spin.up(&none)?.refused().await?;
    assert!(error.contains("no trigger of the type `bobbin`"), "{error}");
    let error = spin.up(&app().with("must_understand", json!(["quantum"])))?.refused().await?;
    assert!(error.contains("\"quantum\"") && error.contains("spin.lock:"), "{error}");
    Ok(())
}

#[tokio::test]
async fn people_may_write_the_trigger_in_their_own_spin_toml() -> Result {
    let text = "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
        [[trigger.bobbin]]\nroute = \"/hello\"\ncomponent = \"hello\"\n\
        [[trigger.http]]\nroute = \"/other\"\ncomponent = \"hello\"\n\
        [component.hello]\nsource = \"{root}/guest-components/target/wasm32-wasip2/release/hello.wasm\"\n";
    let app = bobbin_tests::TestApp::new(text)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/hello", "/other"] {
        assert_eq!(host.get(path).await?.status(), 200, "{path}");
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
