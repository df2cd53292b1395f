//! `fermyon:spin/llm@2.0.0`, by spin-sdk 5.
//!
//! The path is `/OPERATION/MODEL`: `infer` continues the body with 12 tokens, always the same ones, `nothing` with none,
//! and `long` continues 5000 times the body; `embed` compares the first line of the body with the others. An error is status 400.

use spin_sdk::llm::{self, EmbeddingModel, Error, InferencingModel, InferencingParams};

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let (operation, model) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let text = shared::text(body);
    let told = match operation {
        "infer" => {
            let params = InferencingParams { max_tokens: 12, temperature: 0.0, ..Default::default() };
            llm::infer_with_options(InferencingModel::Other(model), &text, params)?
        }
        "nothing" => {
            let params = InferencingParams { max_tokens: 0, ..Default::default() };
            llm::infer_with_options(InferencingModel::Other(model), &text, params)?
        }
        "long" => llm::infer(InferencingModel::Other(model), &text.repeat(5000))?,
        "embed" => {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            return Ok(shared::compared(&llm::generate_embeddings(EmbeddingModel::Other(model), &lines)?.embeddings));
        }
        other => return Ok(format!("no operation {other}")),
    };
    let (prompt, generated) = (told.usage.prompt_token_count, told.usage.generated_token_count);
    Ok(format!("{prompt} tokens, then {generated}: {}", told.text))
}
