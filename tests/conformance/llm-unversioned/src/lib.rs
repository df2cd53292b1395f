//! `fermyon:spin/llm` without a version, as components of Spin 1 import it.
//!
//! The path is `/OPERATION/MODEL`: `infer` continues the body with 12 tokens, always the same ones, `nothing` with none,
//! and `long` continues 5000 times the body; `embed` compares the first line of the body with the others. An error is status 400.

use bindings::fermyon::spin::llm::{self, Error, InferencingParams};

#[allow(clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../host/wit/deps/fermyon-spin@unversioned",
        inline: "package bobbin:conformance; world guest { import fermyon:spin/llm; }",
        world: "bobbin:conformance/guest",
        generate_all,
    });
}

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let (operation, model) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let text = shared::text(body);
    let params = |max_tokens| InferencingParams {
        max_tokens,
        repeat_penalty: 1.1,
        repeat_penalty_last_n_token_count: 64,
        temperature: 0.0,
        top_k: 40,
        top_p: 0.9,
    };
    let told = match operation {
        "infer" => llm::infer(model, &text, Some(params(12)))?,
        "nothing" => llm::infer(model, &text, Some(params(0)))?,
        "long" => llm::infer(model, &text.repeat(5000), None)?,
        "embed" => {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            return Ok(shared::compared(&llm::generate_embeddings(model, &lines)?.embeddings));
        }
        other => return Ok(format!("no operation {other}")),
    };
    let (prompt, generated) = (told.usage.prompt_token_count, told.usage.generated_token_count);
    Ok(format!("{prompt} tokens, then {generated}: {}", told.text))
}
