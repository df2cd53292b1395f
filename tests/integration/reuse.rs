//! Instances that answer one request after another.

use bobbin_tests::{Result, TestApp, TestHost};
use futures::future::try_join_all;
use std::collections::BTreeSet;

/// After so many answers an instance is replaced.
const MOST_REQUESTS: usize = 128;

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "test"
version = "0.1.0"

[application.trigger.bobbin]
reuse_instances = ["kept", "kept-spin5"]

[application.trigger.bobbin.limits]
max_in_flight = 4
guest_cpu_seconds = 1
guest_memory_bytes = 33554432

[[trigger.http]]
route = "/kept/..."
component = "kept"

[[trigger.http]]
route = "/kept-spin5"
component = "kept-spin5"

[[trigger.http]]
route = "/fresh/..."
component = "fresh"

[component.kept]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/tally.wasm"

[component.kept-spin5]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/tally_spin5.wasm"

[component.fresh]
source = "{root}/tests/fixtures/components/target/wasm32-wasip2/release/tally.wasm"
"#;

/// How many requests the instance that answered has answered.
async fn count(host: &TestHost, path: &str) -> Result<usize> {
    let answer = host.get(path).await?;
    anyhow::ensure!(answer.status() == 200, "{path}: {}: {}", answer.status(), answer.text());
    Ok(answer.text().parse()?)
}

async fn start() -> Result<(TestApp, TestHost)> {
    let app = TestApp::new(MANIFEST)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    Ok((app, host))
}

#[tokio::test]
async fn an_instance_answers_one_request_after_another_where_its_component_asks_for_it() -> Result {
    let (_app, host) = start().await?;
    for expected in (1..=MOST_REQUESTS).chain([1, 2]) {
        assert_eq!(count(&host, "/kept/count").await?, expected);
        assert_eq!(count(&host, "/kept-spin5").await?, expected);
        assert_eq!(count(&host, "/fresh/count").await?, 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_an_instance_prints_is_logged_for_the_request_that_it_answers() -> Result {
    let (_app, host) = start().await?;
    for path in ["/kept/count", "/kept-spin5"] {
        for _ in 0..3 {
            count(&host, path).await?;
        }
    }
    let log = host.log();
    for component in ["kept", "kept-spin5"] {
        let of = format!("component={component} ");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&of) && line.contains("answer ")).collect();
        let word = |line: &&str| line.split(' ').find(|word| word.starts_with("request=")).map(str::to_owned);
        let requests: BTreeSet<String> = lines.iter().filter_map(word).collect();
        assert_eq!((lines.len(), requests.len()), (3, 3), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn an_instance_that_came_to_a_bad_end_answers_no_more() -> Result {
    let (_app, host) = start().await?;
    for (path, status) in [("/kept/panic", 500), ("/kept/loop", 504)] {
        assert_eq!(count(&host, "/kept/count").await?, 1);
        assert_eq!(host.get(path).await?.status(), status, "{path}");
    }
    assert_eq!(count(&host, "/kept/count").await?, 1);
    assert_eq!(count(&host, "/kept/allocate").await?, 2, "it answers, but has no memory left");
    assert_eq!(count(&host, "/kept/count").await?, 1);
    Ok(())
}

#[tokio::test]
async fn whoever_leaves_takes_the_instance_along() -> Result {
    let (_app, host) = start().await?;
    assert_eq!(count(&host, "/kept/count").await?, 1);
    let mut connection = host.connect().await?;
    connection.send(b"GET /kept/sleep?ms=600000 HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    host.metrics_when("the request runs", |metrics| metrics.sum("bobbin_http_requests_in_flight", &[]) >= 1.0).await?;
    assert_eq!(count(&host, "/kept/count").await?, 1, "the other one is busy");
    drop(connection);
    host.metrics_when("it is gone", |metrics| metrics.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    assert_eq!(count(&host, "/kept/count").await?, 2);
    assert_eq!(count(&host, "/kept/count").await?, 3, "and none but this one waits");
    Ok(())
}

#[tokio::test]
async fn instances_that_wait_take_no_room_from_others() -> Result {
    let (_app, host) = start().await?;
    // As many as may be in flight at once.
    for path in ["/kept/sleep?ms=300", "/fresh/sleep?ms=300", "/kept/sleep?ms=300"] {
        try_join_all((0..4).map(|_| count(&host, path))).await?;
    }
    Ok(())
}
