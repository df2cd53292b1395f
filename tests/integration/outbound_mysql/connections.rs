//! Whom a component connects to, and what becomes of the connection.

use super::{INTERFACES, NEW, ask, error, fails, on};
use bobbin_tests::{MysqlLiar, MysqlLie, MysqlServer, Result, TestApp, TestHost, outside};
use serde_json::json;
use std::net::Ipv4Addr;

#[tokio::test]
async fn a_host_that_is_not_granted_is_named_without_its_password() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let port = server.port();
    let calls = || json!([["query", "SELECT 1", []]]);
    let refused = format!("address mysql://127.0.0.1:{port} is not permitted");
    for (path, address, told) in [
        ("/none/mysql", server.url(), refused.as_str()),
        ("/none5/mysql/v2", server.url(), &refused),
        ("/none5/mysql/v1", server.url(), &refused),
        (NEW, format!("mysql://127.0.0.1:{port}@127.0.0.2:{port}"), "127.0.0.2"),
        (NEW, format!("mysql://spin:hunter2@127.0.0.1:{}", port ^ 1), "is not permitted"),
        (NEW, format!("postgres://spin:hunter2@127.0.0.1:{port}"), "not of the form mysql://"),
        (NEW, format!("mysql://spin:hunter2@127.0.0.1:{port}/spin?socket=/run/mysqld.sock"), "Unix sockets"),
        (NEW, format!("mysql://spin:hunter2@127.0.0.1:{port}/spin?hunter2=1"), "option"),
        ("/s5/mysql/v2", "hunter2".into(), "no URL"),
    ] {
        let answer = ask(&host, path, &address, calls()).await?;
        // Without a connection of its own, the oldest interface tells it with the call.
        let answer = if path.ends_with("v1") { &answer[0] } else { &answer };
        assert!(fails(answer, "ConnectionFailed", told), "{path} {address}: {answer}");
        assert!(!error(answer).contains("hunter2"), "{path} {address}: {answer}");
    }
    let log = host.log();
    assert!(log.contains(&format!("to allow it, add \"mysql://127.0.0.1:{port}\"")), "{log}");
    assert!(!log.contains("hunter"), "{log}");
    Ok(())
}

#[tokio::test]
async fn who_is_not_known_to_the_server_gets_no_connection() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let calls = || json!([["query", "SELECT CURRENT_USER(), DATABASE()", []]]);
    for interface in ["/s5/mysql/v2", NEW] {
        for (user, database, code) in [
            ("spin:hunter3", "spin", "error 1045 (28000)"),
            ("spin", "spin", "error 1045 (28000)"),
            ("nobody:hunter2", "spin", "error 1045 (28000)"),
            ("spin:hunter2", "absent", "error 1044 (42000)"),
        ] {
            let address = format!("mysql://{user}@127.0.0.1:{}/{database}", server.port());
            let answer = ask(&host, interface, &address, calls()).await?;
            assert!(fails(&answer, "ConnectionFailed", code), "{interface} {user}: {answer}");
            assert!(!error(&answer).contains("hunter"), "{interface} {user}: {answer}");
        }
        let answer = ask(&host, interface, &server.url(), calls()).await?;
        let row = ["Str(\"spin@%\")", "Str(\"spin\")"].map(|value| format!("DbValue::{value}"));
        assert_eq!(answer[0]["ok"]["rows"], json!([row]), "{interface}: {answer}");
    }
    assert!(!host.log().contains("hunter"), "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn a_network_that_is_blocked_is_not_connected_to() -> Result {
    let liar = MysqlLiar::start(MysqlLie::ClearPassword).await?;
    let app = TestApp::databases(&["mysql://*:*"])?;
    let config = app.path().join("runtime-config.toml");
    std::fs::write(&config, "[outbound_networking]\nblock_networks = [\"private\"]\n")?;
    let host = TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string());
    let host = host.start().await?;
    for interface in ["/s5/mysql/v2", NEW] {
        for name in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
            let address = format!("mysql://spin:hunter2@{name}:{}", liar.port());
            let answer = ask(&host, interface, &address, json!([])).await?;
            assert!(fails(&answer, "ConnectionFailed", "the address is blocked"), "{interface} {name}: {answer}");
        }
    }
    assert!(liar.heard().is_empty());
    assert!(host.log().contains("block_networks"), "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn a_connection_is_secured_where_the_address_says_so_and_the_certificate_is_checked() -> Result {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let Some(server) = MysqlServer::start_secured(&certificate, &key).await? else { return Ok(()) };
    let port = server.port();
    let app = TestApp::databases(&[&format!("mysql://127.0.0.1:{port}"), &format!("mysql://localhost:{port}")])?;
    let trusted = app.path().join("trusted.pem");
    std::fs::write(&trusted, &certificate)?;
    let trusting = TestHost::of(&app.manifest()).env("SSL_CERT_FILE", &trusted);
    let host = trusting.start().await?;
    let named = server.url().replace("127.0.0.1", "localhost");
    let calls = || json!([["query", "SHOW STATUS LIKE 'Ssl_version'", []]]);
    for interface in INTERFACES {
        for mode in ["?ssl-mode=REQUIRED", "?sslmode=VERIFY_CA", "?require_ssl=true"] {
            let answer = ask(&host, interface, &format!("{named}{mode}"), calls()).await?;
            assert!(answer[0]["ok"]["rows"][0][1].to_string().contains("TLSv1"), "{interface} {mode}: {answer}");
        }
        let answer = ask(&host, interface, &format!("{named}?ssl-mode=DISABLED"), calls()).await?;
        assert_eq!(answer[0]["ok"]["rows"][0][1], "DbValue::Str(\"\")", "{interface}: {answer}");
    }
    let other = format!("{}?ssl-mode=REQUIRED", server.url());
    let answer = ask(&host, NEW, &other, json!([])).await?;
    assert!(fails(&answer, "ConnectionFailed", "TLS failed"), "another name: {answer}");
    drop(host);

    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    std::fs::write(&trusted, stranger.cert.pem())?;
    let host = TestHost::of(&app.manifest()).env("SSL_CERT_FILE", &trusted);
    let host = host.start().await?;
    let answer = ask(&host, NEW, &format!("{named}?ssl-mode=REQUIRED"), json!([])).await?;
    assert!(fails(&answer, "ConnectionFailed", "certificate"), "nobody vouches for it: {answer}");
    Ok(())
}

