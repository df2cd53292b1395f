//! `/story` continues the body. `/nearest` takes sentences with ` | ` between them, and answers with the one that means most
//! nearly what the first one does. The models have the names that spin-sdk gives them.

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_component;
use spin_sdk::llm::{EmbeddingModel, InferencingModel, generate_embeddings, infer};

#[http_component]
fn handle_llm(request: Request) -> anyhow::Result<impl IntoResponse> {
    let text = std::str::from_utf8(request.body())?;
    let told = match request.path() {
        "/story" => infer(InferencingModel::Llama2Chat, text)?.text,
        "/nearest" => nearest(text)?,
        _ => return Ok(Response::new(404, "/story and /nearest are here\n")),
    };
    Ok(Response::builder().status(200).header("content-type", "text/plain; charset=utf-8").body(told).build())
}

fn nearest(text: &str) -> anyhow::Result<String> {
    let sentences: Vec<String> = text.split(" | ").map(str::to_owned).collect();
    let rows = generate_embeddings(EmbeddingModel::AllMiniLmL6V2, &sentences)?.embeddings;
    let cosine = |row: &[f32]| rows.first().into_iter().flatten().zip(row).map(|(a, b)| a * b).sum::<f32>();
    let others = sentences.iter().zip(&rows).skip(1);
    let nearest = others.max_by(|(_, one), (_, other)| cosine(one).total_cmp(&cosine(other)));
    Ok(nearest.map(|(sentence, _)| sentence.clone()).unwrap_or_default())
}
