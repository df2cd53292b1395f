//! SQLite databases, as components of every version of the interface use them.

use bobbin_tests::{Result, TestApp, TestHost, eventually};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::fs;

const INTERFACES: [&str; 4] = ["/s3/sql/v3", "/s5/sql/v1", "/s5/sql/v2", "/s5/sql/v3"];

async fn start() -> Result<(TestApp, TestHost)> {
    let app = TestApp::stores(|manifest| manifest)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

/// Runs statements in one connection to the default database.
async fn run(host: &TestHost, interface: &str, statements: &Value) -> Result<Value> {
    host.ask(&format!("{interface}?database=default"), statements.to_string()).await
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn no_statement_reaches_another_file_or_loads_code() -> Result {
    let (app, host) = start().await?;
    let other = app.path().join("other.sqlite");
    for statement in [
        format!("ATTACH '{}' AS other", other.display()),
        format!("VACUUM INTO '{}'", other.display()),
        "ATTACH ':memory:' AS other".to_owned(),
        "SELECT load_extension('libm.so.6')".to_owned(),
        "PRAGMA hard_heap_limit = 1".to_owned(),
        "PRAGMA database_list".to_owned(),
    ] {
        for interface in INTERFACES {
            let answer = run(&host, interface, &json!([[statement, []]])).await?;
            assert!(error(&answer).contains("Io("), "{interface}: {statement}: {answer}");
        }
    }
    assert!(!other.exists());
    Ok(())
}

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[tokio::test]
async fn a_long_statement_ends_with_the_requests_time_and_the_guest_hears_of_it() -> Result {
    let app = TestApp::stores(|text| format!("{text}\n[application.trigger.bobbin.limits]\nrequest_seconds = 1\n"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let endless = json!([[ENDLESS, []]]);
    for interface in INTERFACES {
        let answer = run(&host, interface, &endless).await?;
        assert!(error(&answer).contains("interrupted"), "{interface}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endless_statement_is_taken_from_the_components_processor_time_and_a_neighbour_goes_on() -> Result {
    let limits = "[application.trigger.bobbin.limits]\nguest_cpu_seconds = 1\nrequest_seconds = 600\n";
    let app = TestApp::stores(|text| format!("{text}\n{limits}"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let (endless, short) = (json!([[ENDLESS, []]]).to_string(), json!([["SELECT 1", []]]));
    for interface in INTERFACES {
        let path = format!("{interface}?database=default");
        let (ended, neighbour) = futures::join!(host.post(&path, endless.clone()), run(&host, interface, &short));
        assert_eq!(neighbour?["ok"][0]["rows"], json!([[1]]), "{interface}");
        let ended = ended?;
        assert_eq!(ended.status(), 504, "{interface}: {}", ended.text());
        assert_eq!(ended.json()?["code"], "cpu_budget_exceeded", "{interface}");
    }
    assert_eq!(run(&host, "/s3/sql/v3", &short).await?["ok"][0]["rows"], json!([[1]]));
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_full_is_the_interfaces_own_error_and_is_still_read() -> Result {
    let app =
        TestApp::stores(|text| format!("{text}\n[application.trigger.bobbin.limits]\ndatabase_bytes = 1048576\n"))?;
    let state = app.path().join(".bobbin");
    let host = TestHost::of(&app.manifest()).state_dir(&state).start().await?;
    run(&host, "/s3/sql/v3", &json!([["CREATE TABLE t (a)", []], ["INSERT INTO t VALUES ('kept')", []]])).await?;
    for interface in INTERFACES {
        let answer = run(&host, interface, &json!([["INSERT INTO t VALUES (randomblob(2000000))", []]])).await?;
        assert!(error(&answer).contains("DatabaseFull"), "{interface}: {answer}");
        let answer = run(&host, interface, &json!([["SELECT a FROM t", []]])).await?;
        assert_eq!(answer["ok"][0]["rows"], json!([["kept"]]), "{interface}");
    }
    assert!(fs::metadata(state.join("database.sqlite"))?.len() <= 1 << 20);
    Ok(())
}

#[tokio::test]
async fn a_statement_whose_client_left_makes_room_for_others() -> Result {
    let (_app, host) = start().await?;
    let body = json!([[ENDLESS, []]]).to_string();
    let mut left = Vec::new();
    // More than may run at once.
    for _ in 0..12 {
        let mut connection = host.connect().await?;
        let head = format!(
            "POST /s3/sql/v3?database=default HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.send(format!("{head}{body}")).await?;
        left.push(connection);
    }
    host.metrics_when("all run", |metrics| metrics.sum("bobbin_http_requests_in_flight", &[]) >= 12.0).await?;
    drop(left);
    let answer = run(&host, "/s5/sql/v2", &json!([["SELECT 1", []]])).await?;
    assert_eq!(answer["ok"][0]["rows"], json!([[1]]));
    Ok(())
}

#[tokio::test]
async fn results_and_connections_are_bounded_by_the_requests_account() -> Result {
    let app =
        TestApp::stores(|text| format!("{text}\n[application.trigger.bobbin.limits]\naccount_bytes = 33554432\n"))?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'some text' FROM n";
    for interface in INTERFACES {
        for statement in [endless, "SELECT randomblob(900000000)", "SELECT zeroblob(30000000), zeroblob(30000000)"] {
            let answer = run(&host, interface, &json!([[statement, []]])).await?;
            assert!(error(&answer).contains("too"), "{interface}: {statement}: {answer}");
        }
        let answer = run(&host, interface, &json!([["SELECT length(randomblob(1000000))", []]])).await?;
        assert_eq!(answer["ok"][0]["rows"], json!([[1_000_000]]), "{interface}: {answer}");
    }
    let answer = host.ask("/s3/sql/open?database=default&count=100", "").await?;
    assert!(error(&answer).contains("too many connections"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn transactions_of_concurrent_requests_are_all_or_nothing() -> Result {
    let (_app, host) = start().await?;
    run(&host, "/s3/sql/v3", &json!([["CREATE TABLE t (a)", []]])).await?;
    let write = json!([
        ["BEGIN IMMEDIATE", []],
        ["INSERT INTO t VALUES (1)", []],
        ["INSERT INTO t VALUES (2)", []],
        ["COMMIT", []]
    ]);
    let given_up = json!([["BEGIN IMMEDIATE", []], ["INSERT INTO t VALUES (3)", []]]);
    let writes = (0..20).map(|number| {
        let interface = INTERFACES[number % INTERFACES.len()];
        let (write, given_up, host) = (&write, &given_up, &host);
        async move {
            // A transaction that is open when its request ends is undone.
            run(host, interface, if number % 4 == 3 { given_up } else { write }).await
        }
    });
    for answer in try_join_all(writes).await? {
        assert!(answer["ok"].is_array(), "{answer}");
    }
    let answer = run(&host, "/s3/sql/v3", &json!([["SELECT a, count(*) FROM t GROUP BY a ORDER BY a", []]])).await?;
    assert_eq!(answer["ok"][0]["rows"], json!([[1, 15], [2, 15]]));
    Ok(())
}

#[tokio::test]
async fn an_instance_that_answers_several_requests_leaves_no_transaction_to_the_next() -> Result {
    let app = TestApp::stores(|text| {
        text.replace(
            "[[trigger.http]]\nroute = \"/s3",
            "[application.trigger.bobbin]\nreuse_instances = [\"stores\"]\n\n[[trigger.http]]\nroute = \"/s3",
        )
    })?;
    let host = TestHost::of(&app.manifest()).start().await?;
    assert_eq!(host.ask("/s3/sql/leave?database=default", "").await?, json!({"ok": null}));
    let tables = json!([["SELECT name FROM sqlite_schema", []]]);
    // Undoing takes its own time; nobody waits for it but who writes.
    run(&host, "/s5/sql/v2", &json!([["CREATE TABLE mine (a)", []]])).await?;
    assert_eq!(run(&host, "/s5/sql/v2", &tables).await?["ok"][0]["rows"], json!([["mine"]]));
    let left = eventually(async || {
        let answer = host.ask("/s3/sql/left", tables.to_string()).await?;
        Ok(answer["ok"].is_array().then_some(answer))
    });
    assert_eq!(left.await?["ok"][0]["rows"], json!([["mine"]]));
    Ok(())
}

#[tokio::test]
async fn the_database_survives_the_host_and_others_are_configured() -> Result {
    let app = TestApp::stores(|text| {
        text.replace("sqlite_databases = [\"default\"]", "sqlite_databases = [\"default\", \"other\", \"memory\"]")
    })?;
    let (config, other, state) =
        (app.path().join("rc.toml"), app.path().join("deep/other.sqlite"), app.path().join(".bobbin"));
    fs::write(
        &config,
        format!(
            "[sqlite_database.other]\ntype = \"spin\"\npath = {other:?}\n[sqlite_database.memory]\ntype = \"spin\"\n"
        ),
    )?;
    let start = async || {
        let host = TestHost::of(&app.manifest()).state_dir(&state);
        host.arg("--runtime-config-file").arg(&config.display().to_string()).start().await
    };
    let host = start().await?;
    for database in ["default", "other", "memory"] {
        let create = json!([["CREATE TABLE t (a)", []]]).to_string();
        assert!(host.ask(&format!("/s3/sql/v3?database={database}"), create).await?["ok"].is_array(), "{database}");
    }
    host.kill().await?;
    assert!(other.is_file() && state.join("database.sqlite").is_file());
    let host = start().await?;
    for (database, tables) in [("default", json!([["t"]])), ("other", json!([["t"]])), ("memory", json!([]))] {
        let select = json!([["SELECT name FROM sqlite_schema", []]]).to_string();
        let answer = host.ask(&format!("/s5/sql/v3?database={database}"), select).await?;
        assert_eq!(answer["ok"][0]["rows"], tables, "{database}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_nobody_defines_is_refused_by_name() -> Result {
    let app =
        TestApp::stores(|text| text.replace("sqlite_databases = [\"default\"]", "sqlite_databases = [\"ledger\"]"))?;
    let error = TestHost::of(&app.manifest()).refused().await?;
    for part in ["\"ledger\"", "\"stores\"", "\"stores-spin5\"", "[sqlite_database.ledger]"] {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    Ok(())
}
