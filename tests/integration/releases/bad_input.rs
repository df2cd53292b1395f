//! Changes that make no sense, or come too late: refused with a code, and nothing has changed.

use super::{MEADOW, SEA};
use bobbin_tests::{Result, TestApp, TestHost};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn each_mistake_has_its_code_and_changes_nothing() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    let before = release.show().await?;
    let candidate = |bundle: &str, weight: Value| json!({"expected_generation": 1, "candidate": {"bundle": bundle, "weight": weight}});
    let put = |key: &str, value: Value| json!({"expected_generation": 1, key: value});
    let cases = [
        (json!({"expected_generation": 9, "stable": SEA}), 409, "stale_generation"),
        (json!({"expected_generation": 0, "stable": SEA}), 409, "stale_generation"),
        (json!({"stable": SEA}), 400, "invalid_body"),
        (json!("storyteller@1.1.0"), 400, "invalid_body"),
        (put("stabel", json!(SEA)), 400, "invalid_body"),
        (put("drain_seconds", json!("soon")), 400, "invalid_body"),
        (put("drain_seconds", json!(-1)), 422, "invalid_change"),
        (put("stable", json!("storyteller@9.9.9")), 422, "unknown_bundle"),
        (put("stable", json!("nobody@1.0.0")), 422, "unknown_bundle"),
        (put("stable", json!("storyteller")), 422, "unknown_bundle"),
        (put("stable", json!("../../etc@1.0.0")), 422, "unknown_bundle"),
        (put("shadow", json!("storyteller@9.9.9")), 422, "unknown_bundle"),
        (candidate("storyteller@9.9.9", json!(5)), 422, "unknown_bundle"),
        (candidate(SEA, json!(100.1)), 422, "invalid_change"),
        (candidate(SEA, json!(-1)), 422, "invalid_change"),
        (candidate(SEA, json!(12.55)), 422, "invalid_change"),
        (candidate(MEADOW, json!(5)), 422, "invalid_change"),
        (put("shadow", json!(MEADOW)), 422, "invalid_change"),
        (put("drain_seconds", json!(86_401)), 422, "invalid_change"),
        (put("keep_warm_seconds", json!(604_801)), 422, "invalid_change"),
    ];
    for (body, status, code) in cases {
        let answer = release.put(&body).await?;
        let problem = answer.json()?;
        assert_eq!((answer.status(), problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{body}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{body}: {problem}");
        let current = if code == "stale_generation" { json!(1) } else { Value::Null };
        assert_eq!(problem["current_generation"], current, "{body}: {problem}");
    }
    for policy in [put("policy", json!("fast")), put("sticky", json!("header:")), put("sticky", json!("ip"))] {
        let answer = release.put(&policy).await?;
        assert!([400, 422].contains(&answer.status()), "{policy}: {}", answer.text());
    }
    let mut after = release.show().await?;
    after["failure"] = before["failure"].clone();
    assert_eq!(after, before);
    assert_eq!(release.history().await?.len(), 1);
    assert_eq!(host.workers()?, host.workers_of(MEADOW)?);
    Ok(())
}

#[tokio::test]
async fn text_that_is_no_json_and_names_that_are_none_are_refused() -> Result {
    let host = TestHost::stories().start().await?;
    let path = "/admin/v1/releases/story";
    for body in ["", "{", "\u{0}", "{\"expected_generation\": 1, \"stable\": }"] {
        let answer = host.admin_send(Method::PUT, path, body.to_owned()).await?;
        assert_eq!((answer.status(), answer.json()?["code"].as_str()), (400, Some("invalid_body")), "{body:?}");
    }
    let body = json!({"expected_generation": 1, "stable": SEA});
    for name in ["tale", "http:%2Fstory:storyteller:tale", "%2E%2E%2E", "story%00"] {
        let answer = host.release(name).put(&body).await?;
        assert_eq!((answer.status(), answer.json()?["code"].as_str()), (404, Some("unknown_release")), "{name}");
    }
    // Three releases of the fixtures have a graph of this name: whoever means one of them must say which.
    let fixtures = TestHost::fixtures().start().await?;
    let answer = fixtures.release("story").put(&body).await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (404, Some("unknown_release")));
    assert!(answer.text().contains("http:/f3/...:hostile:story"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn a_version_that_does_something_else_is_refused_and_the_route_goes_on() -> Result {
    let host = TestHost::example().start().await?;
    let release = host.release("story");
    for edit in [json!({"stable": "sentence@1.0.0"}), json!({"candidate": {"bundle": "sentence@1.0.0", "weight": 10}})]
    {
        let answer = release.try_set(edit).await?;
        assert_eq!(
            (answer.status(), answer.json()?["code"].as_str()),
            (422, Some("invalid_change")),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains("sentence@1.0.0 is there to embed"), "{}", answer.text());
    }
    assert_eq!(release.generation().await?, 1);
    assert_eq!(host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 2})).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn steps_that_lead_nowhere_are_refused() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    for (step, code) in [("promote", "nothing_to_promote"), ("rollback", "nothing_to_roll_back")] {
        let answer = release.step(step).await?;
        assert_eq!((answer.status(), answer.json()?["code"].as_str()), (409, Some(code)), "{}", answer.text());
    }
    let answer = release.cancel().await?;
    assert_eq!((answer.status(), answer.json()?["code"].as_str()), (409, Some("nothing_pending")), "{}", answer.text());
    assert_eq!(release.generation().await?, 1);
    Ok(())
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins_and_the_other_is_told() -> Result {
    let host = TestHost::stories().start().await?;
    let release = host.release("story");
    release.set(json!({"candidate": {"bundle": SEA, "weight": 1}})).await?;
    for round in 0..20_u64 {
        let generation = 2 + round;
        let edit = |drain: u64| json!({"expected_generation": generation, "drain_seconds": drain});
        let edits: Vec<_> = (0..8).map(|writer| edit(100 + 10 * round + writer)).collect();
        let answers = join_all(edits.iter().map(|edit| release.put(edit))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
        let winners: Vec<_> = answers.iter().zip(&edits).filter(|(answer, _)| answer.status() == 200).collect();
        let [(winner, edit)] = winners[..] else { panic!("{} writers have won: {answers:#?}", winners.len()) };
        assert_eq!(winner.json()?["drain_seconds"], edit["drain_seconds"]);
        for loser in answers.iter().filter(|answer| answer.status() != 200) {
            let problem = loser.json()?;
            assert_eq!((loser.status(), problem["code"].as_str()), (409, Some("stale_generation")), "{problem}");
            assert_eq!(problem["current_generation"], generation + 1, "{problem}");
        }
        assert_eq!(release.show().await?["drain_seconds"], edit["drain_seconds"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_change_that_is_under_way_keeps_others_out_until_it_is_given_up() -> Result {
    // So large that it is being verified for as long as the test needs.
    let app = TestApp::stories("")?;
    app.add_hollow_bundle("hollow", "1.0.0", 3 << 30)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let release = host.release("story");
    let mut events = host.events(None).await?;
    let accepted = release.begin(json!({"stable": "hollow@1.0.0"})).await?;
    assert_eq!(accepted.status(), 202, "{}", accepted.text());
    events.until_is("progress", &[("bundle", "hollow@1.0.0")]).await?;
    let pending = release.show().await?["pending"].clone();
    assert_eq!((&pending["bundle"], &pending["step"]), (&json!("hollow@1.0.0"), &json!("verifying")), "{pending}");
    let other = release.try_set(json!({"stable": SEA})).await?;
    assert_eq!((other.status(), other.json()?["code"].as_str()), (409, Some("change_in_progress")), "{}", other.text());
    let cancelled = release.cancel().await?;
    assert_eq!((cancelled.status(), &cancelled.json()?["pending"]), (200, &Value::Null), "{}", cancelled.text());
    events.until_is("change", &[("step", "cancelled")]).await?;
    // The next one does not wait for what was given up.
    let shown = release.swap_to(SEA).await?;
    assert_eq!((&shown["stable"]["bundle"], &shown["generation"]), (&json!(SEA), &json!(2)), "{shown}");
    Ok(())
}
