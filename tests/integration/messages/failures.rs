//! Handlers that fail, and messages that are refused: counted, logged, and of no consequence for others.

use super::{BOTH, limits, up};
use bobbin_tests::{RedisServer, Result, TestHost, eventually};

/// Publishes a message to each component, and waits until it is counted by this outcome.
async fn comes_to(server: &RedisServer, host: &TestHost, message: &str, outcome: &str) -> Result {
    for channel in BOTH {
        server.publish(channel, message).await?;
        let route = format!("redis:{channel}:{channel}");
        let labels = [("route", route.as_str()), ("outcome", outcome)];
        let what = format!("{message} in {channel} is counted as {outcome}");
        host.metrics_when(&what, |metrics| metrics.sum("bobbin_messages_total", &labels) > 0.0).await?;
    }
    Ok(())
}

/// Both components go on as if nothing had happened.
async fn go_on(server: &RedisServer) -> Result {
    for channel in BOTH {
        server.publish(channel, "all is well").await?;
        assert_eq!(server.texts(channel, 1).await?, ["all is well"], "{channel}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_and_traps_are_counted_and_logged_with_their_channel() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| manifest).await?;
    comes_to(&server, &host, "!error the shelf is empty", "guest_failed").await?;
    comes_to(&server, &host, "!trap", "guest_trapped").await?;
    go_on(&server).await?;
    let log = host.log();
    for channel in BOTH {
        let named = |line: &&str| {
            line.contains("a message was not handled") && line.contains(&format!("channel=\"{channel}\""))
        };
        let lines: Vec<&str> = log.lines().filter(named).collect();
        assert_eq!(lines.len(), 2, "{channel}: {log}");
        assert!(lines.iter().all(|line| line.contains(&format!("component={channel}"))), "{log}");
    }
    // spin-sdk 5 has no text in its error, and prints it.
    assert!(log.contains("it returned an error: \"the shelf is empty\""), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_waits_beyond_its_deadline_is_ended() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| limits(&manifest, "request_seconds = 1\ngrace_seconds = 0")).await?;
    comes_to(&server, &host, "!sleep", "deadline_exceeded").await?;
    host.metrics_when("no place is taken", |metrics| metrics.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_handler_that_computes_without_end_is_ended() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| limits(&manifest, "guest_cpu_seconds = 1")).await?;
    comes_to(&server, &host, "!busy", "cpu_budget_exceeded").await?;
    go_on(&server).await
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_next_one_is_not() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| limits(&manifest, "body_bytes = 1000")).await?;
    server.publish("both", vec![b'x'; 1001]).await?;
    server.publish("both", vec![b'y'; 1000]).await?;
    for channel in BOTH {
        assert_eq!(server.list(channel, 1).await?, [vec![b'y'; 1000]], "{channel}");
        let route = format!("redis:both:{channel}");
        let labels = [("route", route.as_str()), ("reason", "message_too_long")];
        let refused = host.metrics().await?.sum("bobbin_messages_refused_total", &labels);
        assert!((refused - 1.0).abs() < f64::EPSILON, "{channel}: {refused}");
    }
    let log = host.log();
    assert!(log.contains("it has 1001 bytes, and body_bytes allows 1000 bytes"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_message_over_the_limit_takes_no_memory_however_long_it_is() -> Result {
    const MESSAGE: u64 = 24 << 20;
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| manifest).await?;
    server.publish("s7", "a first one").await?;
    server.list("s7", 1).await?;
    let memory = host.watch_memory()?;
    for sent in 1..=4_u32 {
        server.ask(&format!("EVAL \"return redis.call('publish', 's7', string.rep('x', {MESSAGE}))\" 0")).await?;
        let refused = |metrics: &bobbin_tests::Metrics| {
            metrics.sum("bobbin_messages_refused_total", &[("route", "redis:s7:s7")]) >= f64::from(sent)
        };
        host.metrics_when("the message is refused", refused).await?;
        // It is refused when its length is known. Its end must be past before the next one: the server closes a connection
        // for which it keeps more than 32 MiB.
        server.publish("s7", "and on").await?;
        server.list("s7", sent as usize + 1).await?;
    }
    let peak = memory.peak_growth()?;
    assert!(peak < MESSAGE / 2, "{peak} bytes");
    Ok(())
}

#[tokio::test]
async fn what_is_not_granted_for_requests_is_not_granted_for_messages() -> Result {
    let Some(server) = RedisServer::start(None).await? else { return Ok(()) };
    let (_app, host) = up(&server, |manifest| manifest.replace("key_value_stores = [\"default\"]", "")).await?;
    comes_to(&server, &host, "!set key value", "guest_failed").await?;
    comes_to(&server, &host, "!tell Once upon a time", "guest_failed").await?;
    eventually(async || Ok(host.log().contains("a model that it is not granted").then_some(()))).await?;
    go_on(&server).await
}
