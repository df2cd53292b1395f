//! Components that misbehave cost their own request, and nothing else.

use bobbin_tests::{Result, TestApp, TestHost, repository_root};
use futures::future::join_all;
use serde_json::json;

/// The fixtures, with limits that a guest meets soon.
fn impatient() -> Result<TestApp> {
    let root = repository_root();
    let fixtures = std::fs::read_to_string(root.join("tests/fixtures/spin.toml"))?;
    let fixtures =
        fixtures.replace("../../models", "models").replace("../../guest-components", "{root}/guest-components");
    let fixtures = fixtures.replace("\"components/target", "\"{root}/tests/fixtures/components/target");
    TestApp::new(&format!(
        "{fixtures}\n[application.trigger.bobbin.limits]\nrequest_seconds = 2\ngrace_seconds = 1\nguest_cpu_seconds = 1\n\
         account_bytes = 16777216\nguest_memory_bytes = 67108864\n"
    ))
}

async fn neighbours_are_well(host: &TestHost) -> Result {
    assert_eq!(host.get("/hello").await?.status(), 200);
    let story = host.post_json("/story", &json!({"prompt": "Once", "max_tokens": 4})).await?;
    assert_eq!(story.status(), 200, "{}", story.text());
    host.metrics_when("nothing is in flight", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    Ok(())
}

#[tokio::test]
async fn a_guest_that_loops_forever_runs_into_its_cpu_budget() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/f3/loop", "/f2/loop"] {
        let (looped, neighbour) = futures::join!(host.get(path), host.get("/hello"));
        assert_eq!(neighbour?.status(), 200);
        let looped = looped?;
        assert!([500, 504].contains(&looped.status()), "{path}: {} {}", looped.status(), looped.text());
        assert_eq!(looped.header("content-type"), Some("application/problem+json"));
    }
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_waits_forever_runs_into_the_hard_deadline() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let answer = host.get("/f3/sleep?ms=600000").await?;
    assert_eq!(answer.status(), 504, "{}", answer.text());
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_allocates_without_end_is_ended() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    let answer = host.get("/f3/allocate").await?;
    assert_eq!(answer.status(), 500, "{}", answer.text());
    assert!(host.log().contains("guest_memory_bytes"), "the log does not say why:\n{}", host.log());
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_that_panics_before_the_head_is_an_error_without_its_details() -> Result {
    let host = TestHost::fixtures().start().await?;
    for path in ["/f3/panic", "/f2/panic", "/f3/fail", "/f2/fail", "/f2/no-answer", "/f2/panic-after-head"] {
        let answer = host.get(path).await?;
        assert!([500, 502].contains(&answer.status()), "{path}: {} {}", answer.status(), answer.text());
        assert!(!answer.text().contains("asked to"), "{path} shows its details: {}", answer.text());
        assert!(answer.json()?["request_id"].is_string(), "{path}: {}", answer.text());
    }
    assert!(host.log().contains("asked to panic before the head"), "{}", host.log());
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_broken_answer_never_looks_whole() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in [
        "/f3/panic-after-pieces",
        "/f3/fail-after-pieces",
        "/f3/loop-after-pieces",
        "/f2/panic-after-pieces",
        "/f2/loop-after-pieces",
        "/f2/unfinished-after-pieces",
    ] {
        let mut connection = host.connect().await?;
        connection.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await?;
        let received = connection.read_to_end().await;
        assert!(received.starts_with("HTTP/1.1 200"), "{path}: {received}");
        assert_eq!(received.matches("data: {").count(), 3, "{path}: {received}");
        assert!(!received.ends_with("0\r\n\r\n"), "{path} ended cleanly: {received}");
        assert!(!received.contains("[DONE]"), "{path}: {received}");
    }
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_client_library_notices_a_broken_answer() -> Result {
    let host = TestHost::fixtures().start().await?;
    for path in ["/f3/panic-after-pieces", "/f2/panic-after-pieces"] {
        assert!(host.get(path).await.is_err(), "{path} looked whole");
    }
    Ok(())
}

#[tokio::test]
async fn guests_that_pile_up_tensors_stay_within_their_accounts() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    neighbours_are_well(&host).await?;
    let before = host.resident_bytes()?;
    let piles = join_all((0..4).map(|_| host.get("/f3/tensors?size=1048576&count=0"))).await;
    for pile in piles {
        assert_eq!(pile?.status(), 500, "a tensor over the account was accepted");
    }
    // What fits is accepted, held, and counted.
    let held = host.get("/f3/tensors?size=1048576&count=12").await?;
    assert_eq!(held.json()?["tensors"], 12, "{}", held.text());
    let four = join_all((0..4).map(|_| host.get("/f3/tensors?size=1048576&count=12&hold_ms=300")));
    let watch = async {
        let mut peak = 0;
        for _ in 0..60 {
            peak = peak.max(host.resident_bytes()?);
            host.get("/hello").await?;
        }
        Result::Ok(peak)
    };
    let (four, peak) = futures::join!(four, watch);
    assert!(four.into_iter().all(|pile| pile.is_ok_and(|pile| pile.status() == 200)));
    // Four accounts of 16 MiB, four guest memories of at most 64 MiB each, and the host's own breath.
    let bound = before + 4 * (16 << 20) + 4 * (64 << 20) + (64 << 20);
    assert!(peak? < bound, "{:?} MiB", host.resident_bytes()? >> 20);
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn sessions_and_graphs_are_bounded_by_the_account() -> Result {
    let app = impatient()?;
    let host = TestHost::of(&app.manifest()).start().await?;
    for path in ["/f3/sessions?count=1000000", "/f3/graphs?count=1000000"] {
        let answer = host.get(path).await?;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        let answer = answer.json()?;
        assert!(answer["refused"].is_object(), "{path}: {answer}");
    }
    neighbours_are_well(&host).await
}

#[tokio::test]
async fn a_guest_reaches_no_file_no_host_and_only_its_environment() -> Result {
    let host = TestHost::fixtures().start().await?;
    let file = host.get("/f3/file?path=/etc/passwd").await?;
    assert!(!file.text().contains("root:"), "{}", file.text());
    let fetched = host.get("/f3/fetch?url=http://127.0.0.1:1/").await?;
    assert!(!fetched.text().contains("\"status\":200"), "{}", fetched.text());
    let environment = host.get("/f3/env").await?;
    assert!(environment.text().contains("hello from the manifest"), "{}", environment.text());
    assert!(!environment.text().contains("PATH"), "{}", environment.text());
    Ok(())
}
