//! `docs/openai.md` says of every field what becomes of it.

use anyhow::{Context, ensure};
use bobbin_tests::{PublicApi, Result, repository_root};
use std::fs;

#[test]
fn the_document_has_a_row_for_every_field_with_what_becomes_of_it() -> Result {
    let (api, text) = (PublicApi::read()?, fs::read_to_string(repository_root().join("docs/openai.md"))?);
    for (name, heading) in [
        ("chat", "`POST /v1/chat/completions`"),
        ("completion", "`POST /v1/completions`"),
        ("embedding", "`POST /v1/embeddings`"),
    ] {
        let (_, section) = text.split_once(&format!("\n## {heading}\n")).with_context(|| heading.to_owned())?;
        let section = section.split("\n##").next().unwrap_or_default();
        let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
        let properties = api.request(name)?["properties"].as_object().context("properties")?;
        for (field, property) in properties {
            let row = rows
                .iter()
                .find(|row| row.split('|').nth(1).is_some_and(|names| names.contains(&format!("`{field}`"))));
            let row = row.with_context(|| format!("{heading} has no row for {field}"))?;
            let support = property["x-support"].as_str().context("x-support")?;
            ensure!(row.split('|').nth(2).is_some_and(|told| told.trim() == support), "{field} is {support}: {row}");
        }
        for row in rows {
            let names = row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2);
            for name in names.filter(|name| !name.contains(['.', '['])) {
                ensure!(
                    properties.contains_key(name),
                    "{heading} has a row for {name}, which is no field of the schema"
                );
            }
        }
    }
    Ok(())
}
