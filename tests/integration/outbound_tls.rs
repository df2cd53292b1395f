//! Components that speak TLS with databases and brokers, which are trusted by whom the machine trusts.

use anyhow::ensure;
use bobbin_tests::{
    Authority, MqttBroker, PostgresServer, RedisServer, Result, Subscriber, TestApp, TestHost, TlsFront,
};
use serde_json::{Value, json};
use std::fs;

/// A host whose components may reach `localhost` and `127.0.0.1` by any of these schemes, on a machine that trusts an
/// authority and no other.
async fn trusting(authority: &Authority) -> Result<(TestApp, TestHost)> {
    let app = TestApp::databases(&["*://localhost:*", "*://127.0.0.1:*"])?;
    let trusted = app.path().join("trusted.pem");
    fs::write(&trusted, authority.certificate())?;
    let host = TestHost::of(&app.manifest()).env("SSL_CERT_FILE", trusted).start().await?;
    Ok((app, host))
}

/// The first call's answer, or the error that there was instead of a connection.
async fn first(host: &TestHost, interface: &str, address: &str, calls: &Value) -> Result<Value> {
    let asked = json!({ "address": address, "username": "u", "password": "p", "calls": calls });
    let answer = host.ask(interface, asked.to_string()).await?;
    Ok(answer.get(0).cloned().unwrap_or(answer))
}

