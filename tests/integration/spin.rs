//! What Spin's components expect of their host.

use bobbin_tests::{Result, TestHost};

#[tokio::test]
async fn spins_request_headers_are_there_and_cannot_be_forged() -> Result {
    let host = TestHost::fixtures().start().await?;
    let mut connection = host.connect().await?;
    connection
        .send("GET /f3/echo/a/b?c=d HTTP/1.1\r\nhost: example.test\r\nspin-path-info: /forged\r\nconnection: close\r\n\r\n")
        .await?;
    let answer = connection.read_to_end().await;
    for part in ["\"spin-path-info\"", "/echo/a/b", "\"spin-full-url\"", "http://example.test/f3/echo/a/b?c=d"] {
        assert!(answer.contains(part), "{part} is missing in {answer}");
    }
    for part in
        ["\"spin-component-route\"", "\"spin-raw-component-route\"", "\"spin-base-path\"", "\"spin-client-addr\""]
    {
        assert!(answer.contains(part), "{part} is missing in {answer}");
    }
    assert!(!answer.contains("/forged"), "{answer}");
    Ok(())
}

#[tokio::test]
async fn spins_health_path_answers() -> Result {
    let host = TestHost::stories().start().await?;
    assert_eq!(host.get("/.well-known/spin/health").await?.status(), 200);
    Ok(())
}

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
