//! Variables: where their values come from, what components get to see of them, and what is said when there are none.

use bobbin_tests::{Result, TestApp, TestHost, TestHostBuilder, eventually, fixture_component};
use serde_json::{Value, json};
use std::fs;

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "test"

[variables]
host = { default = "example.com" }
user = { default = "nobody" }
token = { required = true, secret = true }

[[trigger.http]]
route = "/s3/..."
component = "stores"

[[trigger.http]]
route = "/s5/..."
component = "stores-spin5"

[component.stores]
source = "{stores}"
variables = { url = "https://{{ user }}@{{ host }}/", plain = "as it is", token = "{{ token }}" }

[component.stores-spin5]
source = "{stores-spin5}"
variables = { url = "https://{{ user }}@{{ host }}/", plain = "as it is", token = "{{ token }}" }
"#;

fn app() -> Result<TestApp> {
    let source = |name: &str| fixture_component(name).display().to_string();
    TestApp::new(&MANIFEST.replace("{stores}", &source("stores")).replace("{stores-spin5}", &source("stores-spin5")))
}

fn host(app: &TestApp, token: &str) -> TestHostBuilder {
    TestHost::of(&app.manifest()).env("SPIN_VARIABLE_TOKEN", token)
}

async fn ask(host: &TestHost, path: &str) -> Result<Value> {
    let answer = host.get(path).await?;
    anyhow::ensure!(answer.status() == 200, "{path}: {}: {}", answer.status(), answer.text());
    answer.json()
}

#[tokio::test]
async fn a_value_may_be_in_a_file_and_a_file_beside_the_manifest_comes_after_the_environment() -> Result {
    let app = app()?;
    fs::write(app.path().join(".env"), "SPIN_VARIABLE_USER=file\nSPIN_VARIABLE_HOST=\"file.test\"\n")?;
    fs::write(app.path().join("value"), "from a file")?;
    let token = format!("token=@{}", app.path().join("value").display());
    let started = host(&app, "t").env("SPIN_VARIABLE_USER", "environment").arg("--variable").arg(&token);
    let started = started.start().await?;
    assert_eq!(ask(&started, "/s3/variables/v3?name=url").await?, json!({"ok": "https://environment@file.test/"}));
    assert_eq!(ask(&started, "/s5/variables/v2?name=token").await?, json!({"ok": "from a file"}));
    Ok(())
}

