//! `POST /v1/embeddings`: the request, and how vectors are written.

use crate::completion::texts;
use crate::fields::{Checked, Field, Object};
use crate::refusal::{Fields, Refusal};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bobbin_wasi_nn::Embeddings;
use serde::Serialize;

/// The most texts of a request, as at OpenAI's.
const TEXTS: usize = 2048;

/// A checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Embed {
    /// The model that is asked for.
    pub(crate) model: String,
    /// The texts: at least one, and none of them empty.
    pub(crate) texts: Vec<String>,
    /// How long vectors are to be; `None` for all that the model makes.
    pub(crate) dimensions: Option<u32>,
    /// Whether numbers are written as base64 of their bytes.
    pub(crate) base64: bool,
}

impl Embed {
    /// Which field is told where the host refuses what.
    pub(crate) const FIELDS: Fields = Fields::plain(Fields::VECTORS);

    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Checked<Self> {
        let mut body = Object::body(body)?;
        let model = body.need("model", "the name of a model, such as GET /v1/models lists")?.string()?;
        let input = body.need("input", "a string or an array of strings")?;
        let is_list = input.value().is_array();
        let texts = texts(input, TEXTS)?;
        if let Some(at) = texts.iter().position(String::is_empty) {
            let path = if is_list { format!("input[{at}]") } else { "input".to_owned() };
            return Err(Refusal::bad(
                "invalid_value",
                &path,
                format!("'{path}' is empty, and an empty text has no vector"),
            ));
        }
        let dimensions = body.take("dimensions").map(|field| field.integer(1, i64::from(u32::MAX))).transpose()?;
        let format = body.take("encoding_format").map(|field| field.one_of(["float", "base64"], &[])).transpose()?;
        // It could change no vector, and the records of embeddings have no room for it.
        body.take("user").map(Field::string).transpose()?;
        body.end()?;
        let dimensions = dimensions.and_then(|dimensions| u32::try_from(dimensions).ok());
        Ok(Self { model, texts, dimensions, base64: format == Some("base64") })
    }
}

/// The answer. Written from its fields, since a tree of JSON would take some ten times the room of the numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    object: &'static str,
    data: Vec<Row>,
    model: String,
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Row {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    /// Their bytes, each number in four, the lowest first.
    Base64(String),
}

#[derive(Debug, Serialize)]
struct Usage {
    prompt_tokens: u32,
    total_tokens: u32,
}

impl Answer {
    /// The answer with these vectors.
    pub(crate) fn new(embeddings: Embeddings, base64: bool) -> Self {
        let Embeddings { vectors, usage, bundle, .. } = embeddings;
        let row = |(index, numbers): (usize, Vec<f32>)| {
            let embedding = if base64 { Vector::Base64(encoded(&numbers)) } else { Vector::Numbers(numbers) };
            Row { object: "embedding", index, embedding }
        };
        let data = vectors.into_iter().enumerate().map(row).collect();
        let usage = Usage { prompt_tokens: usage.input_tokens, total_tokens: usage.input_tokens };
        Self { object: "list", data, model: bundle, usage }
    }
}

fn encoded(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(more: &Value) -> Checked<Embed> {
        let mut body = json!({ "model": "sentence", "input": "Hi" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Embed::read(body.to_string().as_bytes())
    }

    #[test]
    fn the_fields_of_a_request_are_read() {
        let all = json!({ "input": ["a", "b"], "dimensions": 8, "encoding_format": "base64", "user": "u" });
        let texts = ["a", "b"].map(str::to_owned).to_vec();
        let wanted = Embed { model: "sentence".to_owned(), texts, dimensions: Some(8), base64: true };
        assert_eq!(read(&all).unwrap(), wanted);
        assert!(!read(&json!({ "encoding_format": "float" })).unwrap().base64);
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        for (more, code, param) in [
            (json!({ "input": "" }), "invalid_value", "input"),
            (json!({ "input": ["a", ""] }), "invalid_value", "input[1]"),
            (json!({ "input": [1, 2] }), "unsupported_value", "input"),
            (json!({ "input": [[1], [2]] }), "unsupported_value", "input"),
            (json!({ "input": vec!["a"; 2049] }), "array_above_max_length", "input"),
            (json!({ "dimensions": 0 }), "integer_below_min_value", "dimensions"),
            (json!({ "encoding_format": "hex" }), "invalid_value", "encoding_format"),
            (json!({ "colour": "red" }), "unknown_parameter", "colour"),
        ] {
            let refusal = read(&more).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{more}");
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_or_as_their_bytes() {
        let usage = bobbin_wasi_nn::Usage { input_tokens: 4, output_tokens: 0, cached_tokens: 0 };
        let embeddings = || Embeddings {
            vectors: vec![vec![1.0, -0.5]],
            usage,
            bundle: "sentence@1.0.0".to_owned(),
            digest: String::new(),
        };
        let answer = |base64| serde_json::to_value(Answer::new(embeddings(), base64)).unwrap();
        assert_eq!(answer(false)["data"][0], json!({ "object": "embedding", "index": 0, "embedding": [1.0, -0.5] }));
        assert_eq!(answer(true)["data"][0]["embedding"], "AACAPwAAAL8=");
        assert_eq!(answer(true)["usage"], json!({ "prompt_tokens": 4, "total_tokens": 4 }));
    }
}
