//! What is wrong before the first request.

use bobbin_tests::{Result, TestApp, TestHost, bobbin, shared_models};
use serde_json::json;
use std::fs;
use std::path::Path;

/// Everything but the broken model works, and the status says what is wrong with that.
async fn only_the_model_fails(app: &TestApp, part_of_reason: &str) -> Result {
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(host.get("/hello").await?.status(), 200);
    let ready = host.admin("/readyz").await?;
    assert_eq!(ready.status(), 503, "{}", ready.text());
    assert!(ready.text().contains(part_of_reason), "\"{part_of_reason}\" is not in {}", ready.text());
    assert!(host.banner().contains("FAILED"), "{}", host.banner());
    let answer = host.post_json("/story", &json!({"prompt": "Once"})).await?;
    assert!([502, 503].contains(&answer.status()), "{}: {}", answer.status(), answer.text());
    Ok(())
}

fn verify(bundle: &Path) -> Result<std::process::Output> {
    Ok(std::process::Command::new(bobbin()).args(["bundle", "verify"]).arg(bundle).output()?)
}

#[tokio::test]
async fn a_missing_manifest_is_named_with_the_next_step() -> Result {
    let error = TestHost::of(Path::new("no/such/spin.toml")).refused().await?;
    assert!(error.contains("no/such/spin.toml") && error.contains("-f"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_malformed_manifest_is_refused_with_line_and_column() -> Result {
    let app = TestApp::new("spin_manifest_version = 2\n[application\nname = 3\n")?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("spin.toml:2:"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_line_and_column() -> Result {
    let app = TestApp::stories("[component.hello.buidl]\ncommand = \"make\"")?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("buidl") && error.contains("spin.toml:"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_component_with_a_model_answers_each_request_in_an_instance_of_its_own() -> Result {
    let app = TestApp::stories("[application.trigger.bobbin]\nreuse_instances = [\"storyteller\"]")?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("\"storyteller\"") && error.contains("wasi:nn/"), "{error}");
    assert!(error.contains("reuse_instances"), "the next step is missing: {error}");
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_none_is_refused_by_name() -> Result {
    let app = TestApp::stories("")?;
    let manifest = fs::read_to_string(app.manifest())?;
    let source = manifest.lines().find(|line| line.contains("hello.wasm")).unwrap_or_default().to_owned();
    fs::write(app.manifest(), manifest.replace(&source, "source = \"junk.wasm\""))?;
    for junk in [b"this is no component".as_slice(), b"\0asm\x01\0\0\0", b""] {
        fs::write(app.path().join("junk.wasm"), junk)?;
        let error = TestHost::of(&app.manifest()).refused().await?;
        assert!(error.contains("\"hello\"") && error.contains("junk.wasm"), "{error}");
        assert!(error.contains("wasm32-wasip2"), "the next step is missing: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_does_not_exist_is_refused_by_name() -> Result {
    let app = TestApp::stories("")?;
    app.release("storyteller@9.9.9")?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    assert!(error.contains("9.9.9"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_flipped_bit_in_the_weights_is_found() -> Result {
    let app = TestApp::stories("")?;
    let bundle = app.bundle("storyteller", "1.0.0");
    assert!(verify(&bundle)?.status.success());
    let weights = bundle.join("storyteller-q8_0.gguf");
    let mut bytes = fs::read(&weights)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&weights, bytes)?;
    let output = verify(&bundle)?;
    assert!(!output.status.success());
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("storyteller-q8_0.gguf") && text.contains("sha256"), "{text}");
    only_the_model_fails(&app, "storyteller-q8_0.gguf").await
}

#[tokio::test]
async fn every_hostile_model_is_refused_before_a_worker_sees_it() -> Result {
    let Some(models) = shared_models() else { return Ok(()) };
    let mut tried = 0;
    for entry in fs::read_dir(models.join("hostile"))? {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "gguf") {
            continue;
        }
        tried += 1;
        let app = TestApp::stories("")?;
        let bundle = app.add_bundle("hostile", "1.0.0", &file, 64)?;
        let output = verify(&bundle)?;
        assert!(!output.status.success(), "{} was accepted", file.display());
        app.release("hostile@1.0.0")?;
        only_the_model_fails(&app, "weights.gguf").await?;
    }
    assert!(tried >= 5, "only {tried} hostile files");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_option() -> Result {
    let host = TestHost::stories().start().await?;
    let address = host.app_addr().to_string();
    let output = std::process::Command::new(bobbin())
        .args(["up", "--listen", &address, "--admin-listen", "127.0.0.1:0", "--state-dir"])
        .arg(tempfile::tempdir()?.path())
        .arg("-f")
        .arg(bobbin_tests::repository_root().join("spin.toml"))
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("in use") && error.contains("--listen"), "{error}");
    assert_eq!(host.get("/hello").await?.status(), 200);
    Ok(())
}
