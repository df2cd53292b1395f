//! Preflight of a LoRA adapter: pairs of matrices that fit each other.

use super::GgufError;
use super::architectures;
use super::metadata::Metadata;
use super::tensors::{Tensor, Tensors, bad, shape_text};

/// What an adapter file holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdapterSummary {
    /// The architecture that it adapts.
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// The scale's numerator.
    pub alpha: f32,
    /// How many matrices it changes.
    pub pairs: u32,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
}

pub(crate) fn check(metadata: &Metadata, tensors: &Tensors) -> Result<AdapterSummary, GgufError> {
    expect_text(metadata, "general.type", "adapter")?;
    expect_text(metadata, "adapter.type", "lora")?;
    let architecture = super::architecture(metadata)?;
    architectures::find(architecture)?;
    let alpha_key = "adapter.lora.alpha";
    let alpha = metadata
        .f32(alpha_key)?
        .ok_or_else(|| GgufError::MissingKey { key: alpha_key.into(), why: "it scales the adapter" })?;
    if !alpha.is_finite() {
        return Err(GgufError::OutOfRange {
            key: alpha_key.into(),
            found: alpha.to_string(),
            allowed: "it must be finite".into(),
        });
    }
    let mut pairs = 0;
    for tensor in tensors.iter() {
        check_matrix(tensor)?;
        if let Some(stem) = tensor.name.strip_suffix(".lora_a") {
            check_pair(tensor, tensors.get(&format!("{stem}.lora_b")))?;
            pairs += 1;
        } else if let Some(stem) = tensor.name.strip_suffix(".lora_b") {
            let partner = format!("{stem}.lora_a");
            if tensors.get(&partner).is_none() {
                return Err(GgufError::MissingTensor { tensor: partner, architecture: architecture.to_owned() });
            }
        } else if !tensor.name.ends_with("norm.weight") {
            return Err(bad(&tensor.name, "is no part of a LoRA adapter; names end in .lora_a or .lora_b".into()));
        }
    }
    if pairs == 0 {
        let tensor = "*.lora_a".into();
        return Err(GgufError::MissingTensor { tensor, architecture: architecture.to_owned() });
    }
    Ok(AdapterSummary {
        architecture: architecture.to_owned(),
        name: metadata.text("general.name")?.map(str::to_owned),
        alpha,
        pairs,
        weight_bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
    })
}

fn expect_text(metadata: &Metadata, key: &str, expected: &'static str) -> Result<(), GgufError> {
    match metadata.text(key)? {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(GgufError::OutOfRange {
            key: key.into(),
            found: format!("{found:?}"),
            allowed: format!("an adapter has \"{expected}\""),
        }),
        None => Err(GgufError::MissingKey { key: key.into(), why: "it says that the file is an adapter" }),
    }
}

fn check_matrix(tensor: &Tensor) -> Result<(), GgufError> {
    if !tensor.encoding.multiplies {
        let problem = format!("is of type {}, in which ggml cannot multiply", tensor.encoding.name);
        return Err(bad(&tensor.name, problem));
    }
    Ok(())
}

fn check_pair(a: &Tensor, b: Option<&Tensor>) -> Result<(), GgufError> {
    let Some(b) = b else { return Err(bad(&a.name, "has no .lora_b beside it".into())) };
    // Embeddings carry their first matrix transposed.
    let rank_of_a = if a.name.starts_with("token_embd") { a.dims.first() } else { a.dims.get(1) };
    if a.dims.len() < 2 || b.dims.len() < 2 || rank_of_a != b.dims.first() {
        let problem =
            format!("has shape {}, which does not fit its partner's {}", shape_text(&a.dims), shape_text(&b.dims));
        return Err(bad(&a.name, problem));
    }
    Ok(())
}
