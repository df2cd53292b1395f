//! The tensors that an architecture needs, with the shapes that its metadata says.

use super::GgufError;
use super::architectures::Layout;
use super::metadata::Metadata;
use super::model::Model;
use super::tensors::{Tensor, Tensors, bad, shape_text};

/// llama.cpp's `LLAMA_POOLING_TYPE_RANK`.
const POOLING_RANK: u32 = 4;

/// Checks every tensor against the model and a vocabulary of `vocabulary` tokens.
pub(crate) fn check(model: &Model, metadata: &Metadata, tensors: &Tensors, vocabulary: u64) -> Result<(), GgufError> {
    let strict = matches!(model.architecture.layout, Layout::Llama { .. } | Layout::Bert);
    for tensor in tensors.iter() {
        check_encoding(tensor, strict)?;
        check_block_number(model, tensor)?;
    }
    check_embedding(model, tensors, vocabulary)?;
    let check = Check { model, tensors };
    match model.architecture.layout {
        Layout::Llama { experts } => check.llama(vocabulary, experts)?,
        Layout::Bert => check.bert(metadata, vocabulary)?,
        Layout::Recurrent | Layout::Any => check.every_block_has_tensors()?,
    }
    if model.pooling == Some(POOLING_RANK)
        && tensors.get("cls.weight").is_none()
        && tensors.get("cls.output.weight").is_none()
    {
        return Err(check.missing("cls.output.weight"));
    }
    Ok(())
}

fn check_encoding(tensor: &Tensor, strict: bool) -> Result<(), GgufError> {
    let encoding = tensor.encoding;
    // ggml adds and multiplies activations by vectors of F32 only; any other type aborts in the first step.
    let is_vector = tensor.dims.len() == 1
        || tensor.name == "token_types.weight"
        || tensor.name.ends_with(".bias")
        || tensor.name.ends_with("norm.weight");
    if is_vector && encoding.name != "F32" {
        return Err(bad(
            &tensor.name,
            format!("is of type {}; norms, biases, token types and vectors must be F32", encoding.name),
        ));
    }
    // Tables that are looked up, as tokens to experts; everything else is multiplied or added.
    let index_is_honest = !strict && encoding.is_index() && tensor.name.contains("tid2eid");
    if !encoding.multiplies && !index_is_honest {
        return Err(bad(&tensor.name, format!("is of type {}, in which ggml cannot multiply", encoding.name)));
    }
    Ok(())
}

fn check_block_number(model: &Model, tensor: &Tensor) -> Result<(), GgufError> {
    let Some(rest) = tensor.name.strip_prefix("blk.") else { return Ok(()) };
    let number = rest.split('.').next().unwrap_or_default();
    match number.parse::<u32>() {
        Ok(block) if block < model.blocks && block.to_string() == number => Ok(()),
        _ => Err(bad(
            &tensor.name,
            format!("is of no block: \"{}.block_count\" is {}", model.architecture.name, model.blocks),
        )),
    }
}

fn check_embedding(model: &Model, tensors: &Tensors, vocabulary: u64) -> Result<(), GgufError> {
    let Some(embedding) = tensors.get("token_embd.weight") else {
        return Err(GgufError::MissingTensor {
            tensor: "token_embd.weight".into(),
            architecture: model.architecture.name.into(),
        });
    };
    let width = embedding.dims.first().copied().unwrap_or(0);
    if !embedding.has_shape(&[width, vocabulary]) {
        return Err(shape(embedding, &[width, vocabulary]));
    }
    if let Some(positions) = tensors.get("position_embd.weight")
        && positions.dims.get(1).copied().unwrap_or(1) != u64::from(model.context)
    {
        return Err(shape(positions, &[u64::from(model.embedding), u64::from(model.context)]));
    }
    Ok(())
}

fn shape(tensor: &Tensor, expected: &[u64]) -> GgufError {
    GgufError::Shape { tensor: tensor.name.clone(), found: shape_text(&tensor.dims), expected: shape_text(expected) }
}

struct Check<'a> {
    model: &'a Model,
    tensors: &'a Tensors,
}

