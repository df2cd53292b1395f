//! Components that talk to PostgreSQL servers, in every version of the interface.

use bobbin_tests::{Authority, PostgresServer, Result, TestApp, TestHost};
use serde_json::{Value, json};

const OLD: [&str; 4] = ["/s5/postgres/v1", "/s5/postgres/v2", "/s5/postgres/v3", "/s5/postgres/v4"];
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

/// A statement that answers its one parameter, taken for this type.
fn echo(ty: &str, parameter: &Value) -> Value {
    json!(["query", format!("SELECT $1::{ty} AS value"), [parameter]])
}

#[tokio::test]
async fn every_interface_has_the_types_that_all_have() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let cases = [
        ("bool", json!({ "boolean": true }), "Boolean(true)", "Boolean"),
        ("int2", json!({ "int16": -2 }), "Int16(-2)", "Int16"),
        ("int4", json!({ "int32": -4 }), "Int32(-4)", "Int32"),
        ("int8", json!({ "int64": i64::MIN }), "Int64(-9223372036854775808)", "Int64"),
        ("float4", json!({ "floating32": 1.5 }), "Floating32(1.5)", "Floating32"),
        ("float8", json!({ "floating64": -0.1 }), "Floating64(-0.1)", "Floating64"),
        ("text", json!({ "str": "ä" }), "Str(\"ä\")", "Str"),
        ("varchar", json!({ "str": "" }), "Str(\"\")", "Str"),
        ("bytea", json!({ "binary": [0, 255] }), "Binary([0, 255])", "Binary"),
        ("int4", json!(null), "DbNull", "Int32"),
    ];
    for interface in OLD.into_iter().chain([NEW]) {
        let calls: Vec<Value> = cases.iter().map(|(ty, parameter, ..)| echo(ty, parameter)).collect();
        let answers = ask(&host, interface, &server.url(), json!(calls)).await?;
        for (answer, (ty, _, value, data_type)) in answers.as_array().into_iter().flatten().zip(&cases) {
            let found = &answer["ok"];
            assert_eq!(found["rows"], json!([[format!("DbValue::{value}")]]), "{interface} {ty}: {answer}");
            assert_eq!(found["columns"], json!([["value", format!("DbDataType::{data_type}")]]), "{interface} {ty}");
        }
        assert_eq!(answers.as_array().map(Vec::len), Some(cases.len()), "{interface}: {answers}");
    }
    Ok(())
}

