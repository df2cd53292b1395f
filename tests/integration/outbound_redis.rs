//! Components that talk to Redis servers themselves, in every version of the interface.

use bobbin_tests::{RedisServer, Result, TestApp, TestHost};
use serde_json::{Value, json};

const INTERFACES: [&str; 3] = ["/s7/redis", "/s5/redis/v2", "/s5/redis/v1"];

async fn on(server: &RedisServer) -> Result<(TestApp, TestHost)> {
    let app = TestApp::databases(&[&format!("redis://127.0.0.1:{}", server.port())])?;
    let host = TestHost::of(&app.manifest()).log_filter("debug").start().await?;
    Ok((app, host))
}

async fn ask(host: &TestHost, path: &str, address: &str, calls: Value) -> Result<Value> {
    host.ask(path, json!({ "address": address, "calls": calls }).to_string()).await
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_an_invalid_address_and_the_log_says_what_to_add() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let port = server.port();
    for (path, address) in [
        ("/none/redis", format!("redis://:hunter2@127.0.0.1:{port}")),
        ("/none5/redis/v2", format!("redis://:hunter2@127.0.0.1:{port}")),
        ("/s7/redis", format!("redis://:hunter2@localhost:{port}")),
        ("/s5/redis/v2", format!("redis://127.0.0.1:{port}@127.0.0.2:{port}")),
        ("/s7/redis", format!("rediss://127.0.0.1:{port}")),
        ("/s7/redis", "redis+unix:///tmp/hunter2".to_owned()),
        ("/s5/redis/v2", "hunter2".to_owned()),
    ] {
        let answer = ask(&host, path, &address, json!([["get", "k"]])).await?;
        assert!(error(&answer).contains("InvalidAddress"), "{path} {address}: {answer}");
    }
    for path in ["/none5/redis/v1"] {
        let answer = ask(&host, path, &format!("redis://127.0.0.1:{port}"), json!([["get", "k"]])).await?;
        assert!(error(&answer[0]).contains("name: \"error\""), "{answer}");
    }
    let log = host.log();
    assert!(log.contains(&format!("to allow it, add \"redis://127.0.0.1:{port}\"")), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() -> Result {
    let Some(server) = RedisServer::start(Some("hunter2")).await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    for interface in INTERFACES {
        let right =
            ask(&host, interface, &format!("redis://:hunter2@127.0.0.1:{}", server.port()), json!([["incr", "n"]]))
                .await?;
        assert!(right[0]["ok"].is_number(), "{interface}: {right}");
        let wrong =
            ask(&host, interface, &format!("redis://:hunter3@127.0.0.1:{}", server.port()), json!([["incr", "n"]]))
                .await?;
        assert!(wrong.to_string().contains("rror") && !wrong.to_string().contains("hunter"), "{interface}: {wrong}");
    }
    assert!(!host.log().contains("hunter"), "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_refused_and_the_next_request_is_served() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let address = format!("redis://127.0.0.1:{}", server.port());
    server.ask("SETRANGE big 200000000 x").await?;
    let memory = host.watch_memory()?;
    for interface in ["/s7/redis", "/s5/redis/v2"] {
        for calls in [json!([["get", "big"]]), json!([["execute", "GET", ["big"]]])] {
            let answer = ask(&host, interface, &address, calls).await?;
            assert!(error(&answer[0]).contains("too large"), "{interface}: {answer}");
        }
    }
    let peak = memory.peak_growth()?;
    assert!(peak < 100 << 20, "{peak} bytes");
    let fits = "x".repeat(2 << 20);
    let answer = ask(&host, "/s7/redis", &address, json!([["set", "k", fits], ["get", "k"]])).await?;
    assert_eq!(answer[1]["ok"].as_str().map(str::len), Some(2 << 20));
    Ok(())
}

#[tokio::test]
async fn calls_of_one_connection_are_under_way_at_once_and_connections_are_counted() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let address = format!("redis://127.0.0.1:{}", server.port());
    let calls: Vec<Value> = (0..50).map(|_| json!(["incr", "n"])).collect();
    let answers = ask(&host, "/s7/redis/together", &address, json!(calls)).await?;
    let mut numbers: Vec<i64> =
        answers.as_array().into_iter().flatten().filter_map(|answer| answer["ok"].as_i64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<i64>>(), "{answers}");
    let opened = host.ask("/s7/open", json!({ "address": address, "count": 500 }).to_string()).await?;
    assert_eq!(opened["opened"], 128, "{opened}");
    assert!(error(&opened).contains("TooManyConnections"), "{opened}");
    let again = host.ask("/s7/open", json!({ "address": address, "count": 100 }).to_string()).await?;
    assert_eq!(again, json!({ "opened": 100 }), "what a request has opened ends with it");
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_a_request_its_time_and_no_more() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let app = TestApp::databases(&[&format!("redis://127.0.0.1:{}", server.port())])?;
    let manifest = std::fs::read_to_string(app.manifest())?;
    std::fs::write(
        app.manifest(),
        manifest
            .replace("[application.trigger.bobbin.limits]", "[application.trigger.bobbin.limits]\nrequest_seconds = 2"),
    )?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let address = format!("redis://127.0.0.1:{}", server.port());
    for interface in ["/s7/redis", "/s5/redis/v2"] {
        let answer = ask(&host, interface, &address, json!([["execute", "BLPOP", ["nothing", 0]]])).await?;
        assert!(error(&answer[0]).contains("time is over"), "{interface}: {answer}");
    }
    Ok(())
}
