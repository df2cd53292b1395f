//! Vectors: one JSON document, in the order of the texts.

use super::Ask;
use crate::failure::Failure;
use crate::release::Exit;
use crate::terminal::print as print_text;
use bobbin_inference::{Output, Work};
use serde::Serialize;

#[derive(Serialize)]
struct Document<'a> {
    bundle: &'a str,
    digest: &'a str,
    dimensions: u32,
    usage: Used,
    embeddings: Vec<&'a [f32]>,
}

#[derive(Serialize)]
struct Used {
    input_tokens: u32,
}

/// Asks for the vectors of texts, and prints them.
///
/// # Errors
/// Why the model does not answer.
pub(super) async fn print(ask: &Ask<'_>, texts: Vec<String>, dimensions: Option<u32>) -> Result<(), Failure> {
    let mut session = ask.alone.session(ask.cancel.clone());
    let output = session.compute(Work::Embed { texts, dimensions }).await;
    let output = output.map_err(super::unanswered)?;
    let Output::Embeddings(embeddings) = output else {
        return Err(Failure::new(Exit::Failed, "the worker answered with something else than vectors; this is a bug"));
    };
    let width = usize::try_from(embeddings.dimensions).unwrap_or(usize::MAX).max(1);
    let document = Document {
        bundle: &embeddings.metadata.bundle,
        digest: &embeddings.metadata.digest,
        dimensions: embeddings.dimensions,
        usage: Used { input_tokens: embeddings.metadata.usage.input_tokens },
        embeddings: embeddings.values.chunks(width).collect(),
    };
    print_text(&format!("{}\n", serde_json::to_string(&document)?));
    Ok(())
}
