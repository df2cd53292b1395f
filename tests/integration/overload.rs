//! More requests than the host takes: refused at once, and nothing is lost.

use bobbin_tests::{Result, TestHost};
use futures::future::join_all;
use serde_json::json;

#[tokio::test]
async fn two_hundred_requests_at_a_bound_of_sixteen() -> Result {
    let host = TestHost::stories().max_in_flight(16).start().await?;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 120, "temperature": 1.0});
    let answers = join_all((0..200).map(|_| host.post_json("/story", &ask))).await;
    let (mut told, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer?;
        match answer.status() {
            200 => told += 1,
            503 => {
                refused += 1;
                assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            }
            status => panic!("{status}: {}", answer.text()),
        }
    }
    assert!(told >= 16, "only {told} stories were told");
    assert!(refused > 0, "200 requests at once met no bound");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_http_refused_total", &[]), f64::from(refused), "{metrics}");
    assert_eq!(host.post_json("/story", &ask).await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_guest_at_work_keeps_its_place_until_it_is_gone() -> Result {
    let host = TestHost::fixtures().max_in_flight(1).start().await?;
    let mut sleeper = host.connect().await?;
    sleeper.send("GET /f3/sleep?ms=600000 HTTP/1.1\r\nhost: test\r\n\r\n").await?;
    host.metrics_when("it sleeps", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 1.0).await?;
    assert_eq!(host.get("/hello").await?.status(), 503);
    assert_eq!(host.get("/.well-known/spin/health").await?.status(), 200);
    drop(sleeper);
    host.metrics_when("it is gone", |m| m.sum("bobbin_http_requests_in_flight", &[]) == 0.0).await?;
    assert_eq!(host.get("/hello").await?.status(), 200);
    Ok(())
}
