//! Components that talk to PostgreSQL servers, in every version of the interface.

use bobbin_tests::{Authority, PostgresServer, Result, TestApp, TestHost};
use serde_json::{Value, json};

const NEW: &str = "/s7/postgres";

async fn on(server: &PostgresServer) -> Result<(TestApp, TestHost)> {
    let port = server.port();
    let hosts = [format!("postgres://127.0.0.1:{port}"), format!("postgres://localhost:{port}")];
    let app = TestApp::databases(&[&hosts[0], &hosts[1]])?;
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
async fn a_host_that_is_not_granted_is_named_without_its_password() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let port = server.port();
    let calls = || json!([["query", "SELECT 1"]]);
    for (path, address, told) in [
        ("/none/postgres", server.url(), format!("address postgres://127.0.0.1:{port} is not permitted")),
        ("/none5/postgres/v2", server.url(), format!("address postgres://127.0.0.1:{port} is not permitted")),
        ("/none5/postgres/v3", server.url(), format!("address postgres://127.0.0.1:{port} is not permitted")),
        (NEW, format!("host=127.0.0.1,127.0.0.2 port={port} user=spin password=hunter2"), "127.0.0.2".into()),
        (NEW, format!("host=127.0.0.1 hostaddr=127.0.0.2 port={port} user=spin password=hunter2"), "hostaddr".into()),
        (NEW, "host=/tmp user=spin password=hunter2".into(), "Unix sockets are not supported".into()),
        (NEW, "hunter2".into(), "cannot be read".into()),
    ] {
        let answer = ask(&host, path, &address, calls()).await?;
        let told = error(&answer).contains("ConnectionFailed") && error(&answer).contains(&told);
        assert!(told && !error(&answer).contains("hunter2"), "{path} {address}: {answer}");
    }
    let answer = ask(&host, "/none5/postgres/v1", &server.url(), calls()).await?;
    assert!(error(&answer[0]).contains("is not permitted") && !error(&answer[0]).contains("hunter2"), "{answer}");
    let wrong = server.url().replace("hunter2", "hunter3");
    for interface in ["/s5/postgres/v2", NEW] {
        let answer = ask(&host, interface, &wrong, calls()).await?;
        assert!(error(&answer).contains("password authentication failed"), "{interface}: {answer}");
        assert!(!error(&answer).contains("hunter3"), "{interface}: {answer}");
    }
    let log = host.log();
    assert!(log.contains(&format!("to allow it, add \"postgres://127.0.0.1:{port}\"")), "{log}");
    assert!(!log.contains("hunter"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_result_that_does_not_fit_is_refused_and_rows_that_are_read_make_room() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let memory = host.watch_memory()?;
    let huge = json!([["query", "SELECT repeat('x', 300000000)"]]);
    let many = json!([["query", "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"]]);
    let numbers = json!([["query", "SELECT array_agg(1e130000) FROM generate_series(1, 1000)"]]);
    for interface in ["/s5/postgres/v2", "/s5/postgres/v4", NEW] {
        for calls in [&huge, &numbers] {
            let answer = ask(&host, interface, &server.url(), calls.clone()).await?;
            assert!(error(&answer[0]).contains("too large"), "{interface}: {answer:.300}");
        }
    }
    let answer = ask(&host, "/s5/postgres/v4", &server.url(), many.clone()).await?;
    assert!(error(&answer[0]).contains("too large"), "{answer:.300}");
    // As a stream, they come one behind the other; and what nobody reads is not fetched.
    let counted = json!([["query", "SELECT n, repeat('x', 100) FROM generate_series(1, 200000) AS n"]]);
    let answer =
        host.ask("/s7/postgres/first", json!({ "address": server.url(), "calls": counted }).to_string()).await?;
    assert_eq!(answer[0]["ok"]["rows"][0][0], "DbValue::Int32(1)", "{answer:.300}");
    // Rows that are only counted need no room at all.
    let answer = ask(&host, NEW, &server.url(), json!([["execute", many[0][1]]])).await?;
    assert_eq!(answer[0], json!({ "ok": 100_000 }), "{answer}");
    let peak = memory.peak_growth()?;
    assert!(peak < 100 << 20, "{peak} bytes");
    Ok(())
}

#[tokio::test]
async fn a_statement_ends_with_the_time_of_its_request() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let app = TestApp::databases(&[&format!("postgres://127.0.0.1:{}", server.port())])?;
    let limits = "[application.trigger.bobbin.limits]";
    let manifest = std::fs::read_to_string(app.manifest())?;
    std::fs::write(app.manifest(), manifest.replace(limits, &format!("{limits}\nrequest_seconds = 2")))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for interface in ["/s5/postgres/v2", NEW] {
        let answer = ask(&host, interface, &server.url(), json!([["query", "SELECT pg_sleep(600)"]])).await?;
        assert!(error(&answer[0]).contains("time is over"), "{interface}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_is_secured_where_the_address_says_so_and_the_certificate_is_checked() -> Result {
    let authority = Authority::new("private")?;
    let certificate = authority.certificate();
    let issued = authority.server(&["localhost"])?;
    let Some(server) = PostgresServer::start_secured(&issued).await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let address = |mode: &str| server.url().replace("127.0.0.1", "localhost").replace("disable", mode);
    let calls = json!([["query", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]]);
    let trusting = async |address: &str, ca: &str| {
        host.ask(NEW, json!({ "address": address, "ca": ca, "calls": calls }).to_string()).await
    };
    for mode in ["require", "prefer"] {
        let answer = trusting(&address(mode), &certificate).await?;
        assert_eq!(answer[0]["ok"]["rows"], json!([["DbValue::Boolean(true)"]]), "{mode}: {answer}");
    }
    let answer = ask(&host, NEW, &address("disable"), calls.clone()).await?;
    assert_eq!(answer[0]["ok"]["rows"], json!([["DbValue::Boolean(false)"]]), "{answer}");
    // Nobody vouches for it.
    let answer = ask(&host, NEW, &address("require"), calls.clone()).await?;
    assert!(error(&answer).contains("ConnectionFailed") && error(&answer).contains("certificate"), "{answer}");
    let answer = trusting(&server.url().replace("disable", "require"), &certificate).await?;
    assert!(error(&answer).contains("ConnectionFailed"), "another name: {answer}");
    let answer = trusting(&address("require"), "no certificate").await?;
    assert!(error(&answer).contains("invalid root certificate"), "{answer}");
    Ok(())
}
