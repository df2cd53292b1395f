//! Messages reach the components that they are for, and components have what they have for requests.

use super::{BOTH, STORY, limits, listening, up};
use bobbin_tests::{Locked, RedisServer, Result, TestApp, TestHost, eventually, fixture_component};
use serde_json::json;
use std::fs;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_message_reaches_components_of_both_sdks_byte_for_byte() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| manifest).await?;
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let large = vec![7; 1 << 20];
    let messages: [&[u8]; 5] = [b"text", b"", &every, b"\r\n$5\r\n*3\r\n", &large];
    for channel in BOTH {
        for (sent, message) in messages.iter().enumerate() {
            server.publish(channel, message).await?;
            let got = server.list(channel, sent + 1).await?;
            assert!(got.last().is_some_and(|last| last == message), "{channel}: {} bytes", message.len());
        }
        assert_eq!(server.list(channel, messages.len()).await?.len(), messages.len(), "{channel}");
    }
    let handled = |channel: &str| format!("redis:{channel}:{channel}");
    host.metrics_when("all are counted", |metrics| {
        let count =
            |channel| metrics.sum("bobbin_messages_total", &[("route", &handled(channel)), ("outcome", "handled")]);
        BOTH.iter().all(|channel| count(channel) == messages.len() as f64)
    })
    .await?;
    let line = ["channel", &server.address(), "s7", "s7"];
    let told = host.banner().lines().any(|shown| shown.split_whitespace().eq(line));
    assert!(told, "{}", host.banner());
    Ok(())
}

#[tokio::test]
async fn a_channel_with_two_triggers_runs_both_and_every_channel_its_own() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, _host) = up(&server, |manifest| manifest).await?;
    server.publish("both", "for both").await?;
    server.publish("s5", "for one").await?;
    assert_eq!(server.texts("s7", 1).await?, ["for both"]);
    let mut s5 = server.texts("s5", 2).await?;
    s5.sort();
    assert_eq!(s5, ["for both", "for one"]);
    assert_eq!(server.texts("s7", 1).await?.len(), 1, "a message went to a channel that it was not published to");
    Ok(())
}

