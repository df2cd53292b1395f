//! `[[client_tls]]` of the runtime configuration: whom components trust, and which certificate they show, host by host.

use bobbin_tests::{Authority, Clients, Issued, Result, TestApp, TestHost, TestHostBuilder, Web};
use serde_json::{Value, json};
use std::fs;

/// Each way in which a component asks, and the component.
const WAYS: [(&str, &str); 4] =
    [("/p3/ask", "asker"), ("/p2/ask", "asker-spin5"), ("/p2/sdk", "asker-spin5"), ("/p2/old", "asker-spin5")];

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "asks"
version = "0.1.0"

[[trigger.http]]
route = "/p3/..."
component = "asker"

[[trigger.http]]
route = "/p2/..."
component = "asker-spin5"

[component.asker]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker.wasm"
allowed_outbound_hosts = ["https://*:*"]

[component.asker-spin5]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/asker_spin5.wasm"
allowed_outbound_hosts = ["https://*:*"]
"#;

/// An application with an authority's certificate, `ca.pem`, in its folder.
fn application(authority: &Authority) -> Result<TestApp> {
    let app = TestApp::new(MANIFEST)?;
    fs::write(app.path().join("ca.pem"), authority.certificate())?;
    Ok(app)
}

/// A host whose runtime configuration is in the application's folder: paths in it are relative to that.
fn configured(app: &TestApp, config: &str) -> Result<TestHostBuilder> {
    let file = app.path().join("runtime-config.toml");
    fs::write(&file, config)?;
    // Beside the repository, so that the working directory is another folder.
    Ok(TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&file.display().to_string()))
}

async fn ask(host: &TestHost, way: &str, url: &str) -> Result<Value> {
    host.ask(way, json!({ "url": url }).to_string()).await
}

/// That it was asked and answered.
async fn answered(host: &TestHost, way: &str, url: &str) -> Result {
    let told = ask(host, way, url).await?;
    anyhow::ensure!(told.get("body").is_some_and(|body| body == "outside"), "{way} {url}: {told}");
    Ok(())
}

/// That no answer came.
async fn unanswered(host: &TestHost, way: &str, url: &str) -> Result {
    let told = ask(host, way, url).await?;
    let is_answer = told.get("body").is_some_and(|body| body == "outside");
    anyhow::ensure!(told.get("error").is_some() && !is_answer, "{way} {url}: {told}");
    Ok(())
}

fn server(authority: &Authority) -> Result<Issued> {
    authority.server(&["localhost", "127.0.0.1"])
}