#[tokio::test]
async fn a_required_variable_without_a_value_is_named_with_its_users_and_what_to_set() -> Result {
    let error = TestHost::of(&app()?.manifest()).refused().await?;
    for part in
        ["spin.toml:10:", "\"token\"", "\"stores\"", "\"stores-spin5\"", "SPIN_VARIABLE_TOKEN", "--variable token="]
    {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn secrets_are_never_printed() -> Result {
    let app = app()?;
    let secret = "t0psecret";
    let started = host(&app, secret)
        .arg("--variable")
        .arg(&format!("user={secret}"))
        .log_filter("debug,bobbin=trace,bobbin_runtime=trace,bobbin_stores=trace")
        .start()
        .await?;
    assert_eq!(ask(&started, "/s3/variables/v3?name=token").await?, json!({"ok": secret}));
    assert!(ask(&started, "/s5/variables/v1?name=nothing").await?["error"].is_string());
    for path in ["/s3/variables/wasi-all", "/s5/variables/v2?name=url", "/s5/variables/wasi?name=token"] {
        ask(&started, path).await?;
    }
    assert!(!started.log().contains(secret) && !started.banner().contains(secret), "{}", started.log());
    drop(started);

    let error = host(&app, "t").arg("--variable").arg(secret).refused().await?;
    assert!(error.contains("--variable") && error.contains("name=value") && !error.contains(secret), "{error}");
    fs::write(app.path().join(".env"), format!("A=1\nSPIN_VARIABLE_USER={secret} {secret}\n"))?;
    let error = host(&app, "t").refused().await?;
    assert!(error.contains(".env:2:") && !error.contains(secret), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_variable_that_nobody_declares_is_worth_a_warning() -> Result {
    let app = app()?;
    let started = host(&app, "t").arg("--variable").arg("ussr=me").start().await?;
    assert!(started.log().contains("\"ussr\"") && !started.log().contains("me\""), "{}", started.log());
    Ok(())
}

#[tokio::test]
async fn an_environment_variable_without_a_name_is_refused() -> Result {
    let error = host(&app()?, "t").arg("--env").arg("=x").refused().await?;
    assert!(error.contains("NAME=VALUE"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_provider_of_the_runtime_configuration_has_a_prefix_and_a_file_of_its_own() -> Result {
    let app = app()?;
    let config = app.path().join("rc.toml");
    fs::write(app.path().join("app.env"), "APP_HOST=prefixed.test\nAPP_USER=prefixed\n")?;
    let provider = format!(
        "[[variables_provider]]\ntype = \"env\"\nprefix = \"APP\"\ndotenv_path = {:?}\n",
        app.path().join("app.env")
    );
    fs::write(&config, provider)?;
    let started = host(&app, "t").env("APP_USER", "environment").env("SPIN_VARIABLE_HOST", "environment");
    let running = started.arg("--runtime-config-file").arg(&config.display().to_string()).start().await?;
    assert_eq!(ask(&running, "/s3/variables/v3?name=url").await?, json!({"ok": "https://environment@prefixed.test/"}));
    Ok(())
}

#[tokio::test]
async fn a_wrong_runtime_configuration_is_refused_with_line_and_column() -> Result {
    let app = app()?;
    let config = app.path().join("rc.toml");
    for (text, place, part) in [
        ("[[variables_provider]]\ntype = \"static\"\nvalus = {}\n", "rc.toml:3:1:", "`valus`"),
        ("[[variables_provider]]\ntype = \"vault\"\n", "rc.toml:2:8:", "vault"),
        ("state_dir = \"a\"\nllm_compute = 1\n", "rc.toml:2:", "llm_compute"),
    ] {
        fs::write(&config, text)?;
        let error = host(&app, "t").arg("--runtime-config-file").arg(&config.display().to_string()).refused().await?;
        assert!(error.contains(place) && error.contains(part), "{error}");
    }
    let error = host(&app, "t").arg("--runtime-config-file").arg("no/such.toml").refused().await?;
    assert!(error.contains("no/such.toml"), "{error}");
    Ok(())
}

#[tokio::test]
async fn watch_follows_the_runtime_configuration_and_goes_on_with_the_last_one_that_could_be_served() -> Result {
    let app = app()?;
    let config = app.path().join("rc.toml");
    let put = |text: &str| -> Result {
        let made = app.path().join("being-written");
        fs::write(&made, format!("[[variables_provider]]\ntype = \"static\"\n{text}\n"))?;
        Ok(fs::rename(made, &config)?)
    };
    let user = |user: &str| json!({"ok": format!("https://{user}@example.com/")});
    put(r#"values = { user = "one", token = "t" }"#)?;
    let host = TestHost::watch(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string());
    let host = host.start().await?;
    assert_eq!(ask(&host, "/s3/variables/v3?name=url").await?, user("one"));
    for (wrong, part) in [("valus = {}", "`valus`"), (r#"values = { user = "none" }"#, "\"token\"")] {
        put(wrong)?;
        eventually(async || Ok(host.log().contains(part).then_some(()))).await?;
        assert_eq!(ask(&host, "/s3/variables/v3?name=url").await?, user("one"), "after {wrong}");
    }
    put(r#"values = { user = "two", token = "t" }"#)?;
    // A connection that the old host closes while it drains is no answer yet.
    let told = async || ask(&host, "/s3/variables/v3?name=url").await.ok();
    eventually(async || Ok(told().await.filter(|told| *told == user("two")).map(|_two| ()))).await
}
