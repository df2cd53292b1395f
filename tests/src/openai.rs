//! OpenAI's API: the schemas of what clients send and get, and an application that serves it.

use crate::{Answer, Events, Result, TestApp, TestHost, repository_root};
use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The public API, as `tests/fixtures/openai` describes it.
#[derive(Debug)]
pub struct PublicApi {
    requests: Value,
    answers: Value,
}

impl PublicApi {
    /// Reads the schemas.
    ///
    /// # Errors
    /// When a file cannot be read, or is no JSON.
    pub fn read() -> Result<Self> {
        let schema = |name: &str| -> Result<Value> {
            let path = repository_root().join("tests/fixtures/openai").join(name);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            serde_json::from_str(&text).with_context(|| path.display().to_string())
        };
        Ok(Self { requests: schema("requests.schema.json")?, answers: schema("answers.schema.json")? })
    }

    /// The schema of a request: `chat`, `completion` or `embedding`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn request(&self, name: &str) -> Result<&Value> {
        self.requests["$defs"].get(name).with_context(|| format!("no request {name}"))
    }

    /// Holds an answer against the schema of this name.
    ///
    /// # Errors
    /// When it is not what the public API describes; with everything that is not.
    pub fn check(&self, name: &str, answer: &Value) -> Result {
        let definitions = &self.answers["$defs"];
        ensure!(definitions.get(name).is_some(), "no answer {name}");
        let schema = json!({ "$ref": format!("#/$defs/{name}"), "$defs": definitions });
        let errors: Vec<String> = jsonschema::validator_for(&schema)?
            .iter_errors(answer)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        ensure!(errors.is_empty(), "no {name}: {}\n{answer:#}", errors.join("\n"));
        Ok(())
    }

    /// Reads a streamed answer to its end: every chunk is one of this name, the last event is `[DONE]`, and what is
    /// constant over an answer is.
    ///
    /// # Errors
    /// When it is not so.
    pub async fn chunks(&self, name: &str, mut events: Events) -> Result<Vec<Value>> {
        let events = events.rest().await?;
        let Some(("[DONE]", chunks)) = events.split_last().map(|(last, rest)| (last.as_str(), rest)) else {
            anyhow::bail!("no [DONE] at the end of {events:?}");
        };
        let chunks: Vec<Value> =
            chunks.iter().map(|text| serde_json::from_str(text)).collect::<serde_json::Result<_>>()?;
        let first = chunks.first().context("no chunk came")?;
        for chunk in &chunks {
            self.check(name, chunk)?;
            for field in ["id", "created", "model", "system_fingerprint"] {
                ensure!(chunk[field] == first[field], "{field} changed: {first} {chunk}");
            }
        }
        Ok(chunks)
    }
}

impl TestApp {
    /// An application that serves the API with `storyteller` alone, under `/v1/..`; with more manifest text at its end.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn openai(more: &str) -> Result<Self> {
        Self::new(&format!(
            r#"
spin_manifest_version = 2

[application]
name = "openai"
version = "0.1.0"

[application.trigger.bobbin.triggers."http:/v1/...:openai"]
errors = "openai"

[application.trigger.bobbin.releases]
storyteller = "storyteller@1.0.0"

[[trigger.http]]
route = "/v1/..."
component = "openai"

[component.openai]
source = "{{root}}/guest-components/target/wasm32-wasip2/release/openai.wasm"
ai_models = ["storyteller"]
{more}"#
        ))
    }

    /// Publishes `storyteller@1.2.0`, which is 1.0.0 with this chat template, and has the manifest's release name it.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn with_template(self, template: &str) -> Result<Self> {
        self.publish("1.2.0", "1.0.0", |folder, manifest| with_template(folder, &manifest, template))?;
        self.release("storyteller@1.2.0")?;
        Ok(self)
    }
}

fn with_template(folder: &Path, manifest: &str, template: &str) -> String {
    use sha2::{Digest, Sha256};
    // A folder that cannot be written to shows in a bundle that does not verify.
    let _ = fs::write(folder.join("chat.jinja"), template);
    let digest = hex::encode(Sha256::digest(template));
    let file = format!(
        "[[files]]\npath = \"chat.jinja\"\nrole = \"template\"\nsha256 = \"{digest}\"\nsize = {}\n\n\
         [prompt]\ntemplate = \"chat.jinja\"\n\n[limits]",
        template.len()
    );
    manifest.replacen("[limits]", &file, 1)
}

impl TestHost {
    /// The base URL that OpenAI's clients are given.
    #[must_use]
    pub fn openai_url(&self) -> String {
        self.url("/v1")
    }

    /// A request without a body on the application.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn send(&self, method: Method, path: &str) -> Result<Answer> {
        Answer::read(self.client().request(method, self.url(path)).send().await?).await
    }
}
