//! What Spin's components expect of their host.

use bobbin_tests::{Result, TestHost};

#[tokio::test]
async fn bodies_go_through_as_they_are() -> Result {
    let host = TestHost::fixtures().start().await?;
    let body = "ä€😀 ".repeat(10_000);
    for path in ["/f3/echo", "/f2/echo"] {
        let answer = host.post(path, body.clone()).await?;
        assert_eq!(answer.json()?["body_bytes"], body.len(), "{path}");
    }
    Ok(())
}
