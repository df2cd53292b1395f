//! API keys: who may ask, for what, and how often; decided by the host before anything runs.

use anyhow::Context;
use bobbin_tests::{KeyCommand, Result, TestApp, TestHost, TestHostBuilder, TestKey, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const REQUIRED: &str = "[application.trigger.bobbin]\nkeys = \"required\"\n";
const LOOPBACK_OPEN: &str = "[application.trigger.bobbin]\nkeys = \"loopback-open\"\n";

fn story() -> Value {
    json!({ "prompt": "Once upon a time", "max_tokens": 12, "temperature": 0.0 })
}

/// An application whose routes all have this rule, and a state folder.
fn place(rule: &str) -> Result<(TestApp, TempDir)> {
    Ok((TestApp::stories(rule)?, TempDir::new()?))
}

fn host(app: &TestApp, state: &TempDir) -> TestHostBuilder {
    TestHost::of(&app.manifest()).state_dir(state.path())
}

fn bearer(key: &TestKey) -> String {
    format!("Bearer {}", key.token)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// The secret half of a key.
fn secret(key: &TestKey) -> &str {
    key.token.rsplit_once('_').map(|(_, secret)| secret).unwrap_or_default()
}

#[tokio::test]
async fn without_a_right_key_nothing_runs_and_with_one_it_does() -> Result {
    let (app, state) = place(REQUIRED)?;
    let key = TestKey::create(state.path(), &[])?;
    let host = host(&app, &state).start().await?;
    let wrong = format!("Bearer bobbin_{}_{}", key.id, "a".repeat(32));
    let unknown = format!("Bearer bobbin_{}_{}", "a".repeat(8), secret(&key));
    for (sent, code, error) in [
        (None, "missing_key", ""),
        (Some("Basic YTpi"), "missing_key", ""),
        (Some(key.token.as_str()), "missing_key", ""),
        (Some("Bearer sk-something"), "invalid_key", "invalid_token"),
        (Some(wrong.as_str()), "invalid_key", "invalid_token"),
        (Some(unknown.as_str()), "invalid_key", "invalid_token"),
    ] {
        let answer = match sent {
            None => host.post_json("/story", &story()).await?,
            Some(sent) => host.post_as(sent, "/story", &story()).await?,
        };
        assert_eq!((answer.status(), answer.json()?["code"].as_str()), (401, Some(code)), "{sent:?}");
        let challenge = answer.header("www-authenticate").context("a challenge")?;
        assert!(challenge.starts_with("Bearer ") && challenge.contains(error), "{challenge}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("bobbin-bundle").is_none() && !answer.text().contains(secret(&key)));
    }
    assert_eq!(host.get("/hello").await?.status(), 401, "a route without a model");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_inferences_total", &[]), 0.0, "{metrics}");
    assert_eq!(metrics.sum("bobbin_http_refused_total", &[("reason", "missing_key")]), 4.0, "{metrics}");
    assert_eq!(metrics.sum("bobbin_http_refused_total", &[("reason", "invalid_key")]), 3.0, "{metrics}");
    assert_eq!(metrics.sum("bobbin_http_requests_total", &[("status", "401")]), 7.0, "{metrics}");

    for sent in [bearer(&key), format!("bearer {}", key.token), format!("BEARER  {}", key.token)] {
        let answer = host.post_as(&sent, "/story", &story()).await?;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert!(answer.header("x-ratelimit-limit-requests").is_none(), "it has no limits");
    }
    let labels = [("key", key.id.as_str())];
    let metrics = host.metrics_when("it is accounted", |m| m.sum("bobbin_key_tokens_total", &labels) >= 36.0).await?;
    assert_eq!(metrics.sum("bobbin_key_requests_total", &labels), 3.0, "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_refused_request_takes_no_place_from_those_that_are_answered() -> Result {
    let app = TestApp::fixtures(
        "max_in_flight = 1\n\n[application.trigger.bobbin.triggers.\"http:/hello:hello\"]\nkeys = \"required\"",
    )?;
    let state = TempDir::new()?;
    let key = TestKey::create(state.path(), &[])?;
    let host = host(&app, &state).start().await?;
    let mut sleeper = host.connect().await?;
    sleeper.send("GET /f3/sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").await?;
    host.metrics_when("it sleeps", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 1.0).await?;
    // Whoever has no key does not even get to know that the host is busy.
    assert_eq!(host.get("/hello").await?.status(), 401);
    assert_eq!(host.get_as("Bearer nothing", "/hello").await?.status(), 401);
    assert_eq!(host.get_as(&bearer(&key), "/hello").await?.status(), 503);
    Ok(())
}

#[tokio::test]
async fn a_key_counts_from_its_making_to_its_end_under_a_running_host() -> Result {
    let (app, state) = place(REQUIRED)?;
    let host = host(&app, &state).start().await?;
    assert!(host.log().contains("bobbin key create"), "{}", host.log());
    assert_eq!(host.get("/hello").await?.status(), 401);
    let (first, second) = (TestKey::create(state.path(), &[])?, TestKey::create(state.path(), &["--expires", "2s"])?);
    assert_eq!(host.get_as(&bearer(&first), "/hello").await?.status(), 200);
    first.revoke(state.path())?;
    let answer = host.get_as(&bearer(&first), "/hello").await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (401, Some("revoked_key")));
    let expired = eventually(async || {
        let answer = host.get_as(&bearer(&second), "/hello").await?;
        Ok((answer.status() != 200).then_some(answer))
    });
    let expired = expired.await?;
    assert_eq!((expired.status(), expired.json()?["code"].as_str()), (401, Some("expired_key")));
    let listed = KeyCommand::run(&["list", "--state-dir", text(state.path()), "--json"])?.json()?;
    let states: Vec<_> = listed["keys"].as_array().context("keys")?.iter().map(|key| key["state"].as_str()).collect();
    assert_eq!(states, [Some("revoked"), Some("expired")]);
    Ok(())
}

#[tokio::test]
async fn the_admin_api_makes_lists_and_revokes_keys_like_the_command_line() -> Result {
    let (app, state) = place(REQUIRED)?;
    let host = host(&app, &state).start().await?;
    let admin = format!("http://{}", host.admin_addr());
    let words = ["create", "a team", "--route", "/hello", "--model", "story", "--admin", &admin, "--json"];
    let key = TestKey::made(&words)?;
    assert_eq!(host.get_as(&bearer(&key), "/hello").await?.status(), 200);
    let made = host.admin_send(Method::POST, "/admin/v1/keys", json!({ "name": "another" }).to_string()).await?;
    assert_eq!(made.status(), 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let listed = host.admin("/admin/v1/keys").await?;
    assert_eq!(listed.json()?["keys"].as_array().map(Vec::len), Some(2), "{}", listed.text());
    assert_eq!(listed.json()?["keys"][0]["routes"], json!(["/hello"]));
    assert!(!listed.text().contains(secret(&key)) && !listed.text().contains("sha256"), "{}", listed.text());
    // Names are held against what the host has.
    let slip = KeyCommand::run(&["create", "a", "--model", "stroy", "--admin", &admin])?;
    assert_eq!(slip.code, 5, "{}", slip.stderr);
    assert!(slip.stderr.contains(r#"did you mean "story"?"#), "{}", slip.stderr);
    let revoked = KeyCommand::run(&["revoke", &key.token, "--admin", &admin, "--json"])?;
    assert_eq!(revoked.json()?["state"], "revoked", "by the whole key, where that is what leaked");
    assert!(!revoked.stdout.contains(secret(&key)), "{}", revoked.stdout);
    assert_eq!(host.get_as(&bearer(&key), "/hello").await?.status(), 401);
    let unknown = KeyCommand::run(&["revoke", "aaaaaaaa", "--admin", &admin])?;
    assert_eq!(unknown.code, 4, "{}", unknown.stderr);
    assert!(!host.log().contains(secret(&key)), "{}", host.log());
    Ok(())
}

#[tokio::test]
async fn a_key_is_for_its_routes_and_models_alone() -> Result {
    let (app, state) = place(REQUIRED)?;
    let hello = TestKey::create(state.path(), &["--route", "/hello"])?;
    let by_id = TestKey::create(state.path(), &["--route", "http:/story:storyteller"])?;
    let other = TestKey::create(state.path(), &["--model", "another"])?;
    let host = host(&app, &state).start().await?;
    assert_eq!(host.get_as(&bearer(&hello), "/hello").await?.status(), 200);
    let refused = host.post_as(&bearer(&hello), "/story", &story()).await?;
    assert_eq!((refused.status(), refused.json()?["code"].as_str()), (403, Some("key_out_of_scope")));
    assert!(refused.header("www-authenticate").is_some_and(|told| told.contains("insufficient_scope")));
    assert_eq!(host.post_as(&bearer(&by_id), "/story", &story()).await?.status(), 200);
    assert_eq!(host.get_as(&bearer(&by_id), "/hello").await?.status(), 403);
    // To this key the component's model is not there, whatever its ai_models say.
    let missing = host.post_as(&bearer(&other), "/story", &story()).await?;
    assert_eq!(missing.status(), 404, "{}", missing.text());
    assert!(missing.text().contains("key"), "{}", missing.text());
    assert_eq!(host.get_as(&bearer(&other), "/hello").await?.status(), 200);
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_refused_models_total", &[]), 1.0, "{metrics}");
    Ok(())
}

#[tokio::test]
async fn limits_answer_429_with_the_headers_that_clients_read() -> Result {
    let (app, state) = place(REQUIRED)?;
    let requests = TestKey::create(state.path(), &["--requests-per-minute", "1"])?;
    let tokens = TestKey::create(state.path(), &["--tokens-per-minute", "5", "--requests-per-minute", "2"])?;
    let host = host(&app, &state).start().await?;
    let first = host.get_as(&bearer(&requests), "/hello").await?;
    assert_eq!((first.status(), first.header("x-ratelimit-limit-requests")), (200, Some("1")));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(first.header("x-ratelimit-reset-requests").is_some() && first.header("retry-after").is_none());
    let second = host.get_as(&bearer(&requests), "/hello").await?;
    assert_eq!((second.status(), second.json()?["code"].as_str()), (429, Some("requests_per_minute")));
    let wait: u32 = second.header("retry-after").context("a time to wait")?.parse()?;
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(second.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(second.header("retry-after-ms").is_some());

    // Twelve tokens are told, and more than that is owed when the answer is whole.
    let told = host.post_as(&bearer(&tokens), "/story", &story()).await?;
    assert_eq!((told.status(), told.header("x-ratelimit-remaining-tokens")), (200, Some("5")), "{}", told.text());
    let usage = &told.json()?["usage"];
    let used = usage["input_tokens"].as_f64().unwrap_or(0.0) + usage["output_tokens"].as_f64().unwrap_or(0.0);
    let counted = |m: &bobbin_tests::Metrics| m.sum("bobbin_key_tokens_total", &[("key", &tokens.id)]) == used;
    host.metrics_when("it is accounted", counted).await?;
    let refused = host.post_as(&bearer(&tokens), "/story", &story()).await?;
    assert_eq!((refused.status(), refused.json()?["code"].as_str()), (429, Some("tokens_per_minute")));
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), Some("0"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("1"), "what tokens refuse is no request");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_key_limited_total", &[("key", &tokens.id)]), 1.0, "{metrics}");
    assert_eq!(metrics.sum("bobbin_inferences_total", &[]), 1.0, "{metrics}");
    // One key's limits are no other's.
    let other = TestKey::create(state.path(), &[])?;
    assert_eq!(host.get_as(&bearer(&other), "/hello").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_route_says_no_in_the_form_that_it_declares() -> Result {
    let rule = "[application.trigger.bobbin]\nkeys = \"required\"\nerrors = \"plain\"\n\n\
                [application.trigger.bobbin.triggers.\"http:/story:storyteller\"]\nerrors = \"openai\"\n";
    let (app, state) = place(rule)?;
    let key = TestKey::create(state.path(), &["--requests-per-minute", "1"])?;
    let host = host(&app, &state).start().await?;
    let plain = host.get("/hello").await?;
    assert_eq!((plain.status(), plain.header("content-type")), (401, Some("text/plain; charset=utf-8")));
    assert!(plain.text().contains("API key") && plain.text().ends_with('\n'), "{}", plain.text());
    let answer = host.post_json("/story", &story()).await?;
    assert_eq!((answer.status(), answer.header("content-type")), (401, Some("application/json")));
    let error = &answer.json()?["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("invalid_request_error"), &json!("invalid_api_key")));
    assert!(error["message"].is_string() && error["param"].is_null(), "{error}");
    assert_eq!(host.post_as(&bearer(&key), "/story", &story()).await?.status(), 200);
    let answer = host.post_as(&bearer(&key), "/story", &story()).await?;
    assert_eq!((answer.status(), &answer.json()?["error"]["code"]), (429, &json!("rate_limit_exceeded")));
    assert_eq!(host.get("/nowhere").await?.header("content-type"), Some("application/problem+json"));
    Ok(())
}

#[tokio::test]
async fn a_loopback_listener_is_open_until_there_is_a_key_and_no_other_starts_without() -> Result {
    let (app, state) = place(LOOPBACK_OPEN)?;
    let everywhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let told = host(&app, &state).listen(everywhere).refused().await?;
    for part in ["0.0.0.0:0", "/hello, /story", "bobbin key create", "--state-dir", "--listen 127.0.0.1"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let open = host(&app, &state).start().await?;
    assert_eq!(open.get("/hello").await?.status(), 200);
    // A web page on this machine is another matter: by its own name, or from its own site.
    let page = async |head: &str| {
        let mut connection = open.connect().await?;
        connection.send(format!("GET /hello HTTP/1.1\r\n{head}\r\nconnection: close\r\n\r\n")).await?;
        Result::Ok(connection.read_to_end().await)
    };
    for (head, told) in [
        ("host: localhost\r\norigin: http://localhost:5173", "HTTP/1.1 200"),
        ("host: rebound.test", "unexpected_host"),
        ("host: localhost\r\norigin: https://evil.test", "cross_site"),
    ] {
        let answer = page(head).await?;
        assert!(answer.contains(told), "{head}: {answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 403"), told != "HTTP/1.1 200", "{head}: {answer}");
    }
    assert_eq!(open.get_as("bearer whatever", "/hello").await?.status(), 200, "as a Spin sends it that has to");
    let key = TestKey::create(state.path(), &[])?;
    assert_eq!(open.get("/hello").await?.status(), 401);
    assert_eq!(open.get_as(&bearer(&key), "/hello").await?.status(), 200);
    key.revoke(state.path())?;
    assert_eq!(open.get("/hello").await?.status(), 401, "a host whose last key was revoked is not open");
    fs::remove_file(state.path().join("keys.json"))?;
    assert_eq!(open.get("/hello").await?.status(), 401, "and neither is one whose file has gone");
    open.kill().await?;
    TestKey::create(state.path(), &[])?;
    let host = host(&app, &state).listen(everywhere).start().await?;
    assert_eq!(host.get("/hello").await?.status(), 401);
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_trusted_stops_a_host_from_starting_and_says_what_to_do() -> Result {
    let (app, state) = place(REQUIRED)?;
    TestKey::create(state.path(), &[])?;
    let file = state.path().join("keys.json");
    let good = fs::read_to_string(&file)?;
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode));
    mode(0o644)?;
    let told = host(&app, &state).refused().await?;
    assert!(told.contains("chmod 600") && told.contains("keys.json"), "{told}");
    mode(0o600)?;
    for (text, part) in [
        ("{".to_owned(), "line 1"),
        (good.replace("\"name\"", "\"nmae\""), "unknown field `nmae`"),
        (good.replace("\"format\": 1", "\"format\": 9"), "format 9"),
    ] {
        fs::write(&file, text)?;
        let told = host(&app, &state).refused().await?;
        assert!(told.contains(part) && told.contains("bobbin key create"), "{told}");
        let list = KeyCommand::run(&["list", "--state-dir", text_of(&state)])?;
        assert_eq!(list.code, 1, "{}", list.stderr);
        assert!(list.stderr.contains(part), "{}", list.stderr);
        let create = KeyCommand::run(&["create", "a", "--state-dir", text_of(&state)])?;
        assert_eq!((create.code, create.stdout.as_str()), (1, ""), "{}", create.stderr);
    }
    fs::write(&file, good)?;
    host(&app, &state).start().await?;
    Ok(())
}

fn text_of(folder: &TempDir) -> &str {
    text(folder.path())
}

#[tokio::test]
async fn two_hosts_have_keys_of_their_own_or_share_a_file() -> Result {
    let (app, one) = place(REQUIRED)?;
    let two = TempDir::new()?;
    let key = TestKey::create(one.path(), &[])?;
    let (first, second) = (host(&app, &one).start().await?, host(&app, &two).start().await?);
    assert_eq!(first.get_as(&bearer(&key), "/hello").await?.status(), 200);
    assert_eq!(second.get_as(&bearer(&key), "/hello").await?.status(), 401);
    second.kill().await?;
    let shared = one.path().join("keys.json");
    let second = host(&app, &two).arg("--keys-file").arg(text(&shared)).start().await?;
    assert_eq!(second.get_as(&bearer(&key), "/hello").await?.status(), 200);
    let revoked = KeyCommand::run(&["revoke", &key.id, "--keys-file", text(&shared)])?;
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    for host in [&first, &second] {
        assert_eq!(host.get_as(&bearer(&key), "/hello").await?.status(), 401);
    }
    Ok(())
}

#[tokio::test]
async fn two_keys_never_share_what_a_model_has_read_and_one_key_does() -> Result {
    let (app, state) = place(REQUIRED)?;
    let (anna, bela) = (TestKey::create(state.path(), &[])?, TestKey::create(state.path(), &[])?);
    let host = host(&app, &state).start().await?;
    let prompt = "Once upon a time there was a little girl who lived in a small house near the big forest. \
                  She liked to play with her red ball and her brown dog every day after breakfast. ";
    let body = json!({ "prompt": prompt, "max_tokens": 4, "temperature": 0.0 });
    let cached = async |key: &TestKey| {
        let answer = host.post_as(&bearer(key), "/story", &body).await?;
        let json = answer.json()?;
        json["usage"]["cached_tokens"].as_u64().with_context(|| format!("no cached_tokens in {json}"))
    };
    let nothing = cached(&anna).await?;
    // What was read is there once the worker has put it by.
    let again = async |key: &TestKey| {
        eventually(async || Ok(Some(cached(key).await?).filter(|cached| *cached > nothing + 20))).await
    };
    again(&anna).await?;
    // All that two keys have in common is how every prompt begins.
    let first = cached(&bela).await?;
    assert!(first <= nothing + 1, "{first} tokens of what Anna sent were there for Bela");
    again(&bela).await?;
    Ok(())
}

#[tokio::test]
async fn a_component_sees_no_key_and_the_host_tells_nobody() -> Result {
    let rule = "[application.trigger.bobbin.triggers.\"http:/f3/...:hostile\"]\nkeys = \"required\"";
    let app = TestApp::fixtures(&format!("body_bytes = 1000\n\n{rule}"))?;
    let state = TempDir::new()?;
    let key = TestKey::create(state.path(), &[])?;
    let host = host(&app, &state).log_filter("debug").start().await?;
    let echo = host.get_as(&bearer(&key), "/f3/echo/x").await?;
    assert_eq!(echo.status(), 200, "{}", echo.text());
    assert!(!echo.text().contains("authorization") && !echo.text().contains(secret(&key)), "{}", echo.text());
    // A route that has nothing to do with keys passes on what it is sent, as ever.
    let open = host.get_as("Bearer of the applications own", "/f2/echo/x").await?;
    assert!(open.text().contains("Bearer of the applications own"), "{}", open.text());
    let wrong = format!("Bearer bobbin_{}_{}", key.id, "q".repeat(32));
    assert_eq!(host.get_as(&wrong, "/f3/echo/x").await?.status(), 401);
    let large = host.post_as(&bearer(&key), "/f3/echo/x", &json!("x".repeat(2000))).await?;
    assert_eq!(large.status(), 413);
    let log = host.log();
    assert!(log.contains(&key.id), "the access log names whose request it was");
    assert!(!log.contains(secret(&key)) && !log.contains(&"q".repeat(32)), "{log}");
    assert!(!host.metrics().await?.to_string().contains(secret(&key)));
    for entry in fs::read_dir(state.path())? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = fs::read(&path)?;
            let found = bytes.windows(secret(&key).len()).any(|window| window == secret(&key).as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
    assert_eq!(fs::metadata(state.path().join("keys.json"))?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[test]
fn a_key_is_printed_once_and_what_makes_no_sense_is_refused_with_the_name_that_was_meant() -> Result {
    let app = TestApp::stories("")?;
    let from = app.manifest();
    let made = KeyCommand::run(&["create", "the Spin in Prague", "-f", text(&from), "--model", "story"])?;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let token = made.stdout.trim_end();
    assert!(token.starts_with("bobbin_") && token.lines().count() == 1 && !made.stderr.contains(token), "{made:?}");
    let secret = token.rsplit_once('_').context("a secret")?.1;
    assert!(app.path().join(".bobbin/keys.json").exists(), "it is in the state folder beside the manifest");
    for words in [&["list"][..], &["list", "--json"]] {
        let list = KeyCommand::run(&[words, &["-f", text(&from)]].concat())?;
        assert!(list.stdout.contains("the Spin in Prague") && !list.stdout.contains(secret), "{list:?}");
    }
    for (words, code, part) in [
        (
            &["create", "a", "--route", "/stroy"][..],
            5,
            r#"--route is "/stroy", which there is not; did you mean "/story"?"#,
        ),
        (&["create", "a", "--model", "llama"], 5, r#"known here: "story""#),
        (&["create", ""], 5, "1 to 100 characters"),
        (&["create", "a", "--expires", "2020-01-01T00:00:00Z"], 5, "in the past"),
        (&["revoke", "aaaaaaaa"], 4, "bobbin key list"),
        (&["revoke", "nonsense!"], 2, "8 characters"),
    ] {
        let refused = KeyCommand::run(&[words, &["-f", text(&from)]].concat())?;
        assert_eq!(refused.code, code, "{words:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(part), "{words:?}: {}", refused.stderr);
    }
    let nope = app.path().join("nope/state");
    let absent = KeyCommand::run(&["create", "a", "--state-dir", text(&nope)])?;
    assert_eq!((absent.code, absent.stdout.as_str()), (1, ""), "{}", absent.stderr);
    assert!(absent.stderr.contains(&format!("no folder {}", app.path().join("nope").display())), "{}", absent.stderr);
    assert!(!app.path().join("nope").exists(), "a slip makes no folders");
    let none = KeyCommand::run(&["list", "--state-dir", text(&nope)])?;
    assert!(none.stderr.contains(text(&nope)), "{}", none.stderr);
    let nowhere = KeyCommand::run(&["list"])?;
    assert_eq!(nowhere.code, 2, "{}", nowhere.stderr);
    assert!(nowhere.stderr.contains("--state-dir") && nowhere.stderr.contains("--admin"), "{}", nowhere.stderr);
    let nobody = KeyCommand::run(&["list", "--admin", "http://127.0.0.1:1", "--json"])?;
    assert_eq!((nobody.code, nobody.json()?["code"].as_str()), (6, Some("unreachable")), "{}", nobody.stderr);
    Ok(())
}