impl Check<'_> {
    fn missing(&self, tensor: &str) -> GgufError {
        GgufError::MissingTensor { tensor: tensor.to_owned(), architecture: self.model.architecture.name.to_owned() }
    }

    fn required(&self, name: &str, dims: &[u64]) -> Result<(), GgufError> {
        let tensor = self.tensors.get(name).ok_or_else(|| self.missing(name))?;
        if tensor.has_shape(dims) { Ok(()) } else { Err(shape(tensor, dims)) }
    }

    fn optional(&self, name: &str, dims: &[u64]) -> Result<(), GgufError> {
        if self.tensors.get(name).is_some() { self.required(name, dims) } else { Ok(()) }
    }

    fn every_block_has_tensors(&self) -> Result<(), GgufError> {
        let mut seen = vec![false; self.model.blocks as usize];
        for tensor in self.tensors.iter() {
            // Encoder stacks name their blocks differently.
            let number = tensor.name.strip_prefix("blk.").or_else(|| tensor.name.strip_prefix("enc.blk."));
            let number = number.and_then(|rest| rest.split('.').next()).and_then(|number| number.parse::<usize>().ok());
            if let Some(seen) = number.and_then(|number| seen.get_mut(number)) {
                *seen = true;
            }
        }
        // Layers without attention and without a feed-forward part exist where a list says so.
        let may_be_empty = |block: usize| {
            let zero = |list: &[u32]| list.get(block).is_some_and(|count| *count == 0);
            zero(&self.model.heads) && zero(&self.model.feed_forward)
        };
        match seen.iter().enumerate().position(|(block, seen)| !seen && !may_be_empty(block)) {
            Some(block) => Err(self.missing(&format!("blk.{block}.*"))),
            None => Ok(()),
        }
    }

    fn llama(&self, vocabulary: u64, may_have_experts: bool) -> Result<(), GgufError> {
        let model = self.model;
        if model.experts > 0 && !may_have_experts {
            let key = format!("{}.expert_count", model.architecture.name);
            let allowed = "this architecture has no experts; 0 is allowed".into();
            return Err(GgufError::OutOfRange { key, found: model.experts.to_string(), allowed });
        }
        let embedding = u64::from(model.embedding);
        let heads = u64::from(model.uniform("attention.head_count", &model.heads)?);
        let kv_heads = u64::from(model.uniform("attention.head_count_kv", &model.kv_heads)?);
        let feed_forward = u64::from(model.uniform("feed_forward_length", &model.feed_forward)?);
        let query = heads * u64::from(model.key_length);
        let kv = kv_heads * u64::from(model.key_length);
        self.required("token_embd.weight", &[embedding, vocabulary])?;
        self.required("output_norm.weight", &[embedding])?;
        self.optional("output.weight", &[embedding, vocabulary])?;
        self.optional("rope_freqs.weight", &[u64::from(model.rope_dimensions / 2)])?;
        for block in 0..model.blocks {
            self.required(&format!("blk.{block}.attn_norm.weight"), &[embedding])?;
            self.attention(block, query, kv)?;
            self.required(&format!("blk.{block}.ffn_norm.weight"), &[embedding])?;
            if model.experts == 0 {
                self.dense(block, feed_forward)?;
            } else {
                self.mixture(block, feed_forward)?;
            }
        }
        Ok(())
    }

    fn attention(&self, block: u32, query: u64, kv: u64) -> Result<(), GgufError> {
        let embedding = u64::from(self.model.embedding);
        let fused = format!("blk.{block}.attn_qkv.weight");
        if self.tensors.get(&fused).is_some() {
            self.required(&fused, &[embedding, query + kv + kv])?;
            self.optional(&format!("blk.{block}.attn_qkv.bias"), &[query + kv + kv])?;
        } else {
            for (part, width) in [("attn_q", query), ("attn_k", kv), ("attn_v", kv)] {
                self.required(&format!("blk.{block}.{part}.weight"), &[embedding, width])?;
                self.optional(&format!("blk.{block}.{part}.bias"), &[width])?;
            }
        }
        if self.model.architecture.name == "qwen3" {
            self.required(&format!("blk.{block}.attn_q_norm.weight"), &[u64::from(self.model.key_length)])?;
            self.required(&format!("blk.{block}.attn_k_norm.weight"), &[u64::from(self.model.key_length)])?;
        }
        if self.model.architecture.name == "gemma2" {
            self.required(&format!("blk.{block}.post_attention_norm.weight"), &[embedding])?;
            self.required(&format!("blk.{block}.post_ffw_norm.weight"), &[embedding])?;
        }
        self.required(&format!("blk.{block}.attn_output.weight"), &[query, embedding])?;
        self.optional(&format!("blk.{block}.attn_output.bias"), &[embedding])
    }

    fn dense(&self, block: u32, width: u64) -> Result<(), GgufError> {
        let embedding = u64::from(self.model.embedding);
        self.required(&format!("blk.{block}.ffn_gate.weight"), &[embedding, width])?;
        self.required(&format!("blk.{block}.ffn_down.weight"), &[width, embedding])?;
        self.required(&format!("blk.{block}.ffn_up.weight"), &[embedding, width])?;
        self.optional(&format!("blk.{block}.ffn_gate.bias"), &[width])?;
        self.optional(&format!("blk.{block}.ffn_down.bias"), &[embedding])?;
        self.optional(&format!("blk.{block}.ffn_up.bias"), &[width])
    }

    fn mixture(&self, block: u32, width: u64) -> Result<(), GgufError> {
        let embedding = u64::from(self.model.embedding);
        let experts = u64::from(self.model.experts);
        self.required(&format!("blk.{block}.ffn_gate_inp.weight"), &[embedding, experts])?;
        self.required(&format!("blk.{block}.ffn_gate_exps.weight"), &[embedding, width, experts])?;
        self.required(&format!("blk.{block}.ffn_down_exps.weight"), &[width, embedding, experts])?;
        self.required(&format!("blk.{block}.ffn_up_exps.weight"), &[embedding, width, experts])
    }

    fn bert(&self, metadata: &Metadata, vocabulary: u64) -> Result<(), GgufError> {
        let model = self.model;
        let embedding = u64::from(model.embedding);
        let feed_forward = u64::from(model.uniform("feed_forward_length", &model.feed_forward)?);
        let heads = u64::from(model.uniform("attention.head_count", &model.heads)?);
        let kv_heads = u64::from(model.uniform("attention.head_count_kv", &model.kv_heads)?);
        let kv = kv_heads * u64::from(model.key_length);
        if heads * u64::from(model.key_length) != embedding || model.key_length != model.value_length {
            return Err(GgufError::OutOfRange {
                key: "bert.attention.key_length".into(),
                found: model.key_length.to_string(),
                allowed: format!("heads times length must be the embedding length {embedding}"),
            });
        }
        let types_key = "tokenizer.ggml.token_type_count";
        let types = metadata.u32(types_key)?.unwrap_or(0);
        if types == 0 {
            return Err(GgufError::MissingKey { key: types_key.into(), why: "BERT needs at least one token type" });
        }
        self.required("token_embd.weight", &[embedding, vocabulary])?;
        self.required("position_embd.weight", &[embedding, u64::from(model.context)])?;
        self.optional("token_types.weight", &[embedding, u64::from(types)])?;
        for part in ["weight", "bias"] {
            self.required(&format!("token_embd_norm.{part}"), &[embedding])?;
        }
        for block in 0..model.blocks {
            self.attention(block, embedding, kv)?;
            for norm in ["attn_output_norm", "layer_output_norm"] {
                self.required(&format!("blk.{block}.{norm}.weight"), &[embedding])?;
                self.optional(&format!("blk.{block}.{norm}.bias"), &[embedding])?;
            }
            self.required(&format!("blk.{block}.ffn_up.weight"), &[embedding, feed_forward])?;
            self.required(&format!("blk.{block}.ffn_down.weight"), &[feed_forward, embedding])?;
            self.optional(&format!("blk.{block}.ffn_up.bias"), &[feed_forward])?;
            self.optional(&format!("blk.{block}.ffn_down.bias"), &[embedding])?;
        }
        Ok(())
    }
}
