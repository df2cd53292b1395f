//! Servers that are not there, or not for long; and hosts that stop, or whose application changes.

use super::{limits, listening, up};
use bobbin_tests::{RedisServer, Result, TestApp, TestHost, eventually};
use rustix::process::Signal;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_server_that_crashes_is_subscribed_to_again_and_the_log_says_so_once() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| manifest).await?;
    let gone = "is not there: ";
    assert!(!host.log().contains(gone), "{}", host.log());
    let address = server.address();
    let port = server.kill().await?;
    let is = |wanted: f64| {
        let address = address.clone();
        move |metrics: &bobbin_tests::Metrics| {
            (metrics.sum("bobbin_redis_subscribed", &[("server", &address)]) - wanted).abs() < f64::EPSILON
        }
    };
    host.metrics_when("the server is missed", is(0.0)).await?;
    eventually(async || Ok(host.log().contains(gone).then_some(()))).await?;
    let Some(server) = RedisServer::start_at(port, None).await? else { return Ok(()) };
    listening(&server).await?;
    host.metrics_when("the server is there again", is(1.0)).await?;
    server.publish("s7", "after the crash").await?;
    assert_eq!(server.texts("s7", 1).await?, ["after the crash"]);
    let log = host.log();
    assert_eq!(log.matches(gone).count(), 1, "{log}");
    assert_eq!(log.matches("is there again").count(), 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() -> Result {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let app = TestApp::subscribers_at(&format!("redis://127.0.0.1:{port}"), |manifest| manifest)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    eventually(async || Ok(host.log().contains("is not there: ").then_some(()))).await?;
    let ready = host.admin("/readyz").await?;
    let told = ready.json()?["unsubscribed"].clone();
    assert_eq!((ready.status(), told.as_array().map(Vec::len)), (503, Some(4)), "{}", ready.text());
    let named = |trigger: &str| told.as_array().is_some_and(|all| all.iter().any(|one| one["trigger"] == trigger));
    assert!(named("redis:s7:s7") && named("redis:both:s5"), "{told}");
    assert_eq!(told[0]["state"], "connecting", "{told}");
    let Some(server) = RedisServer::start_at(port, None).await? else { return Ok(()) };
    listening(&server).await?;
    eventually(async || Ok((host.admin("/readyz").await?.status() == 200).then_some(()))).await?;
    let log = host.log();
    assert!(log.contains("subscribed to a Redis server") && !log.contains("there again"), "{log}");
    server.publish("s5", "at last").await?;
    assert_eq!(server.texts("s5", 1).await?, ["at last"]);
    Ok(())
}

#[tokio::test]
async fn a_password_is_used_and_never_shown_and_a_wrong_one_is_told() -> Result {
    let Some(server) = RedisServer::start(Some("hunter2")).await? else { return Ok(()) };
    for (password, subscribes) in [("hunter2", true), ("hunter3", false)] {
        let address = format!("redis://:{password}@127.0.0.1:{}", server.port());
        let app = TestApp::subscribers_at(&address, |manifest| {
            manifest.replace(&format!("[\"{address}\"]"), "[\"redis://127.0.0.1:*\"]")
        })?;
        let host = TestHost::of(&app.manifest()).log_filter("debug").start().await?;
        let subscribed = async || Ok(host.log().contains("subscribed to a Redis server").then_some(()));
        let refused =
            async || Ok(host.log().contains("lets nobody subscribe: the server refuses: WRONGPASS").then_some(()));
        if subscribes {
            eventually(subscribed).await?;
        } else {
            eventually(refused).await?;
        }
        let said = host.log() + host.banner() + host.admin("/readyz").await?.text();
        assert!(!said.contains("hunter") && !said.contains("is not there"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_redis_server_is_told_and_asked_again() -> Result {
    let web = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let app = TestApp::subscribers_at(&format!("redis://{}", web.local_addr()?), |manifest| manifest)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for _ in 0..3 {
        let (mut asked, _) = web.accept().await?;
        asked.read_buf(&mut Vec::new()).await?;
        asked.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
    }
    let log = host.log();
    assert_eq!(log.matches("does not speak Redis' protocol").count(), 1, "{log}");
    Ok(())
}

#[tokio::test]
async fn a_signal_takes_no_further_message_and_lets_one_in_flight_finish() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, mut host) = up(&server, |manifest| manifest).await?;
    for channel in ["s7", "s5"] {
        server.publish(channel, format!("!hold gate-{channel}")).await?;
        assert_eq!(server.texts(channel, 1).await?, ["held"]);
    }
    host.signal(host.pid()?, Signal::TERM)?;
    for channel in ["s7", "s5", "both"] {
        server.subscribed(channel, 0).await?;
    }
    for channel in ["s7", "s5"] {
        server.ask(&format!("RPUSH gate-{channel} open")).await?;
        assert_eq!(server.texts(channel, 2).await?, ["held", "let go"], "a message was cut");
    }
    assert_eq!(host.ended().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_message_that_waits_for_its_place_when_the_host_stops_is_given_up_and_counted() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, mut host) = up(&server, |manifest| limits(&manifest, "max_in_flight = 1")).await?;
    // Of the two that take it, the first has the only place.
    server.publish("both", "!hold gate").await?;
    assert_eq!(server.texts("s7", 1).await?, ["held"]);
    host.signal(host.pid()?, Signal::TERM)?;
    server.subscribed("s5", 0).await?;
    server.ask("RPUSH gate open").await?;
    assert_eq!(server.texts("s7", 2).await?, ["held", "let go"]);
    assert_eq!(host.ended().await?, 0);
    assert!(server.list("s5", 0).await?.is_empty(), "a message began though the host was stopping");
    let log = host.log();
    assert!(log.lines().any(|line| line.contains("a message was given up") && line.contains("redis:both:s5")), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever_for_a_message() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, mut host) = up(&server, |manifest| limits(&manifest, "drain_seconds = 1")).await?;
    for channel in ["s7", "s5"] {
        server.publish(channel, "!hold never").await?;
        server.list(channel, 1).await?;
    }
    host.signal(host.pid()?, Signal::TERM)?;
    assert_eq!(host.ended().await?, 0);
    let log = host.log();
    assert!(log.contains("are cut") && log.contains("a message was not handled: the host is stopping"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_change_of_channels_is_followed_and_a_connection_that_stays_the_same_stays() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&server, |manifest| manifest)?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    listening(&server).await?;
    let connection = async || Ok::<_, anyhow::Error>(first_word(&server.ask("CLIENT LIST TYPE pubsub").await?));
    let before = connection().await?;
    let change = |from: &str, to: &str| {
        let manifest = fs::read_to_string(app.manifest())?.replace(from, to);
        fs::write(app.path().join("next"), manifest)?;
        Ok::<_, anyhow::Error>(fs::rename(app.path().join("next"), app.manifest())?)
    };
    change("LIST = \"s7\"", "LIST = \"changed\"")?;
    eventually(async || {
        server.publish("s7", "which list?").await?;
        Ok((!server.list("changed", 0).await?.is_empty()).then_some(()))
    })
    .await?;
    assert_eq!(connection().await?, before, "a connection was made anew though nothing of it has changed");
    change("channel = \"s5\"", "channel = \"other\"")?;
    server.subscribed("other", 1).await?;
    server.subscribed("s5", 0).await?;
    server.publish("other", "over there").await?;
    assert_eq!(server.texts("s5", 1).await?, ["over there"]);
    let log = host.log();
    assert!(!log.contains("is not there"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_no_trigger_names_any_more_is_not_subscribed_to() -> Result {
    let Some(old) = RedisServer::start(None).await? else { return Ok(()) };
    let Some(new) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&old, |manifest| manifest)?;
    let host = TestHost::watch(&app.manifest()).start().await?;
    listening(&old).await?;
    let manifest = fs::read_to_string(app.manifest())?.replace(&old.address(), &new.address());
    fs::write(app.path().join("next"), manifest)?;
    fs::rename(app.path().join("next"), app.manifest())?;
    listening(&new).await?;
    for channel in ["s7", "s5", "both"] {
        old.subscribed(channel, 0).await?;
    }
    let is = |metrics: &bobbin_tests::Metrics, server: &RedisServer| {
        metrics.sum("bobbin_redis_subscribed", &[("server", &server.address())])
    };
    let moved = |metrics: &bobbin_tests::Metrics| is(metrics, &old) < 0.5 && is(metrics, &new) > 0.5;
    host.metrics_when("only the new server is subscribed to", moved).await?;
    let ready = host.admin("/readyz").await?;
    assert_eq!((ready.status(), &ready.json()?["unsubscribed"]), (200, &serde_json::json!([])), "{}", ready.text());
    Ok(())
}

/// `id=7` of the first connection in a list.
fn first_word(clients: &str) -> String {
    clients.split_whitespace().find(|word| word.starts_with("id=")).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_host_begins_to_listen_for_requests_when_its_application_gets_a_route() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&server, |manifest| manifest)?;
    let host = TestHost::watch(&app.manifest()).start_unready().await?;
    listening(&server).await?;
    let hello = format!(
        "\n[[trigger.http]]\nroute = \"/hello\"\ncomponent = \"hello\"\n[component.hello]\n\
         source = \"{}/guest-components/target/wasm32-wasip2/release/hello.wasm\"\n",
        bobbin_tests::repository_root().display()
    );
    fs::write(app.path().join("next"), fs::read_to_string(app.manifest())? + &hello)?;
    fs::rename(app.path().join("next"), app.manifest())?;
    eventually(async || Ok(host.get("/hello").await.ok().filter(|answer| answer.status() == 200).map(drop))).await?;
    listening(&server).await?;
    server.publish("s7", "here, too").await?;
    assert_eq!(server.texts("s7", 1).await?, ["here, too"]);
    Ok(())
}
