//! What a component can make the host hold, and for how long.

use super::{INTERFACES, NEW, ask, fails, on};
use bobbin_tests::{MysqlLiar, MysqlLie, MysqlServer, Result, TestApp, TestHost};
use serde_json::{Value, json};

#[tokio::test]
async fn a_result_that_does_not_fit_is_refused_and_rows_that_are_read_make_room() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let memory = host.watch_memory()?;
    let huge = json!([["query", "SELECT REPEAT('x', 300000000)", []]]);
    let many = json!([["query", "SELECT REPEAT('x', 1000) FROM seq_1_to_100000", []]]);
    for interface in INTERFACES {
        let answer = ask(&host, interface, &server.url(), huge.clone()).await?;
        assert!(fails(&answer[0], "QueryFailed", "too large"), "{interface}: {answer:.300}");
    }
    for interface in ["/s5/mysql/v1", "/s5/mysql/v2"] {
        let answer = ask(&host, interface, &server.url(), many.clone()).await?;
        assert!(fails(&answer[0], "QueryFailed", "too large"), "{interface}: {answer:.300}");
    }
    for interface in INTERFACES {
        // Rows that nobody looks at need no room at all.
        let answer = ask(&host, interface, &server.url(), json!([["execute", many[0][1], []]])).await?;
        assert_eq!(answer[0], json!({ "ok": null }), "{interface}: {answer:.300}");
    }
    let parameter = json!([["query", "SELECT LENGTH(?)", [{ "str": "x".repeat(7 << 20) }]]]);
    let answer = ask(&host, NEW, &server.url(), parameter).await?;
    assert!(fails(&answer[0], "QueryFailed", "limit of"), "{answer:.300}");
    let peak = memory.peak_growth()?;
    assert!(peak < 100 << 20, "{peak} bytes");
    Ok(())
}

#[tokio::test]
async fn rows_come_as_they_are_read_and_the_rest_is_in_nobodys_way() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let memory = host.watch_memory()?;
    // Far more than the account, of which the guest reads one row; and then it uses the connection again.
    let long = json!(["query", "SELECT seq, REPEAT('x', 100) FROM seq_1_to_300000", []]);
    let answers = ask(&host, "/s7/mysql/first", &server.url(), json!([long, long, ["execute", "DO 1", []]])).await?;
    for index in 0..2 {
        assert_eq!(answers[index]["ok"]["rows"][0][0], "DbValue::Uint64(1)", "{answers:.300}");
        assert_eq!(answers[index]["ok"]["rows"].as_array().map(Vec::len), Some(1), "{answers:.300}");
    }
    assert_eq!(answers[2], json!({ "ok": null }), "{answers:.300}");
    let longer = json!([["query", "SELECT REPEAT('x', 1000) FROM seq_1_to_30000", []]]);
    let answers = ask(&host, "/s7/mysql/count", &server.url(), longer).await?;
    assert_eq!(answers[0], json!({ "ok": 30_000 }), "more than the account holds at once");
    let some = json!([["query", "SELECT seq FROM seq_1_to_5000", []]]);
    let answers = ask(&host, NEW, &server.url(), some).await?;
    let rows: Vec<_> = answers[0]["ok"]["rows"].as_array().into_iter().flatten().map(|row| row[0].clone()).collect();
    let wanted: Vec<_> = (1..=5000).map(|number| json!(format!("DbValue::Uint64({number})"))).collect();
    assert!(rows == wanted, "{answers:.300}");
    let peak = memory.peak_growth()?;
    assert!(peak < 100 << 20, "{peak} bytes");
    Ok(())
}

