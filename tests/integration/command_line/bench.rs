//! `bobbin bench ..`: a small load, and what came of it.

use bobbin_tests::{Ran, Result, TestHost, ran};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

async fn bench(args: &[&str]) -> Result<Ran> {
    let args: Vec<String> = ["bench"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    tokio::task::spawn_blocking(move || ran(Path::new("."), &args)).await?
}

const STORY: &str = r#"{"prompt":"Once upon a time","max_tokens":16,"stream":true,"options":{"temperature":0}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_counted_with_its_tokens() -> Result {
    let host = TestHost::stories().start().await?;
    let story = format!("http://{}/story", host.app_addr());
    let body = r#"{"prompt":"Once upon a time","max_tokens":16,"stream":true}"#;
    for body in [body, &body.replace("true", "false")] {
        let told = bench(&[&story, "--concurrency", "4", "--requests", "12", "--body", body, "--json"]).await?;
        let json = told.json()?;
        assert_eq!((told.code, told.err.as_str()), (0, ""), "{told:?}");
        assert_eq!(
            (&json["requests"], &json["answered"], &json["tokens"]),
            (&12.into(), &12.into(), &192.into()),
            "{json}"
        );
        let spread = |of: &str, at: &str| json[of][at].as_f64().unwrap_or_default();
        assert!(spread("first_byte_ms", "p50") > 0.0, "{json}");
        assert!(spread("first_byte_ms", "p99") >= spread("first_byte_ms", "p50"), "{json}");
        assert!(spread("answer_ms", "max") >= spread("first_byte_ms", "p50"), "{json}");
        assert!(json["tokens_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{json}");
    }
    let text = bench(&[&story, "-n", "3", "-c", "1"]).await?;
    for part in ["3 requests, 1 at once", "tokens", "p50", "p99"] {
        assert!(text.out.contains(part), "{part}: {text:?}");
    }
    let hello = format!("http://{}/hello", host.app_addr());
    let told = bench(&[&hello, "--get", "-n", "5"]).await?;
    assert!(told.code == 0 && told.out.contains("do not say how many"), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_answered_well_is_counted_by_reason_and_fails_the_command() -> Result {
    let host = TestHost::stories().start().await?;
    let url = |path: &str| format!("http://{}{path}", host.app_addr());
    let told = bench(&[&url("/nowhere"), "-n", "4", "--json"]).await?;
    assert_eq!((told.code, &told.json()?["failed"]["status 404"]), (1, &4.into()), "{told:?}");
    assert!(told.err.contains("4 of 4 requests were not answered well; no such route"), "{told:?}");
    assert_eq!(told.json()?["error"]["exit_code"], 1, "{told:?}");
    let told = bench(&[&url("/story"), "-n", "2", "--body", STORY.get(..9).unwrap_or_default(), "--json"]).await?;
    assert_eq!((told.code, &told.json()?["failed"]["status 400"]), (1, &2.into()), "{told:?}");
    // Somebody listens, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    // Without http, which is taken for granted.
    let address = format!("{}/", silent.local_addr()?);
    let told = bench(&[&address, "-n", "2", "-c", "2", "--timeout", "50ms", "--json"]).await?;
    assert_eq!((told.code, &told.json()?["failed"]["no answer within 50ms"]), (1, &2.into()), "{told:?}");
    // No request begins after the time for all of them.
    let told = bench(&[&address, "-n", "1000", "-c", "1", "--timeout", "50ms", "--at-most", "120ms", "--json"]).await?;
    let asked = told.json()?["requests"].as_u64().unwrap_or_default();
    assert!(told.code == 1 && (1..1000).contains(&asked) && told.err.contains("--at-most"), "{told:?}");
    drop(silent);
    let told = bench(&[&address, "-n", "3", "--json"]).await?;
    assert!(told.code == 6 && told.err.contains("nobody answers"), "{told:?}");
    assert_eq!(told.json()?["answered"], 0);
    Ok(())
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anybody_is_asked() -> Result {
    for (args, says) in [
        (&["story"][..], "/story"),
        (&["ftp://x/y"], "no http or https"),
        (&["/story", "-c", "0"], "1..=1024"),
        (&["/story", "-n", "0"], "1..=1000000"),
        (&["/story", "--timeout", "soon"], "30s"),
        (&["/story", "-H", "nothing"], "NAME: VALUE"),
        (&["/story", "--body", "{}", "--get"], "cannot be used with"),
    ] {
        let told = bench(args).await?;
        assert!(told.code == 2 && told.err.contains(says), "{args:?}: {told:?}");
    }
    let told = bench(&["/story", "--body", "@nowhere.json"]).await?;
    assert!(told.code == 4 && told.err.contains("nowhere.json is not there"), "{told:?}");
    Ok(())
}

/// A server that refuses whatever it is asked.
fn refusing(status: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // Read before it is closed: a reset would be another failure.
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    Ok(format!("http://{address}/story"))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused_for_want_of_a_key_are_told_the_option() -> Result {
    let url = refusing("401 Unauthorized")?;
    let told = bench(&[&url, "-n", "3", "--get"]).await?;
    assert!(told.code == 1 && told.err.contains("3 of 3 requests") && told.err.contains("--key"), "{told:?}");
    assert!(!told.out.contains("do not say how many"), "nothing was answered that could say it: {told:?}");
    let told = bench(&[&url, "-n", "3", "--get", "--json"]).await?;
    let json = told.json()?;
    assert_eq!((&json["answered"], &json["failed"]["status 401"]), (&0.into(), &3.into()), "{json}");
    assert!(json["error"]["message"].as_str().is_some_and(|message| message.contains("--key")), "{json}");
    let told = bench(&[&url, "-n", "1", "--get", "--key", "bobbin_x"]).await?;
    assert!(told.code == 1 && told.err.contains("bobbin key list"), "{told:?}");
    Ok(())
}