#[tokio::test]
async fn a_server_elsewhere_is_told_no_password_without_tls() -> Result {
    let liar = MysqlLiar::start_at(Ipv4Addr::UNSPECIFIED, MysqlLie::OwnKey).await?;
    let app = TestApp::databases(&["mysql://*:*"])?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let address = |host: &str| format!("mysql://spin:hunter2@{host}:{}", liar.port());
    // Here it is nobody else's.
    assert_eq!(ask(&host, NEW, &address("127.0.0.1"), json!([])).await?, json!([]));
    let told = liar.heard().len();
    let Some(outside) = outside() else {
        eprintln!("skipped: this machine has no other address than loopback");
        return Ok(());
    };
    for interface in ["/s5/mysql/v2", NEW] {
        let answer = ask(&host, interface, &address(&outside.to_string()), json!([])).await?;
        assert!(fails(&answer, "ConnectionFailed", "ssl-mode=REQUIRED"), "{interface}: {answer}");
        assert!(!error(&answer).contains("hunter2"), "{interface}: {answer}");
    }
    // Two logins, and two proofs of the hash; neither the wish for a key nor 128 bytes for it.
    assert!(liar.heard().len() - told < 250, "{}", liar.heard().len() - told);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_an_error_of_each_call() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let calls = json!([["execute", "KILL CONNECTION_ID()", []], ["query", "SELECT 1", []], ["query", "SELECT 1", []],]);
    for interface in ["/s5/mysql/v2", NEW] {
        let answers = ask(&host, interface, &server.url(), calls.clone()).await?;
        for index in 0..3 {
            assert!(error(&answers[index]).contains("QueryFailed"), "{interface}: {answers}");
        }
        assert!(error(&answers[2]).contains("cannot be used any more"), "{interface}: {answers}");
    }
    let address = server.url();
    server.kill().await?;
    for interface in ["/s5/mysql/v2", NEW] {
        let answer = ask(&host, interface, &address, json!([["query", "SELECT 1", []]])).await?;
        assert!(fails(&answer, "ConnectionFailed", "refused"), "{interface}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_goes_while_a_statement_runs_ends_it() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let address = server.url();
    let marked = json!([["query", "SELECT SLEEP(600) AS marked", []]]);
    let waits = ask(&host, NEW, &address, marked);
    let watching = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%marked'";
    let goes = async {
        loop {
            let asked = ask(&host, "/s5/mysql/v2", &address, json!([["query", watching, []]])).await?;
            if asked[0]["ok"]["rows"] == json!([["DbValue::Int64(1)"]]) {
                return server.kill().await;
            }
        }
    };
    let (answer, gone) = tokio::join!(waits, goes);
    gone?;
    let answer = answer?;
    assert!(fails(&answer[0], "QueryFailed", "the connection to the server broke"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn many_requests_at_once_have_connections_of_their_own() -> Result {
    let Some(server) = MysqlServer::start().await? else { return Ok(()) };
    let (_app, host) = on(server.port()).await?;
    let made = json!([
        ["execute", "CREATE TABLE t (id INT PRIMARY KEY, count INT)", []],
        ["execute", "INSERT INTO t VALUES (1, 0)", []],
    ]);
    ask(&host, NEW, &server.url(), made).await?;
    let (host, server) = (&host, &server);
    let requests = (0..20).map(|number: usize| async move {
        // A variable is the connection's own.
        let calls = json!([
            ["execute", format!("SET @mine = {number}"), []],
            ["execute", "UPDATE t SET count = count + 1 WHERE id = 1", []],
            ["query", "SELECT @mine", []],
        ]);
        let interface = if number.is_multiple_of(2) { NEW } else { "/s5/mysql/v2" };
        let answers = ask(host, interface, &server.url(), calls).await?;
        assert_eq!(answers[1], json!({ "ok": null }), "{interface}: {answers}");
        assert_eq!(answers[2]["ok"]["rows"], json!([[format!("DbValue::Int64({number})")]]), "{interface}: {answers}");
        anyhow::Ok(())
    });
    for done in futures::future::join_all(requests).await {
        done?;
    }
    let counted = ask(host, NEW, &server.url(), json!([["query", "SELECT count, @mine FROM t", []]])).await?;
    let row = json!([["DbValue::Int32(20)", "DbValue::DbNull"]]);
    assert_eq!(counted[0]["ok"]["rows"], row, "{counted}");
    Ok(())
}
