//! The clients that people have, as they come from their registries, and the examples of the documentation.

use super::example;
use anyhow::{Context, ensure};
use bobbin_tests::{Result, TestHost, node_client, python_client, repository_root};
use std::fs;
use std::path::PathBuf;

fn script(name: &str) -> PathBuf {
    repository_root().join("tests/clients").join(name)
}

/// What clients left is over, and the host answers others.
async fn nothing_is_left(host: &TestHost) -> Result {
    host.metrics_when("nothing is left of the clients", |m| {
        m.are_zero(&["bobbin_worker_sequences", "bobbin_http_requests_in_flight"])
    })
    .await?;
    assert_eq!(host.get("/v1/models").await?.status(), 200);
    Ok(())
}

#[tokio::test]
async fn the_official_client_for_python_does_everything_it_can_ask_for() -> Result {
    let host = example().await?;
    let Some(said) = python_client(&host, &script("openai_client.py")).await? else { return Ok(()) };
    assert!(said.contains("all of it"), "{said}");
    let metrics = host.metrics().await?;
    assert!(metrics.sum("bobbin_inferences_total", &[]) < 100.0, "streams that were cancelled went on: {metrics}");
    nothing_is_left(&host).await
}

#[tokio::test]
async fn the_official_client_for_node_does_everything_it_can_ask_for() -> Result {
    let host = example().await?;
    let Some(said) = node_client(&host, &script("openai_client.mjs")).await? else { return Ok(()) };
    assert!(said.contains("all of it"), "{said}");
    nothing_is_left(&host).await
}

#[tokio::test]
async fn langchain_talks_streams_and_embeds() -> Result {
    let host = example().await?;
    let Some(said) = python_client(&host, &script("langchain_client.py")).await? else { return Ok(()) };
    assert!(said.contains("all of it"), "{said}");
    nothing_is_left(&host).await
}

#[tokio::test]
async fn the_notebook_runs_from_its_first_cell_to_its_last() -> Result {
    let host = example().await?;
    let Some(said) = python_client(&host, &script("notebook.py")).await? else { return Ok(()) };
    assert!(said.contains("The package has not arrived."), "{said}");
    nothing_is_left(&host).await
}

#[tokio::test]
async fn the_flask_application_serves_its_page_and_stories() -> Result {
    let host = example().await?;
    let Some(said) = python_client(&host, &script("flask_page.py")).await? else { return Ok(()) };
    assert!(said.contains("all of it"), "{said}");
    nothing_is_left(&host).await
}

#[tokio::test]
async fn what_the_documentation_shows_of_the_client_runs_as_it_stands() -> Result {
    let host = example().await?;
    let folder = tempfile::tempdir()?;
    for document in ["README.md", "docs/openai.md"] {
        let text = fs::read_to_string(repository_root().join(document))?;
        let (_, code) = text.split_once("```python\n").with_context(|| format!("{document} shows no Python"))?;
        let (code, _) = code.split_once("```").context("an end of the code")?;
        ensure!(code.lines().filter(|line| !line.is_empty()).count() <= 5, "{document} says five lines:\n{code}");
        let here = code.replace("http://localhost:3000/v1", &host.openai_url());
        ensure!(here != code, "{document} names no base URL");
        let path = folder.path().join("shown.py");
        fs::write(&path, here)?;
        let Some(said) = python_client(&host, &path).await? else { return Ok(()) };
        assert!(said.len() > 20, "{document} printed {said:?}");
    }
    Ok(())
}