#[tokio::test]
async fn a_statement_ends_with_the_time_of_its_request() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let app = TestApp::databases(&[&format!("mysql://127.0.0.1:{}", server.port())])?;
    let limits = "[application.trigger.bobbin.limits]";
    let manifest = std::fs::read_to_string(app.manifest())?;
    std::fs::write(app.manifest(), manifest.replace(limits, &format!("{limits}\nrequest_seconds = 2")))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for interface in INTERFACES {
        let answer = ask(&host, interface, &server.url(), json!([["query", "SELECT SLEEP(600)", []]])).await?;
        assert!(fails(&answer[0], "Other", "time is over"), "{interface}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_lies_gets_neither_memory_nor_files_nor_a_password() -> Result {
    for (lie, kind, told) in [
        (MysqlLie::Web, "ConnectionFailed", "does not speak MySQL's protocol"),
        (MysqlLie::EndlessGreeting, "ConnectionFailed", "limit of"),
        (MysqlLie::ClearPassword, "ConnectionFailed", "mysql_clear_password"),
        (MysqlLie::File, "QueryFailed", "asked for a file"),
        (MysqlLie::Gone, "QueryFailed", "the connection to the server broke"),
        (MysqlLie::EndlessRow, "QueryFailed", "too large"),
        (MysqlLie::EndlessColumns, "QueryFailed", "does not speak MySQL's protocol"),
        (MysqlLie::EndlessRows, "QueryFailed", "too large"),
        (MysqlLie::NoRow, "QueryFailed", "does not speak MySQL's protocol"),
    ] {
        let liar = MysqlLiar::start(lie).await?;
        let (_app, host) = on(liar.port()).await?;
        let memory = host.watch_memory()?;
        let address = format!("mysql://spin:hunter2@127.0.0.1:{}/spin", liar.port());
        // A stream of rows without end is one that a guest may read for as long as it has memory of its own.
        let interfaces = if lie == MysqlLie::EndlessRows { &INTERFACES[..2] } else { &INTERFACES };
        for interface in interfaces {
            let mut calls = vec![json!(["query", "SELECT 1", []])];
            if lie != MysqlLie::EndlessRows {
                calls.push(json!(["query", "SELECT 2", []]));
            }
            let answer = ask(&host, interface, &address, json!(calls)).await?;
            let opened = answer.is_array();
            let first = if opened { &answer[0] } else { &answer };
            assert!(fails(first, kind, told), "{lie:?} {interface}: {answer:.500}");
            if opened && !interface.ends_with("v1") && answer[1].is_object() {
                let again = fails(&answer[1], "QueryFailed", "cannot be used any more");
                assert!(again, "{lie:?} {interface}: {answer:.500}");
            }
        }
        let heard = liar.heard();
        assert!(!heard.windows(7).any(|bytes| bytes == b"hunter2"), "{lie:?}");
        let name = std::fs::read("/etc/hostname").unwrap_or_default();
        assert!(name.is_empty() || !heard.windows(name.len()).any(|bytes| bytes == name), "{lie:?}");
        let peak = memory.peak_growth()?;
        assert!(peak < 100 << 20, "{lie:?}: {peak} bytes");
    }
    Ok(())
}

#[tokio::test]
async fn statements_of_one_connection_run_in_turn_and_connections_are_counted() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let calls: Vec<Value> = (0..50).map(|number| json!(["query", "SELECT ?", [{ "int64": number }]])).collect();
    let answers = ask(&host, "/s7/mysql/together", &server.url(), json!(calls)).await?;
    for number in 0..50 {
        let row = json!([[format!("DbValue::Int64({number})")]]);
        assert_eq!(answers[number]["ok"]["rows"], row, "{answers}");
    }
    let open = async |count: u32| {
        host.ask("/s7/mysql/open", json!({ "address": server.url(), "count": count }).to_string()).await
    };
    let opened = open(500).await?;
    assert_eq!(opened["opened"], 128, "{opened}");
    assert!(fails(&opened, "ConnectionFailed", "too many connections are open; 128 are possible"), "{opened}");
    assert_eq!(open(100).await?, json!({ "opened": 100 }), "what a request has opened ends with it");
    Ok(())
}
