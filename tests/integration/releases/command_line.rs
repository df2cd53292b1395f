//! `bobbin release ..` against a running host.

use super::{MEADOW, SEA, ask_least, tell};
use anyhow::Context;
use bobbin_tests::{Result, TestHost, bobbin};
use serde_json::{Value, json};
use tokio::process::Command;

/// Exit code, standard output, standard error.
pub(super) async fn release(host: &TestHost, args: &[&str]) -> Result<(i32, String, String)> {
    let mut command = Command::new(bobbin());
    command.arg("release").args(args).args(["--admin", &format!("http://{}", host.admin_addr())]);
    let output = command.kill_on_drop(true).output().await?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code().context("ended by a signal")?, text(&output.stdout), text(&output.stderr)))
}

async fn done(host: &TestHost, args: &[&str]) -> Result<(String, String)> {
    let (code, text, errors) = release(host, args).await?;
    anyhow::ensure!(code == 0, "{args:?} ended with {code}:\n{text}{errors}");
    Ok((text, errors))
}

fn line<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.contains(word)).unwrap_or_default()
}

#[tokio::test]
async fn a_person_swaps_tries_and_goes_back() -> Result {
    let host = TestHost::stories().start().await?;
    let (list, _) = done(&host, &["list"]).await?;
    assert!(line(&list, "http:/story:storyteller:story").contains(MEADOW), "{list}");
    let (shown, told) = done(&host, &["canary", "story", SEA, "--weight", "12.5", "--reason", "a try"]).await?;
    assert!(line(&shown, "candidate").contains("12.5") && line(&shown, "candidate").contains(SEA), "{shown}");
    for step in ["verifying storyteller@1.1.0", "loading storyteller@1.1.0", "committed"] {
        assert!(told.contains(step), "{step} was not told:\n{told}");
    }
    let (shown, _) = done(&host, &["promote", "story"]).await?;
    assert!(line(&shown, "stable").contains(SEA) && line(&shown, "previous").contains(MEADOW), "{shown}");
    assert_eq!(tell(&host, &ask_least()).await?.header, SEA);
    let (_, told) = done(&host, &["rollback", "story", "--reason", "it smells of fish"]).await?;
    assert!(told.contains("committed; requests saw it after"), "{told}");
    assert_eq!(tell(&host, &ask_least()).await?.header, MEADOW);
    done(&host, &["set", "story", "--drain-seconds", "90", "--sticky", "header:x-user"]).await?;
    let (shown, _) = done(&host, &["show", "story"]).await?;
    for part in ["generation 5", "drain 90 s", "sticky header:x-user", MEADOW] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let (history, _) = done(&host, &["history", "story"]).await?;
    for part in ["declared", "promote", "rollback", "it smells of fish", "a try"] {
        assert!(history.contains(part), "{part} is not in {history}");
    }
    assert_eq!(history.lines().count(), 6, "{history}");
    Ok(())
}

#[tokio::test]
async fn a_program_reads_json_and_nothing_else() -> Result {
    let host = TestHost::stories().start().await?;
    let json = async |args: &[&str]| {
        let (text, errors) = done(&host, &[args, &["--json"]].concat()).await?;
        anyhow::ensure!(errors.is_empty(), "{args:?} said {errors}");
        serde_json::from_str::<Value>(&text).with_context(|| text)
    };
    assert_eq!(json(&["list"]).await?["releases"][0]["graph"], "story");
    let shown = json(&["set", "story", SEA]).await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["generation"]), (&json!(SEA), &json!(2)), "{shown}");
    let shown = json(&["canary", "story", MEADOW, "--weight", "1"]).await?;
    assert_eq!(
        (&shown["candidate"]["bundle"], &shown["candidate"]["weight"]),
        (&json!(MEADOW), &json!(1.0)),
        "{shown}"
    );
    assert_eq!(json(&["canary", "story", "--off"]).await?["candidate"], Value::Null);
    assert_eq!(json(&["shadow", "story", MEADOW]).await?["shadow"]["bundle"], MEADOW);
    assert_eq!(json(&["show", "http:/story:storyteller:story"]).await?, host.release("story").show().await?);
    let history = json(&["history", "story", "--limit", "2"]).await?;
    assert_eq!(history["history"].as_array().map(Vec::len), Some(2), "{history}");
    assert_eq!(json(&["rollback", "story"]).await?["stable"]["bundle"], MEADOW);
    Ok(())
}

#[tokio::test]
async fn a_script_learns_from_the_exit_code_what_went_wrong() -> Result {
    let host = TestHost::stories().arg("--model-memory").arg("10000000").start().await?;
    let cases: [(&[&str], i32, &str); 9] = [
        (&["set", "story", "--drain-seconds", "5", "--expect", "7"], 3, "--expect 1"),
        (&["promote", "story"], 3, "no candidate"),
        (&["rollback", "story"], 3, "go back to"),
        (&["cancel", "story"], 3, "not being changed"),
        (&["show", "tale"], 4, "http:/story:storyteller:story"),
        (&["set", "story", "storyteller@9.9.9"], 4, "storyteller@9.9.9"),
        (&["canary", "story", MEADOW, "--weight", "5"], 5, "stable"),
        (&["canary", "story", SEA, "--weight", "5"], 5, "bytes"),
        (&["set", "story", "storyteller"], 2, "no `@`"),
    ];
    for (args, expected, says) in cases {
        let (code, text, errors) = release(&host, args).await?;
        assert!(code == expected && errors.contains(says), "{args:?} ended with {code}:\n{text}{errors}");
    }
    // For a program, the same in JSON.
    let (code, text, _) = release(&host, &["set", "story", "storyteller@9.9.9", "--json"]).await?;
    let problem: Value = serde_json::from_str(&text).with_context(|| text)?;
    assert_eq!((code, &problem["code"]), (4, &json!("unknown_bundle")), "{problem}");
    assert_eq!(problem["error"]["code"], "unknown_bundle", "{problem}");
    assert_eq!(problem["error"]["message"], problem["detail"], "{problem}");
    assert_eq!(host.release("story").generation().await?, 1);
    let nobody = ["release", "list", "--admin", "http://127.0.0.1:1"];
    let output = Command::new(bobbin()).args(nobody).output().await?;
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn without_its_token_a_host_answers_nobody() -> Result {
    let host = TestHost::stories().arg("--admin-token").arg("a-secret").start().await?;
    for (token, expected) in [(None, 6), (Some("another"), 6), (Some("a-secret"), 0)] {
        let given: Vec<&str> = token.into_iter().flat_map(|token| ["--admin-token", token]).collect();
        let (code, text, errors) =
            release(&host, &[&["set", "story", "--drain-seconds", "5"], &given[..]].concat()).await?;
        assert_eq!(code, expected, "{token:?}:\n{text}{errors}");
        assert!(!errors.contains("a-secret") && !text.contains("a-secret"), "{text}{errors}");
    }
    for path in ["/admin/v1/releases", "/admin/v1/bundles", "/admin/v1/events", "/admin/v1/openapi.json"] {
        assert_eq!(host.admin(path).await?.status(), 401, "{path}");
    }
    Ok(())
}