#[tokio::test]
async fn the_newest_interface_has_every_type() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let cases = [
        ("date", json!({ "date": [1999, 12, 31] }), "Date((1999, 12, 31))"),
        ("time", json!({ "time": [23, 59, 1, 4_005_000] }), "Time((23, 59, 1, 4005000))"),
        ("timestamp", json!({ "datetime": [2024, 2, 29, 1, 2, 3, 4000] }), "Datetime((2024, 2, 29, 1, 2, 3, 4000))"),
        ("timestamptz", json!({ "timestamp": 1 }), "Datetime((1970, 1, 1, 0, 0, 1, 0))"),
        (
            "uuid",
            json!({ "uuid": "67E55044-10B1-426F-9247-BB680E5FE0C8" }),
            "Uuid(\"67e55044-10b1-426f-9247-bb680e5fe0c8\")",
        ),
        ("jsonb", json!({ "jsonb": "[1]" }), "Jsonb([91, 49, 93])"),
        (
            "numeric",
            json!({ "decimal": "-12345678901234567890123456789012345.678900" }),
            "Decimal(\"-12345678901234567890123456789012345.678900\")",
        ),
        (
            "int4range",
            json!({ "range-int32": [[1, "inclusive"], [5, "inclusive"]] }),
            "RangeInt32((Some((1, RangeBoundKind::Inclusive)), Some((6, RangeBoundKind::Exclusive))))",
        ),
        (
            "int8range",
            json!({ "range-int64": [null, [5, "exclusive"]] }),
            "RangeInt64((None, Some((5, RangeBoundKind::Exclusive))))",
        ),
        (
            "numrange",
            json!({ "range-decimal": [["1.5", "exclusive"], null] }),
            "RangeDecimal((Some((\"1.5\", RangeBoundKind::Exclusive)), None))",
        ),
        ("int4[]", json!({ "array-int32": [1, null, -1] }), "ArrayInt32([Some(1), None, Some(-1)])"),
        ("int8[]", json!({ "array-int64": [] }), "ArrayInt64([])"),
        ("numeric[]", json!({ "array-decimal": ["0.10", null] }), "ArrayDecimal([Some(\"0.10\"), None])"),
        ("text[]", json!({ "array-str": ["a", null, ""] }), "ArrayStr([Some(\"a\"), None, Some(\"\")])"),
        ("interval", json!({ "interval": [1, 2, 3] }), "Interval(Interval { micros: 1, days: 2, months: 3 })"),
    ];
    let calls: Vec<Value> = cases.iter().map(|(ty, parameter, _)| echo(ty, parameter)).collect();
    let answers = ask(&host, NEW, &server.url(), json!(calls)).await?;
    for (answer, (ty, _, value)) in answers.as_array().into_iter().flatten().zip(&cases) {
        assert_eq!(answer["ok"]["rows"], json!([[format!("DbValue::{value}")]]), "{ty}: {answer}");
    }
    assert_eq!(answers.as_array().map(Vec::len), Some(cases.len()), "{answers}");

    // What it has no type for is told as the server sent it, and by an older interface not at all.
    let point = json!([["query", "SELECT 'NaN'::numeric, point(0, 0), 'empty'::int4range, '4713-01-01 BC'::date", []]]);
    let answer = ask(&host, NEW, &server.url(), point.clone()).await?;
    let zeros = ["0"; 16].join(", ");
    let wanted =
        ["Decimal(\"NaN\")", &format!("Unsupported([{zeros}])"), "RangeInt32((None, None))", "Date((-4712, 1, 1))"];
    assert_eq!(answer[0]["ok"]["rows"][0], json!(wanted.map(|value| format!("DbValue::{value}"))), "{answer}");
    assert_eq!(answer[0]["ok"]["columns"][1][1], "DbDataType::Other(\"point\")", "{answer}");
    for (interface, date) in [("/s5/postgres/v2", "Unsupported"), ("/s5/postgres/v3", "Date((-4712, 1, 1))")] {
        let answer = ask(&host, interface, &server.url(), point.clone()).await?;
        let wanted = ["Unsupported", "Unsupported", "Unsupported", date].map(|value| format!("DbValue::{value}"));
        assert_eq!(answer[0]["ok"]["rows"][0], json!(wanted), "{interface}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn statements_change_rows_and_say_how_many() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    for (number, interface) in OLD.into_iter().chain([NEW]).enumerate() {
        let calls = json!([
            ["execute", format!("CREATE TABLE t{number} (id int4 PRIMARY KEY, name text)"), []],
            ["execute", format!("INSERT INTO t{number} VALUES ($1, $2), (2, 'b')"), [{ "int32": 1 }, { "str": "a" }]],
            ["execute", format!("UPDATE t{number} SET name = 'c'"), []],
            ["query", format!("SELECT name FROM t{number} ORDER BY id"), []],
            ["query", format!("SELECT name FROM t{number} WHERE id > 5"), []],
            ["execute", format!("DELETE FROM t{number} WHERE id = $1"), [{ "int32": 1 }]],
        ]);
        let answers = ask(&host, interface, &server.url(), calls).await?;
        for (index, changed) in [(0, 0), (1, 2), (2, 2), (5, 1)] {
            assert_eq!(answers[index], json!({ "ok": changed }), "{interface}: {answers}");
        }
        assert_eq!(answers[3]["ok"]["rows"], json!([["DbValue::Str(\"c\")"], ["DbValue::Str(\"c\")"]]), "{interface}");
        assert_eq!(answers[4]["ok"], json!({ "columns": [["name", "DbDataType::Str"]], "rows": [] }), "{interface}");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_its_code_and_bad_parameters_by_type() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let calls = json!([["query", "SELECT * FROM absent", []], ["query", "SELECT 1/0", []], ["query", "SELECT 1", []]]);
    for interface in OLD.into_iter().chain([NEW]) {
        let answers = ask(&host, interface, &server.url(), calls.clone()).await?;
        for (index, told) in [(0, "42P01"), (1, "22012")] {
            let error = error(&answers[index]);
            assert!(error.contains("QueryFailed") && error.contains(told), "{interface}: {answers}");
        }
        assert_eq!(answers[2]["ok"]["rows"], json!([["DbValue::Int32(1)"]]), "{interface}: {answers}");
    }
    let calls = json!([
        ["execute", "CREATE TABLE t (id int4 PRIMARY KEY)", []],
        ["execute", "INSERT INTO t VALUES (1)", []],
        ["execute", "INSERT INTO t VALUES (1)", []],
        echo("uuid", &json!({ "uuid": "none" })),
        echo("jsonb", &json!({ "jsonb": "{" })),
        echo("date", &json!({ "date": [2023, 2, 29] })),
        ["execute", "SELECT $1::numeric", [{ "decimal": "1e5" }]],
        echo("int8", &json!({ "int32": 1 })),
    ]);
    let answers = ask(&host, NEW, &server.url(), calls).await?;
    for (index, told) in [
        (2, &["QueryFailed", "DbError", "23505", "t_pkey"][..]),
        (3, &["BadParameter", "invalid UUID none"]),
        (4, &["BadParameter", "invalid JSON"]),
        (5, &["BadParameter", "invalid date y=2023, m=2, d=29"]),
        (6, &["ValueConversionFailed", "invalid decimal 1e5"]),
        (7, &["QueryFailed", "Int8"]),
    ] {
        for told in told {
            assert!(error(&answers[index]).contains(told), "{told}: {}", answers[index]);
        }
    }
    for interface in ["/s5/postgres/v1", "/s5/postgres/v2"] {
        let answer = ask(&host, interface, &server.url(), json!([echo("int4", &json!({ "uint32": 1 }))])).await?;
        let told = error(&answer[0]);
        assert!(told.contains("ValueConversionFailed") && told.contains("unsigned"), "{interface}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_named_without_its_password() -> Result {
    let Some(server) = PostgresServer::start().await? else { return Ok(()) };
    let (_app, host) = on(&server).await?;
    let port = server.port();
    let calls = || json!([["query", "SELECT 1", []]]);
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
    let huge = json!([["query", "SELECT repeat('x', 300000000)", []]]);
    let many = json!([["query", "SELECT repeat('x', 1000) FROM generate_series(1, 100000)", []]]);
    let numbers = json!([["query", "SELECT array_agg(1e130000) FROM generate_series(1, 1000)", []]]);
    for interface in ["/s5/postgres/v2", "/s5/postgres/v4", NEW] {
        for calls in [&huge, &numbers] {
            let answer = ask(&host, interface, &server.url(), calls.clone()).await?;
            assert!(error(&answer[0]).contains("too large"), "{interface}: {answer:.300}");
        }
    }
    let answer = ask(&host, "/s5/postgres/v4", &server.url(), many.clone()).await?;
    assert!(error(&answer[0]).contains("too large"), "{answer:.300}");
    // As a stream, they come one behind the other; and what nobody reads is not fetched.
    let counted = json!([["query", "SELECT n, repeat('x', 100) FROM generate_series(1, 200000) AS n", []]]);
    let answer =
        host.ask("/s7/postgres/first", json!({ "address": server.url(), "calls": counted }).to_string()).await?;
    assert_eq!(answer[0]["ok"]["rows"][0][0], "DbValue::Int32(1)", "{answer:.300}");
    // Rows that are only counted need no room at all.
    let answer = ask(&host, NEW, &server.url(), json!([["execute", many[0][1], []]])).await?;
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
        let answer = ask(&host, interface, &server.url(), json!([["query", "SELECT pg_sleep(600)", []]])).await?;
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
    let calls = json!([["query", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", []]]);
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