#[tokio::test]
async fn one_host_serves_requests_and_messages_and_both_see_the_same_stores() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let stores = format!(
        "\n[[trigger.http]]\nroute = \"/s3/...\"\ncomponent = \"stores\"\n[component.stores]\nsource = \"{}\"\n\
         key_value_stores = [\"default\"]\n",
        fixture_component("stores").display()
    );
    let (_app, host) = up(&server, |manifest| manifest + &stores).await?;
    for channel in BOTH {
        server.publish(channel, format!("!set {channel} kept by {channel}")).await?;
        let path = format!("/s3/kv/v3/get?store=default&key={channel}");
        let wanted = json!({ "ok": format!("kept by {channel}") });
        eventually(async || Ok((host.ask(&path, "").await? == wanted).then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_application_without_routes_listens_for_no_requests_and_tells_of_itself_all_the_same() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&server, |manifest| manifest)?;
    let host = TestHost::of(&app.manifest()).start_unready().await?;
    listening(&server).await?;
    assert!(TcpStream::connect(host.app_addr()).await.is_err(), "somebody listens for requests");
    assert_eq!(host.admin("/readyz").await?.status(), 200);
    let subscribed = host.metrics().await?.sum("bobbin_redis_subscribed", &[("server", &server.address())]);
    assert!((subscribed - 1.0).abs() < f64::EPSILON);
    Ok(())
}

#[tokio::test]
async fn a_message_may_ask_a_model_and_is_counted_with_the_version_that_answered() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| {
        let granted = "key_value_stores = [\"default\"]\nai_models = [\"story\"]";
        manifest.replace("key_value_stores = [\"default\"]", granted) + STORY
    })
    .await?;
    for channel in BOTH {
        server.publish(channel, "!tell Once upon a time").await?;
        let told = server.texts(channel, 1).await?;
        assert!(told.iter().all(|text| text.len() > 8), "{channel}: {told:?}");
        assert!(channel != "s7" || told[0].starts_with("storyteller@1.0.0: "), "{told:?}");
        let route = format!("redis:{channel}:{channel}");
        let labels = [("route", route.as_str()), ("bundle", "storyteller@1.0.0"), ("outcome", "handled")];
        host.metrics_when("the message is counted", |metrics| metrics.sum("bobbin_messages_total", &labels) > 0.0)
            .await?;
        assert!(host.metrics().await?.sum("bobbin_inferences_total", &[("route", &route)]) > 0.0, "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn a_component_calls_others_for_a_message_and_may_go_on_after_it_has_returned() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let hello = "\n[[trigger.http]]\nroute = { private = true }\ncomponent = \"hello\"\n[component.hello]\n\
                 source = \"{root}/guest-components/target/wasm32-wasip2/release/hello.wasm\"\n";
    let (_app, _host) = up(&server, |manifest| {
        let hosts = format!("[\"{}\"]", server.address());
        let more = format!("[\"{}\", \"http://hello.spin.internal\"]", server.address());
        manifest.replace(&hosts, &more) + hello
    })
    .await?;
    server.publish("s7", "!ask http://hello.spin.internal/").await?;
    assert_eq!(server.texts("s7", 1).await?, ["200"]);
    server.publish("s7", "!trail").await?;
    assert_eq!(server.texts("s7", 2).await?, ["200", "trail"]);
    Ok(())
}

#[tokio::test]
async fn what_a_component_prints_for_a_message_is_in_its_files_and_in_the_log() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&server, |manifest| manifest)?;
    let logs = app.path().join("logs");
    let host = TestHost::of(&app.manifest()).arg("--log-dir").arg(&logs.display().to_string()).start().await?;
    listening(&server).await?;
    for channel in BOTH {
        server.publish(channel, format!("!print printed by {channel}")).await?;
        for stream in ["stdout", "stderr"] {
            let file = logs.join(format!("{channel}_{stream}.txt"));
            let text = async || Ok(fs::read_to_string(&file).ok().filter(|text| text.contains("printed by")));
            assert_eq!(eventually(text).await?.trim_end(), format!("printed by {channel}"));
        }
        let log = host.log();
        assert!(log.contains(&format!("printed by {channel}")), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn variables_name_the_server_and_the_channel_and_a_trigger_may_have_a_server_of_its_own() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let Some(own) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&server, |manifest| {
        let default = format!("[application.trigger.redis]\naddress = \"{}\"", server.address());
        let template = "[application.trigger.redis]\naddress = \"redis://127.0.0.1:{{ port }}/0\"\n\
                        [variables]\nport = { required = true }\ntopic = { default = \"news\" }";
        let own = format!("channel = \"{{{{ topic }}}}-s5\"\naddress = \"{}\"", own.address());
        manifest.replace(&default, template).replace("channel = \"s5\"", &own)
    })?;
    let port = format!("port={}", server.port());
    let _host = TestHost::of(&app.manifest()).arg("--variable").arg(&port).start().await?;
    own.subscribed("news-s5", 1).await?;
    server.subscribed("s7", 1).await?;
    own.publish("news-s5", "by the other server").await?;
    assert_eq!(server.texts("s5", 1).await?, ["by the other server"]);
    assert!(server.publish("news-s5", "to nobody").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_locked_application_is_served_in_both_versions_of_the_format() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let component = json!({
        "env": { "SERVER": server.address(), "LIST": "locked" },
        "metadata": { "allowed_outbound_hosts": [server.address()] },
    });
    for version in [0, 1] {
        let file = Locked::new("locked")
            .with("spin_lock_version", json!(version))
            .settings("redis", json!({ "address": server.address() }))
            .component("s7", &fixture_component("subscriber"), component.clone())
            .trigger("redis", "s7-redis-trigger", json!({ "channel": "locked", "component": "s7" }))
            .write(folder.path())?;
        let host = TestHost::of(&file).start().await?;
        server.subscribed("locked", 1).await?;
        server.publish("locked", format!("in version {version}")).await?;
        assert_eq!(server.texts("locked", version + 1).await?.last(), Some(&format!("in version {version}")));
        // The trigger has the id that it has by its spin.toml, which names none.
        host.metrics_when("it is counted", |metrics| {
            metrics.sum("bobbin_messages_total", &[("route", "redis:locked:s7")]) > 0.0
        })
        .await?;
        drop(host);
        server.subscribed("locked", 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_component_that_is_chosen_takes_its_messages_and_the_others_take_none() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::subscribers(&server, |manifest| manifest)?;
    let _host = TestHost::of(&app.manifest()).arg("--component-id").arg("s5").start().await?;
    server.subscribed("s5", 1).await?;
    server.subscribed("s7", 0).await?;
    server.publish("both", "for one alone").await?;
    assert_eq!(server.texts("s5", 1).await?, ["for one alone"]);
    assert!(server.list("s7", 0).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn messages_wait_for_their_places_and_leave_some_to_requests() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let hello = "\n[[trigger.http]]\nroute = \"/hello\"\ncomponent = \"hello\"\n[component.hello]\n\
                 source = \"{root}/guest-components/target/wasm32-wasip2/release/hello.wasm\"\n";
    let (_app, host) = up(&server, |manifest| limits(&(manifest + hello), "max_in_flight = 4")).await?;
    for _ in 0..10 {
        server.publish("s5", "!hold gate").await?;
    }
    let held = server.texts("s5", 3).await?;
    assert_eq!(held, ["held"; 3], "three of four places are for messages");
    assert_eq!(host.get("/hello").await?.status(), 200, "the fourth is for requests");
    assert_eq!(server.texts("s5", 3).await?.len(), 3, "messages took more places than are theirs");
    server.ask("RPUSH gate 1 2 3 4 5 6 7 8 9 10").await?;
    let all = server.texts("s5", 20).await?;
    assert_eq!(all.iter().filter(|text| *text == "let go").count(), 10, "{all:?}");
    Ok(())
}
