//! Who a host is to a registry, and how it speaks with one.

use super::{Case, is_served};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bobbin_tests::{Liar, Lie, Registry, Result};
use serde_json::json;
use std::fs;

/// What must never be in a log.
fn is_secret(log: &str, secrets: &[&str]) -> Result {
    for secret in secrets {
        anyhow::ensure!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_private_registry_lets_in_whom_a_file_of_the_user_names() -> Result {
    let Some(registry) = Registry::private().await? else { return Ok(()) };
    let case = Case::new()?;
    let reference = case.image()?.push(&registry, "team/app", "1.0.0").await?;
    let error = case.host(&reference).refused().await?;
    assert!(error.contains("does not let us read team/app") && error.contains("registry login"), "{error}");
    let pair = STANDARD.encode(format!("{}:{}", Registry::USER, Registry::PASSWORD));
    let docker = case.folder.path().join("docker");
    fs::create_dir(&docker)?;
    let config = json!({ "auths": { registry.name(): { "auth": pair } } });
    fs::write(docker.join("config.json"), config.to_string())?;
    let spin = case.folder.path().join("spin");
    fs::create_dir_all(spin.join("fermyon"))?;
    fs::write(spin.join("fermyon/registry-auth.json"), json!({ "auths": { registry.name(): pair } }).to_string())?;
    let file = docker.join("config.json");
    for (name, value) in [("DOCKER_CONFIG", &docker), ("REGISTRY_AUTH_FILE", &file), ("XDG_CONFIG_HOME", &spin)] {
        fs::remove_dir_all(case.cache())?;
        let host = case.host(&reference).env(name, value).log_filter("trace").start().await?;
        is_served(&host).await?;
        is_secret(&host.log(), &[Registry::PASSWORD, &pair])?;
    }
    let wrong = STANDARD.encode("reader:open sesame");
    fs::write(&file, json!({ "auths": { registry.name(): { "auth": wrong } } }).to_string())?;
    let error = case.host(&reference).env("DOCKER_CONFIG", &docker).log_filter("trace").refused().await?;
    assert!(error.contains("does not let us read") && error.contains("docker/config.json"), "{error}");
    is_secret(&error, &["open sesame", &wrong])
}

#[tokio::test]
async fn a_registry_gives_a_token_for_a_password() -> Result {
    let case = Case::new()?;
    let pair = STANDARD.encode("someone:a password");
    let registry = Liar::start(&case.image()?, Lie::Token(pair.clone())).await?;
    let docker = case.folder.path().join("docker");
    fs::create_dir(&docker)?;
    let name = registry.reference().split('/').next().unwrap_or_default().to_owned();
    fs::write(docker.join("config.json"), json!({ "auths": { name: { "auth": pair } } }).to_string())?;
    let host = case.host(&registry.reference()).env("DOCKER_CONFIG", &docker).log_filter("trace").start().await?;
    is_served(&host).await?;
    is_secret(&host.log(), &[&pair, "a password", "the-token"])?;
    let sent = registry.asked().iter().filter(|head| head.contains("authorization: basic")).count();
    assert!(
        sent > 0
            && registry
                .asked()
                .iter()
                .filter(|head| head.contains("authorization: basic"))
                .all(|head| head.starts_with("get /token"))
    );
    drop(host);
    fs::remove_dir_all(case.cache())?;
    let error = case.host(&registry.reference()).refused().await?;
    assert!(error.contains("does not let us read"), "{error}");
    Ok(())
}

#[tokio::test]
async fn tls_is_spoken_with_whom_this_machine_trusts_and_nothing_else_with_the_others() -> Result {
    let Some(registry) = Registry::secure().await? else { return Ok(()) };
    let case = Case::new()?;
    let reference = case.image()?.push(&registry, "team/app", "1.0.0").await?;
    let certificate = registry.certificate().unwrap_or_default();
    is_served(&case.host(&reference).env("SSL_CERT_FILE", certificate).start().await?).await?;
    fs::remove_dir_all(case.cache())?;
    let error = case.host(&reference).refused().await?;
    assert!(error.contains("cannot be reached over https") && error.contains("certificate"), "{error}");
    let error = case.host(&reference).arg("--insecure").env("SSL_CERT_FILE", certificate).refused().await?;
    assert!(error.contains("400"), "plain HTTP, as in Spin: {error}");
    Ok(())
}
