//! Components that publish to MQTT brokers, in both versions of the interface.

use bobbin_tests::{MqttBroker, Result, Subscriber, TestApp, TestHost};
use serde_json::{Value, json};

const INTERFACES: [&str; 2] = ["/s7/mqtt", "/s5/mqtt/v2"];

async fn on(broker: &MqttBroker) -> Result<(TestApp, TestHost)> {
    let app = TestApp::databases(&[&format!("mqtt://127.0.0.1:{}", broker.port())])?;
    let host = TestHost::of(&app.manifest()).log_filter("debug").start().await?;
    Ok((app, host))
}

fn address(port: u16) -> String {
    format!("mqtt://127.0.0.1:{port}?client_id=component")
}

/// Publishes messages, each `[topic, text, quality]`.
async fn publish(host: &TestHost, path: &str, address: &str, calls: Value) -> Result<Value> {
    let asked = json!({ "address": address, "username": "spin", "password": "hunter2", "calls": calls });
    host.ask(path, asked.to_string()).await
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn messages_of_every_quality_arrive_in_their_order() -> Result {
    let Some(broker) = MqttBroker::start(true).await? else { return Ok(()) };
    let (_app, host) = on(&broker).await?;
    let mut listener = Subscriber::to(&broker).await?;
    for interface in INTERFACES {
        let calls = json!([["a/0", "ä", 0], ["a/1", "", 1], ["a/2", "two", 2], ["a/3", "x".repeat(100_000), 2]]);
        let answers = publish(&host, interface, &address(broker.port()), calls.clone()).await?;
        assert_eq!(answers, json!([{ "ok": null }, { "ok": null }, { "ok": null }, { "ok": null }]), "{interface}");
        for call in calls.as_array().into_iter().flatten() {
            let (topic, text) = listener.next().await?;
            assert_eq!((json!(topic), json!(text)), (call[0].clone(), call[1].clone()), "{interface}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_granted_and_what_is_no_message_is_refused_by_name() -> Result {
    let Some(broker) = MqttBroker::start(true).await? else { return Ok(()) };
    let (_app, host) = on(&broker).await?;
    let port = broker.port();
    let calls = || json!([["a", "b", 1]]);
    for path in ["/none/mqtt", "/none5/mqtt/v2"] {
        let secret = format!("mqtt://user:hunter2@127.0.0.1:{port}?client_id=a");
        let answer = publish(&host, path, &secret, calls()).await?;
        let told = format!("ConnectionFailed(\"address mqtt://127.0.0.1:{port} is not permitted\")");
        assert!(error(&answer).contains(&told), "{path}: {answer}");
    }
    for interface in INTERFACES {
        for (address, told) in [
            (format!("mqtts://127.0.0.1:{port}?client_id=a"), "not permitted"),
            (format!("mqtt://localhost:{port}?client_id=a"), "not permitted"),
            (format!("mqtt://127.0.0.1:{port}"), "InvalidAddress"),
            ("hunter2".to_owned(), "InvalidAddress"),
        ] {
            let answer = publish(&host, interface, &address, calls()).await?;
            assert!(error(&answer).contains(told), "{interface} {address}: {answer}");
        }
        let calls = json!([["a/#", "b", 1], ["a", "b", 1]]);
        let answer = publish(&host, interface, &address(port), calls).await?;
        assert!(error(&answer[0]).contains("topic"), "{interface}: {answer}");
        assert_eq!(answer[1], json!({ "ok": null }), "{interface}");
        let large = json!([["a", "x".repeat(7 << 20), 0]]);
        let answer = publish(&host, interface, &address(port), large).await?;
        assert!(error(&answer[0]).contains("limit of"), "{interface}: {answer:.300}");
    }
    let log = host.log();
    assert!(log.contains(&format!("to allow it, add \"mqtt://127.0.0.1:{port}\"")), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_broker_that_refuses_or_is_gone_is_an_error_of_the_message() -> Result {
    let Some(broker) = MqttBroker::start(false).await? else { return Ok(()) };
    let (_app, host) = on(&broker).await?;
    for interface in INTERFACES {
        let answer = publish(&host, interface, &address(broker.port()), json!([["a", "b", 1]])).await?;
        let told =
            error(&answer[0]).contains("ConnectionFailed") && error(&answer[0]).contains("refused the connection");
        assert!(told, "{interface}: {answer}");
    }
    let port = broker.kill().await?;
    for interface in INTERFACES {
        let answer = publish(&host, interface, &address(port), json!([["a", "b", 0]])).await?;
        assert!(error(&answer[0]).contains("ConnectionFailed"), "{interface}: {answer}");
    }
    let Some(broker) = MqttBroker::start_at(port, true).await? else { return Ok(()) };
    let mut listener = Subscriber::to(&broker).await?;
    publish(&host, "/s7/mqtt", &address(port), json!([["back", "again", 2]])).await?;
    assert_eq!(listener.next().await?, ("back".to_owned(), "again".to_owned()));
    Ok(())
}