/// Who is trusted answers; who is not, by name or by authority, does not, and neither does who speaks no TLS.
async fn judged(
    interfaces: &[&str],
    calls: &Value,
    good: &str,
    bad: &[String],
    plain: &str,
    host: &TestHost,
) -> Result {
    for interface in interfaces {
        let answer = first(host, interface, good, calls).await?;
        ensure!(answer.get("ok").is_some(), "{interface} {good}: {answer}");
        let answer = first(host, interface, plain, calls).await?;
        ensure!(answer.get("ok").is_some(), "{interface} {plain}: {answer}");
        for bad in bad {
            let answer = first(host, interface, bad, calls).await?;
            ensure!(answer.get("error").is_some(), "{interface} {bad}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn redis_servers_are_asked_by_tls_and_their_certificates_are_checked() -> Result {
    let (authority, stranger) = (Authority::new("trusted")?, Authority::new("stranger")?);
    let Some(server) = RedisServer::start_secured(&authority.server(&["localhost"])?).await? else { return Ok(()) };
    let Some(other) = RedisServer::start_secured(&stranger.server(&["localhost"])?).await? else { return Ok(()) };
    let (_app, host) = trusting(&authority).await?;
    let good = format!("rediss://localhost:{}", server.secure_port()?);
    let plain = format!("redis://localhost:{}", server.port());
    let bad = [
        format!("rediss://127.0.0.1:{}", server.secure_port()?),
        format!("rediss://localhost:{}", other.secure_port()?),
        format!("redis://localhost:{}", server.secure_port()?),
        format!("{good}/#insecure"),
    ];
    let interfaces = ["/s7/redis", "/s5/redis/v2", "/s5/redis/v1"];
    judged(&interfaces, &json!([["incr", "n"]]), &good, &bad, &plain, &host).await?;
    // Both ports are one server's.
    let count = 2 * interfaces.len();
    assert!(server.ask("GET n").await?.contains(&count.to_string()), "{}", server.ask("GET n").await?);
    let answer = first(&host, "/s7/redis", &bad[1], &json!([["incr", "n"]])).await?;
    assert!(answer["error"].as_str().unwrap_or_default().contains("UnknownIssuer"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_key_value_store_on_a_redis_server_may_be_reached_by_tls() -> Result {
    let (authority, stranger) = (Authority::new("trusted")?, Authority::new("stranger")?);
    let Some(server) = RedisServer::start_secured(&authority.server(&["localhost"])?).await? else { return Ok(()) };
    let app = TestApp::stores(|text| text)?;
    let (config, trusted) = (app.path().join("rc.toml"), app.path().join("trusted.pem"));
    let store = |url: &str| {
        fs::write(&config, format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{url}\"\n"))?;
        anyhow::Ok(TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string()))
    };
    let url = format!("rediss://localhost:{}", server.secure_port()?);
    let set = "/s3/kv/v3/set?store=default&key=k";
    fs::write(&trusted, authority.certificate())?;
    let host = store(&url)?.env("SSL_CERT_FILE", &trusted).start().await?;
    assert_eq!(host.ask(set, "by TLS").await?, json!({ "ok": null }));
    assert!(server.ask("GET k").await?.contains("by TLS"));
    drop(host);
    fs::write(&trusted, stranger.certificate())?;
    let host = store(&url)?.env("SSL_CERT_FILE", &trusted).start().await?;
    let answer = host.ask(set, "to a stranger").await?;
    assert!(answer["error"].is_string(), "{answer}");
    assert!(server.ask("GET k").await?.contains("by TLS"));
    drop(host);
    let told = store(&format!("{url}/#insecure"))?.refused().await?;
    assert!(told.contains("[key_value_store.default]") && told.contains("remove #insecure"), "{told}");
    Ok(())
}

#[tokio::test]
async fn brokers_are_published_to_by_tls_and_their_certificates_are_checked() -> Result {
    let (authority, stranger) = (Authority::new("trusted")?, Authority::new("stranger")?);
    let Some(broker) = MqttBroker::start_secured(&authority.server(&["localhost"])?).await? else { return Ok(()) };
    let Some(other) = MqttBroker::start_secured(&stranger.server(&["localhost"])?).await? else { return Ok(()) };
    let (_app, host) = trusting(&authority).await?;
    let address = |scheme: &str, host: &str, port: u16| format!("{scheme}://{host}:{port}?client_id=component");
    let mut listener = Subscriber::to(&broker).await?;
    for scheme in ["mqtts", "ssl"] {
        let good = address(scheme, "localhost", broker.secure_port()?);
        let bad = [
            address(scheme, "127.0.0.1", broker.secure_port()?),
            address(scheme, "localhost", other.secure_port()?),
            address(scheme, "localhost", broker.port()),
            address("mqtt", "localhost", broker.secure_port()?),
        ];
        let plain = address("mqtt", "localhost", broker.port());
        for interface in ["/s7/mqtt", "/s5/mqtt/v2"] {
            judged(&[interface], &json!([["a", scheme, 2]]), &good, &bad, &plain, &host).await?;
            for _secure_and_plain in 0..2 {
                assert_eq!(listener.next().await?, ("a".to_owned(), scheme.to_owned()), "{interface}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn postgres_servers_are_asked_by_tls_as_the_address_says_in_every_interface() -> Result {
    let (authority, stranger) = (Authority::new("trusted")?, Authority::new("stranger")?);
    let Some(server) = PostgresServer::start_secured(&authority.server(&["localhost"])?).await? else { return Ok(()) };
    let Some(plain) = PostgresServer::start().await? else { return Ok(()) };
    let interfaces = ["/s7/postgres", "/s5/postgres/v4", "/s5/postgres/v3", "/s5/postgres/v2", "/s5/postgres/v1"];
    let calls = json!([["query", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", []]]);
    let at = |server: &PostgresServer, name: &str, mode: &str| {
        server.url().replace("127.0.0.1", name).replace("sslmode=disable", &format!("sslmode={mode}"))
    };
    let (_app, host) = trusting(&authority).await?;
    for interface in interfaces {
        for (address, secured) in [
            (at(&server, "localhost", "require"), "true"),
            (at(&server, "localhost", "prefer"), "true"),
            (at(&server, "127.0.0.1", "disable"), "false"),
            (at(&plain, "localhost", "prefer"), "false"),
        ] {
            let answer = first(&host, interface, &address, &calls).await?;
            let rows = json!([[format!("DbValue::Boolean({secured})")]]);
            assert_eq!(answer["ok"]["rows"], rows, "{interface} {address}: {answer}");
        }
        for address in [at(&server, "127.0.0.1", "require"), at(&plain, "localhost", "require")] {
            let answer = first(&host, interface, &address, &calls).await?;
            assert!(answer["error"].is_string(), "{interface} {address}: {answer}");
        }
    }
    drop(host);
    let (_app, host) = trusting(&stranger).await?;
    for interface in interfaces {
        for mode in ["require", "prefer"] {
            let answer = first(&host, interface, &at(&server, "localhost", mode), &calls).await?;
            assert!(answer["error"].is_string(), "{interface} {mode}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_chooses_by_the_name_of_a_protocol_hears_none_that_is_not_spoken() -> Result {
    let authority = Authority::new("trusted")?;
    let issued = authority.server(&["localhost"])?;
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let Some(broker) = MqttBroker::start(true).await? else { return Ok(()) };
    let redis = TlsFront::before(server.port(), &issued, "redis").await?;
    let mqtt = TlsFront::before(broker.port(), &issued, "mqtt").await?;
    let (_app, host) = trusting(&authority).await?;
    let address = format!("rediss://localhost:{}", redis.port());
    let answer = first(&host, "/s7/redis", &address, &json!([["incr", "n"]])).await?;
    assert_eq!(answer, json!({ "ok": 1 }));
    let address = format!("mqtts://localhost:{}?client_id=component", mqtt.port());
    let answer = first(&host, "/s7/mqtt", &address, &json!([["a", "b", 1]])).await?;
    assert_eq!(answer, json!({ "ok": null }));
    Ok(())
}
