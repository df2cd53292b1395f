//! From an answer to named tensors, in the order of the contract.

use super::bindings::wasi::nn::tensor::TensorType;
use bobbin_inference::{Metadata, Output};

/// A tensor before it is charged and handed out.
#[derive(Debug, PartialEq)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) dimensions: Vec<u32>,
    pub(super) ty: TensorType,
    pub(super) data: Vec<u8>,
}

pub(super) fn write(output: Output) -> Vec<Named> {
    match output {
        Output::Generated(generated) => {
            vec![bytes("response", generated.text.into_bytes()), metadata(&generated.metadata)]
        }
        Output::Logits(logits) => vec![floats("logits", vec![len(logits.values.len())], &logits.values)],
        Output::Scores(scores) => vec![floats("scores", vec![len(scores.values.len())], &scores.values)],
        Output::Embeddings(embeddings) => {
            let rows = embeddings.values.len().checked_div(embeddings.dimensions as usize).unwrap_or(0);
            let dimensions = vec![len(rows), embeddings.dimensions];
            vec![floats("embedding", dimensions, &embeddings.values), metadata(&embeddings.metadata)]
        }
    }
}

fn metadata(metadata: &Metadata) -> Named {
    bytes("metadata", metadata.to_json().to_string().into_bytes())
}

fn bytes(name: &'static str, data: Vec<u8>) -> Named {
    Named { name, dimensions: vec![len(data.len())], ty: TensorType::U8, data }
}

fn floats(name: &'static str, dimensions: Vec<u32>, values: &[f32]) -> Named {
    let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Named { name, dimensions, ty: TensorType::Fp32, data }
}

/// Frames are bounded far below 4 GiB, so the length always fits.
fn len(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::{Embeddings, Usage};

    #[test]
    fn embeddings_are_rows_by_dimensions() {
        let metadata = Metadata {
            usage: Usage::default(),
            finish_reason: None,
            bundle: "e@1.0.0".into(),
            digest: "sha256:0".into(),
            logprobs: None,
            tool_calls: Vec::new(),
        };
        let output = Output::Embeddings(Embeddings { values: vec![0.5; 6], dimensions: 3, metadata });
        let named = write(output);
        assert_eq!((named[0].name, named[0].dimensions.as_slice()), ("embedding", [2, 3].as_slice()));
        assert_eq!(named[0].data.len(), 24);
        assert_eq!(named[1].name, "metadata");
    }
}