#[tokio::test]
async fn an_authority_is_trusted_by_the_components_and_for_the_hosts_that_it_is_named_for() -> Result {
    let authority = Authority::new("private")?;
    let web = Web::secured_by(&server(&authority)?, Clients::Anybody).await?;
    let (named, other) = (format!("https://localhost:{}/", web.port()), format!("https://127.0.0.1:{}/", web.port()));
    let app = application(&authority)?;
    for component in ["asker", "asker-spin5"] {
        let config = "[[client_tls]]\ncomponent_ids = [\"COMPONENT\"]\nhosts = [\"LOCALHOST\"]\n\
                      ca_roots_file = \"ca.pem\"\n";
        let host = configured(&app, &config.replace("COMPONENT", component))?.start().await?;
        for (way, of) in WAYS {
            if of == component {
                answered(&host, way, &named).await?;
            } else {
                unanswered(&host, way, &named).await?;
            }
            unanswered(&host, way, &other).await?;
        }
        let told = ask(&host, "/p2/ask", &other).await?;
        assert!(told["error"].as_str().unwrap_or_default().contains("TlsProtocolError"), "{told}");
    }
    assert_eq!(web.asked().len(), WAYS.len(), "somebody asked who does not trust it");
    assert!(web.asked().iter().all(|asked| asked.version == "HTTP/2.0"), "{:?}", web.asked());
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_is_shown_by_its_component_to_its_host_and_to_nobody_else() -> Result {
    let authority = Authority::new("private")?;
    let strict = Web::secured_by(&server(&authority)?, Clients::Demanded(&authority)).await?;
    let curious = Web::secured_by(&server(&authority)?, Clients::Asked(&authority)).await?;
    let app = application(&authority)?;
    let client = authority.client("client")?;
    client.write(app.path(), "client")?;
    let url = |host: &str, web: &Web| format!("https://{host}:{}/", web.port());
    for component in ["asker", "asker-spin5"] {
        // Everybody trusts the authority, so it is the certificate alone that makes a difference.
        let config = "[[client_tls]]\ncomponent_ids = [\"COMPONENT\"]\nhosts = [\"localhost\"]\n\
                      ca_roots_file = \"ca.pem\"\n\
                      client_cert_file = \"client.crt\"\nclient_private_key_file = \"client.key\"\n";
        let host = configured(&app, &config.replace("COMPONENT", component))?;
        let host = host.env("SSL_CERT_FILE", app.path().join("ca.pem")).start().await?;
        // Whoever has the certificate asks first: the others must not go on with its connections.
        let (own, others): (Vec<_>, Vec<_>) = WAYS.into_iter().partition(|(_, of)| *of == component);
        let before = curious.asked().len();
        for (way, _) in &own {
            answered(&host, way, &url("localhost", &strict)).await?;
            answered(&host, way, &url("localhost", &curious)).await?;
            unanswered(&host, way, &url("127.0.0.1", &strict)).await?;
            answered(&host, way, &url("127.0.0.1", &curious)).await?;
        }
        for (way, _) in &others {
            unanswered(&host, way, &url("localhost", &strict)).await?;
            answered(&host, way, &url("localhost", &curious)).await?;
        }
        let asked = curious.asked().split_off(before);
        for (index, asked) in asked.iter().enumerate() {
            // To its host and to the other one in turn, then those without a certificate.
            let shown = index < 2 * own.len() && index % 2 == 0;
            assert_eq!(asked.client.as_deref(), shown.then_some(&*client.der), "{component} {index}");
        }
        assert_eq!(asked.len(), 2 * own.len() + others.len());
    }
    assert!(strict.asked().iter().all(|asked| asked.client.as_deref() == Some(&*client.der)));
    assert_eq!(strict.asked().len(), WAYS.len());
    Ok(())
}

#[tokio::test]
async fn whoever_names_authorities_means_no_others() -> Result {
    let authority = Authority::new("the machine's own")?;
    let web = Web::secured_by(&server(&authority)?, Clients::Anybody).await?;
    let url = format!("https://localhost:{}/", web.port());
    let app = application(&authority)?;
    fs::write(app.path().join("other.pem"), Authority::new("another")?.certificate())?;
    for (roots, trusts) in [
        ("", true),
        ("ca_roots_file = \"other.pem\"", false),
        ("ca_roots_file = \"other.pem\"\nca_use_platform_roots = true", true),
        ("ca_use_webpki_roots = true", false),
    ] {
        let config = format!("[[client_tls]]\ncomponent_ids = [\"asker\"]\nhosts = [\"localhost\"]\n{roots}\n");
        let host = configured(&app, &config)?.env("SSL_CERT_FILE", app.path().join("ca.pem")).start().await?;
        answered(&host, "/p2/ask", &url).await?;
        if trusts {
            answered(&host, "/p3/ask", &url).await?;
        } else {
            unanswered(&host, "/p3/ask", &url).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_at_the_start_with_its_place() -> Result {
    let authority = Authority::new("private")?;
    let app = application(&authority)?;
    authority.client("one")?.write(app.path(), "one")?;
    authority.client("two")?.write(app.path(), "two")?;
    fs::write(app.path().join("empty.pem"), "")?;
    let entry = "[[client_tls]]\ncomponent_ids = [\"asker\"]\nhosts = [\"localhost\"]\n";
    let identity = |certificate: &str, key: &str| {
        format!("{entry}client_cert_file = \"{certificate}\"\nclient_private_key_file = \"{key}\"\n")
    };
    for (config, parts) in [
        (entry.replace("asker", "askr"), &["toml:2:18:", "\"askr\"", "\"asker\", \"asker-spin5\""][..]),
        (format!("{entry}ca_roots_fil = \"ca.pem\"\n"), &["toml:4:1:", "`ca_roots_fil`", "ca_roots_file"]),
        (format!("{entry}ca_roots_file = \"gone.pem\"\n"), &["toml:4:17:", "gone.pem", "`ca_roots_file`"]),
        (format!("{entry}ca_roots_file = \"empty.pem\"\n"), &["toml:4:17:", "empty.pem"]),
        (identity("gone.crt", "one.key"), &["toml:4:20:", "gone.crt", "`client_cert_file`"]),
        (identity("one.crt", "gone.key"), &["toml:5:27:", "gone.key", "`client_private_key_file`"]),
        (identity("one.crt", "two.key"), &["toml:5:27:", "two.key", "does not belong to", "one.crt", "are a pair"]),
        (identity("one.crt", "one.crt"), &["toml:5:27:", "no private key"]),
        (format!("{entry}{entry}"), &["toml:6:10:", "twice", "\"localhost\" of component \"asker\"", "toml:3:10"]),
    ] {
        let told = configured(&app, &config)?.refused().await?;
        for part in parts {
            assert!(told.contains(part), "{part:?} is missing in {told}\n{config}");
        }
        assert!(!told.contains("PRIVATE KEY"), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_not_served_may_stay_in_the_configuration() -> Result {
    let authority = Authority::new("private")?;
    let app = application(&authority)?;
    let entry = "[[client_tls]]\ncomponent_ids = [\"asker\"]\nhosts = [\"localhost\"]\nca_roots_file = \"ca.pem\"\n";
    let host = configured(&app, entry)?.arg("--component-id").arg("asker-spin5").start().await?;
    assert_eq!(host.admin("/healthz").await?.status(), 200);
    Ok(())
}
