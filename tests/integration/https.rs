//! The application's listener with TLS.

use bobbin_tests::{Result, TestApp, TestHost, http};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An application that tells of its requests, and a certificate with its key beside it.
fn application() -> Result<(TestApp, [PathBuf; 2], String)> {
    let app = TestApp::fixtures("")?;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let files = ["cert.pem", "key.pem"].map(|name| app.path().join(name));
    let certificate = made.cert.pem();
    fs::write(&files[0], &certificate)?;
    fs::write(&files[1], made.signing_key.serialize_pem())?;
    Ok((app, files, certificate))
}

#[tokio::test]
async fn https_is_spoken_and_the_component_knows() -> Result {
    let (app, [certificates, key], certificate) = application()?;
    let host = TestHost::of(&app.manifest()).arg("--tls-cert").arg(&certificates.display().to_string());
    let host = host.arg("--tls-key").arg(&key.display().to_string()).start().await?;
    assert!(host.banner().contains(&format!("https://{}", host.app_addr())), "{}", host.banner());
    let url = format!("https://{}/f3/echo/a", host.app_addr());
    let trusted =
        || Ok::<_, anyhow::Error>(http().tls_certs_only([reqwest::Certificate::from_pem(certificate.as_bytes())?]));
    let answer = trusted()?.build()?.get(&url).send().await?;
    assert_eq!(answer.status().as_u16(), 200);
    let text = answer.text().await?;
    assert!(text.contains(&url), "the component does not know its URL: {text}");
    for version in ["h2", "http/1.1"] {
        assert_eq!(agreed(host.app_addr(), &certificate, version).await?.as_deref(), Some(version.as_bytes()));
    }
    assert!(http().build()?.get(&url).send().await.is_err(), "a client that trusts nobody was answered");
    let plain = host.get("/f3/echo/a").await;
    assert!(plain.is_err(), "plain HTTP was answered: {plain:?}");
    // Whoever did not agree on TLS concerns nobody else.
    assert_eq!(trusted()?.build()?.get(&url).send().await?.status().as_u16(), 200);
    Ok(())
}

/// The version of HTTP that a client and the host agree on, of those that the client speaks.
async fn agreed(address: SocketAddr, certificate: &str, version: &str) -> Result<Option<Vec<u8>>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![version.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::from(address.ip()), stream).await?;
    Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn certificates_and_keys_that_cannot_be_used_are_refused_before_a_port_is_bound() -> Result {
    let (app, [certificates, key], _) = application()?;
    let other = app.path().join("other.pem");
    fs::write(&other, rcgen::KeyPair::generate()?.serialize_pem())?;
    let missing = app.path().join("missing.pem");
    for (cert, key, part) in [
        (&missing, &key, "missing.pem has no certificates"),
        (&key, &key, "key.pem has no certificates"),
        (&certificates, &missing, "missing.pem has no private key"),
        (&certificates, &certificates, "cert.pem has no private key"),
        (&certificates, &other, "cannot be used together"),
    ] {
        let host = TestHost::of(&app.manifest()).arg("--tls-cert").arg(&cert.display().to_string());
        let refused = host.arg("--tls-key").arg(&key.display().to_string()).refused().await?;
        assert!(refused.contains(part), "{part:?} is missing in {refused}");
    }
    let alone = TestHost::of(&app.manifest()).arg("--tls-cert").arg(&certificates.display().to_string());
    assert!(alone.refused().await?.contains("--tls-key"));
    Ok(())
}
