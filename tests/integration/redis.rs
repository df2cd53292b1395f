//! Key-value stores on a Redis server.

use bobbin_tests::{RedisServer, Result, TestApp, TestHost, TestHostBuilder, eventually};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::fs;

const INTERFACES: [&str; 4] = ["/s3/kv/v3", "/s3/kv/wasi", "/s5/kv/v1", "/s5/kv/v2"];

/// An application whose default store is on this server.
fn on(url: &str) -> Result<(TestApp, TestHostBuilder)> {
    let limits = "[application.trigger.bobbin.limits]\naccount_bytes = 16777216\nbody_bytes = 16777216\n";
    let app = TestApp::stores(|text| format!("{text}\n{limits}"))?;
    let config = app.path().join("rc.toml");
    fs::write(&config, format!("[key_value_store.default]\ntype = \"redis\"\nurl = \"{url}\"\n"))?;
    let host = TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string());
    Ok((app, host))
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn every_interface_keeps_its_values_on_the_server() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&format!("redis://127.0.0.1:{}", server.port()))?;
    let host = host.start().await?;
    for (number, interface) in INTERFACES.iter().enumerate() {
        let of = |operation: &str| format!("{interface}/{operation}?store=default&key=k{number}");
        assert_eq!(host.ask(&of("exists"), "").await?, json!({"ok": false}), "{interface}");
        assert_eq!(host.ask(&of("set"), "value").await?, json!({"ok": null}), "{interface}");
        assert!(server.ask(&format!("GET k{number}")).await?.contains("value"), "{interface}");
        for other in INTERFACES {
            let get = format!("{other}/get?store=default&key=k{number}");
            assert_eq!(host.ask(&get, "").await?, json!({"ok": "value"}), "set in {interface}, read in {other}");
        }
        assert_eq!(host.ask(&of("delete"), "").await?, json!({"ok": null}), "{interface}");
        assert_eq!(host.ask(&of("exists"), "").await?, json!({"ok": false}), "{interface}");
    }
    assert_eq!(host.ask("/s5/kv/v2/get?store=default&key=k", "").await?, json!({"ok": null}));
    // Others write there, too.
    server.ask("SET theirs 1").await?;
    assert_eq!(host.ask("/s5/kv/v2/keys?store=default", "").await?, json!({"ok": ["theirs"]}));
    Ok(())
}

#[tokio::test]
async fn many_keys_batches_and_atomics_work_on_the_server() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&format!("redis://127.0.0.1:{}/2", server.port()))?;
    let host = host.start().await?;
    assert_eq!(host.ask("/s3/kv/v3/set-many?store=default&count=1000", "v").await?, json!({"ok": 1000}));
    for interface in ["/s3/kv/v3", "/s5/kv/v2"] {
        let keys = host.ask(&format!("{interface}/keys?store=default"), "").await?;
        assert_eq!(keys["ok"].as_array().map(Vec::len), Some(1000), "{interface}");
    }
    let ask = async |operation: &str, body: &'static str| host.ask(&format!("/s3/kv/wasi/{operation}"), body).await;
    ask("set-many?store=default", "").await?;
    ask("delete?store=default&key=b", "").await?;
    assert_eq!(ask("get-many?store=default", "").await?, json!({"ok": [["a", "a"], ["b", null], ["c", "c"]]}));
    ask("delete-many?store=default", "").await?;
    assert_eq!(ask("exists?store=default&key=a", "").await?, json!({"ok": false}));

    try_join_all((0..50).map(|_| ask("increment?store=default&key=n&delta=2", ""))).await?;
    assert_eq!(ask("increment?store=default&key=n&delta=-1", "").await?, json!({"ok": 99}));
    assert_eq!(ask("swap?store=default&key=s", "first").await?, json!({"ok": null}));
    let failed = ask("swap?store=default&key=s&meanwhile=other", "second").await?;
    assert_eq!(failed, json!({"failed": {"before": "first", "now": "other", "second": true}}));
    let text = ask("increment?store=default&key=s&delta=1", "").await?;
    assert!(error(&text).contains("no number"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_refused_before_it_is_sent() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&format!("redis://127.0.0.1:{}", server.port()))?;
    let host = host.start().await?;
    server.ask("SETRANGE big 200000000 x").await?;
    let memory = host.watch_memory()?;
    for interface in INTERFACES {
        let answer = host.ask(&format!("{interface}/get?store=default&key=big"), "").await?;
        assert!(error(&answer).contains("too large"), "{interface}: {answer}");
    }
    let peak = memory.peak_growth()?;
    assert!(peak < 400 << 20, "{peak} bytes");
    let value = "x".repeat(3 << 20);
    host.ask("/s5/kv/v2/set?store=default&key=k", value.clone()).await?;
    assert_eq!(host.ask("/s3/kv/v3/get?store=default&key=k", "").await?, json!({"ok": value}));
    Ok(())
}

#[tokio::test]
async fn keys_that_do_not_fit_are_refused_before_they_are_sent() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&format!("redis://127.0.0.1:{}", server.port()))?;
    let host = host.start().await?;
    let long = "for i = 1, 100 do redis.call('SET', string.rep('k', 1000000) .. i, '') end";
    server.ask(&format!("EVAL \"{long}\" 0")).await?;
    let memory = host.watch_memory()?;
    for interface in INTERFACES {
        let answer = host.ask(&format!("{interface}/keys?store=default"), "").await?;
        assert!(error(&answer).contains("too large"), "{interface}: {answer}");
    }
    let peak = memory.peak_growth()?;
    assert!(peak < 64 << 20, "{peak} bytes");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error_and_one_that_comes_back_serves() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&format!("redis://127.0.0.1:{}", server.port()))?;
    let host = host.start().await?;
    assert_eq!(host.ask("/s3/kv/v3/set?store=default&key=k", "v").await?, json!({"ok": null}));
    let port = server.kill().await?;
    let answer = host.ask("/s5/kv/v2/set?store=default&key=k", "v").await?;
    assert!(error(&answer).contains("Other("), "{answer}");
    let _server = RedisServer::start_at(port, None).await?;
    let set = async || {
        let answer = host.ask("/s3/kv/v3/set?store=default&key=k", "w").await?;
        Ok((answer == json!({"ok": null})).then_some(()))
    };
    eventually(set).await?;
    assert_eq!(host.ask("/s5/kv/v1/get?store=default&key=k", "").await?, json!({"ok": "w"}));
    Ok(())
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() -> Result {
    let Some(server) = RedisServer::start(Some("hunter2")).await? else { return Ok(()) };
    let (_app, host) = on(&format!("redis://:hunter2@127.0.0.1:{}", server.port()))?;
    let host = host.log_filter("debug").start().await?;
    assert_eq!(host.ask("/s3/kv/v3/set?store=default&key=k", "v").await?, json!({"ok": null}));
    assert!(!host.log().contains("hunter2") && !host.banner().contains("hunter2"));
    drop(host);

    let (_app, host) = on(&format!("redis://:wrong-hunter@127.0.0.1:{}", server.port()))?;
    let host = host.start().await?;
    let answer = host.ask("/s3/kv/v3/get?store=default&key=k", "").await?;
    assert!(error(&answer).contains("Other(") && !error(&answer).contains("hunter"), "{answer}");
    assert!(!host.log().contains("hunter"), "{}", host.log());
    drop(host);

    let (_app, host) = on("redis-hunter2")?;
    let error = host.refused().await?;
    assert!(error.contains("[key_value_store.default]") && !error.contains("hunter2"), "{error}");
    Ok(())
}
