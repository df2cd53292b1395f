//! The counts and scales of a model: what llama.cpp asserts about them, and what it would divide or allocate by.

use super::GgufError;
use super::architectures::{Architecture, Layout};
use super::metadata::{Metadata, Value};
use super::types::Kind;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// llama.cpp's `LLAMA_MAX_LAYERS`.
const MAX_BLOCKS: u32 = 512;
/// llama.cpp's `LLAMA_MAX_EXPERTS`.
const MAX_EXPERTS: u32 = 1024;
/// Layers run repeatedly; llama.cpp's graph has no room for many rounds.
const MAX_LOOPS: u32 = 16;
const MAX_WIDTH: u32 = 1 << 20;
const MAX_HEADS: u32 = 1 << 14;
const MAX_HEAD_LENGTH: u32 = 1 << 14;
const MAX_CONTEXT: u32 = 1 << 28;

/// The numbers that shape a model; per-layer lists have one entry for each block.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) architecture: Architecture,
    pub(crate) blocks: u32,
    pub(crate) embedding: u32,
    pub(crate) context: u32,
    pub(crate) heads: Vec<u32>,
    pub(crate) kv_heads: Vec<u32>,
    pub(crate) key_length: u32,
    pub(crate) value_length: u32,
    pub(crate) rope_dimensions: u32,
    pub(crate) feed_forward: Vec<u32>,
    pub(crate) experts: u32,
    pub(crate) pooling: Option<u32>,
}

/// Reads keys that begin with the architecture's name.
struct Keys<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn optional(&self, key: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, GgufError> {
        let name = self.name(key);
        let Some(value) = self.metadata.u32(&name)? else { return Ok(None) };
        in_range(&name, value, range).map(Some)
    }

    fn required(&self, key: &str, range: RangeInclusive<u32>, why: &'static str) -> Result<u32, GgufError> {
        self.optional(key, range)?.ok_or_else(|| GgufError::MissingKey { key: self.name(key), why })
    }

    /// One number for all layers, or a list of one for each.
    fn per_layer(
        &self,
        key: &str,
        blocks: u32,
        range: &RangeInclusive<u32>,
        zero: Zero,
    ) -> Result<Option<Vec<u32>>, GgufError> {
        let name = self.name(key);
        match self.metadata.get(&name) {
            None => Ok(None),
            Some(Value::U32(0)) if zero == Zero::Anywhere => Ok(Some(vec![0; blocks as usize])),
            Some(Value::U32(value)) => Ok(Some(vec![in_range(&name, *value, range.clone())?; blocks as usize])),
            Some(_) => {
                let kinds = &[Kind::U32, Kind::I32];
                let Some(list) = self.metadata.numbers(&name, kinds, "u32, or an array of u32 or i32")? else {
                    return Ok(None);
                };
                if list.len() != blocks as usize {
                    let allowed = format!("one for each of the {blocks} blocks is needed");
                    return Err(out_of_range(&name, format!("a list of {}", list.len()), allowed));
                }
                let one = |(layer, word)| match u32::from_le_bytes(word) {
                    0 if zero != Zero::Nowhere => Ok(0),
                    value => in_range(&format!("{name}[{layer}]"), value, range.clone()),
                };
                list.words().enumerate().map(one).collect::<Result<Vec<_>, _>>().map(Some)
            }
        }
    }
}

/// Where a count of zero is honest: layers without attention exist in hybrids, models without it in recurrents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zero {
    Nowhere,
    InLists,
    Anywhere,
}

impl Model {
    pub(crate) fn read(metadata: &Metadata, architecture: Architecture) -> Result<Self, GgufError> {
        let keys = Keys { metadata, architecture: architecture.name };
        let blocks = keys.required("block_count", 1..=MAX_BLOCKS, "it is the number of layers")?;
        let embedding = keys.required("embedding_length", 1..=MAX_WIDTH, "it is the width of the model")?;
        let context = keys.required("context_length", 1..=MAX_CONTEXT, "it bounds a session")?;
        keys.optional("nextn_predict_layers", 0..=blocks.saturating_sub(1))?;
        check_width_out(&keys, architecture, embedding)?;
        keys.optional("num_loops", 1..=MAX_LOOPS.min(MAX_BLOCKS / blocks))?;
        check_vocab_size(&keys)?;
        let zero = match architecture.layout {
            Layout::Llama { .. } | Layout::Bert => Zero::Nowhere,
            Layout::Any => Zero::InLists,
            Layout::Recurrent => Zero::Anywhere,
        };
        let experts = experts(&keys, blocks)?;
        if experts == 0 && architecture.needs_experts() {
            let allowed = "this architecture is a mixture of experts, so 1 at least is needed".into();
            return Err(out_of_range(&keys.name("expert_count"), "0".into(), allowed));
        }
        let (heads, kv_heads) = head_counts(&keys, blocks, zero)?;
        let feed_forward = keys.per_layer("feed_forward_length", blocks, &(1..=1 << 24), zero)?.unwrap_or_default();
        let (key_length, value_length) = head_lengths(&keys, embedding, &heads)?;
        let rope_dimensions = rope(&keys, key_length, architecture)?;
        check_heads(&keys, architecture, (key_length, value_length, rope_dimensions))?;
        check_rope_sections(&keys, architecture, key_length)?;
        check_scales(&keys)?;
        check_divisors(&keys)?;
        let pooling = keys.optional("pooling_type", 0..=4)?;
        Ok(Self {
            architecture,
            blocks,
            embedding,
            context,
            heads,
            kv_heads,
            key_length,
            value_length,
            rope_dimensions,
            feed_forward,
            experts,
            pooling,
        })
    }

    /// One value where all layers agree.
    pub(crate) fn uniform(&self, key: &str, list: &[u32]) -> Result<u32, GgufError> {
        let name = format!("{}.{key}", self.architecture.name);
        let Some(first) = list.first() else {
            return Err(GgufError::MissingKey { key: name, why: "the shape of the layers depends on it" });
        };
        if list.iter().any(|value| value != first) {
            let allowed = format!("architecture \"{}\" has one for all layers", self.architecture.name);
            return Err(out_of_range(&name, "a list of different numbers".into(), allowed));
        }
        Ok(*first)
    }
}

fn out_of_range(key: &str, found: String, allowed: String) -> GgufError {
    GgufError::OutOfRange { key: key.to_owned(), found, allowed }
}

fn in_range<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<T, GgufError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (start, end) = range.into_inner();
    Err(out_of_range(key, value.to_string(), format!("{start} to {end} is allowed")))
}

/// llama.cpp reads so many numbers from each embedding, whether they are there or not.
fn check_width_out(keys: &Keys<'_>, architecture: Architecture, embedding: u32) -> Result<(), GgufError> {
    let exact = matches!(architecture.layout, Layout::Llama { .. } | Layout::Bert);
    let range = if exact { embedding..=embedding } else { 1..=MAX_WIDTH };
    keys.optional("embedding_length_out", range).map(|_| ())
}

fn check_vocab_size(keys: &Keys<'_>) -> Result<(), GgufError> {
    let Some(declared) = keys.optional("vocab_size", 1..=u32::MAX)? else { return Ok(()) };
    let Some(tokens) = keys.metadata.texts("tokenizer.ggml.tokens")? else { return Ok(()) };
    if u64::from(declared) == tokens.len() as u64 {
        return Ok(());
    }
    let allowed = format!("\"tokenizer.ggml.tokens\" has {}, and both must agree", tokens.len());
    Err(out_of_range(&keys.name("vocab_size"), declared.to_string(), allowed))
}

fn experts(keys: &Keys<'_>, blocks: u32) -> Result<u32, GgufError> {
    let count = keys.optional("expert_count", 0..=MAX_EXPERTS)?.unwrap_or(0);
    let used_range = 0..=count;
    let used = keys.per_layer("expert_used_count", blocks, &used_range, Zero::Anywhere)?.unwrap_or_default();
    let most_used = used.into_iter().max().unwrap_or(0);
    // With a single expert these two are written by converters and dropped by llama.cpp.
    let dense = count <= 1 && keys.architecture.starts_with("hunyuan");
    if count > 0 && most_used == 0 && !dense {
        let allowed = format!("1 to {count} is allowed");
        return Err(out_of_range(&keys.name("expert_used_count"), "0 in every layer".into(), allowed));
    }
    let groups = keys.optional("expert_group_count", 0..=count.saturating_sub(1))?.unwrap_or(0);
    let groups_used = keys.optional("expert_group_used_count", 0..=MAX_EXPERTS)?.unwrap_or(0);
    if groups > 1 {
        if !count.is_multiple_of(groups) {
            let allowed = format!("it must divide the {count} experts");
            return Err(out_of_range(&keys.name("expert_group_count"), groups.to_string(), allowed));
        }
        in_range(&keys.name("expert_group_used_count"), groups_used, 1..=groups - 1)?;
    }
    Ok(count)
}

fn head_counts(keys: &Keys<'_>, blocks: u32, zero: Zero) -> Result<(Vec<u32>, Vec<u32>), GgufError> {
    let range = 1..=MAX_HEADS;
    let heads = match keys.per_layer("attention.head_count", blocks, &range, zero)? {
        Some(heads) => heads,
        None if zero == Zero::Nowhere => {
            let key = keys.name("attention.head_count");
            return Err(GgufError::MissingKey { key, why: "attention cannot be split without it" });
        }
        None => vec![0; blocks as usize],
    };
    let kv_heads = keys.per_layer("attention.head_count_kv", blocks, &range, zero)?.unwrap_or_else(|| heads.clone());
    for (layer, (heads, kv_heads)) in heads.iter().zip(&kv_heads).enumerate() {
        if *heads > 0 && *kv_heads > 0 && !heads.is_multiple_of(*kv_heads) {
            let allowed = format!("it must divide the {heads} heads of layer {layer}");
            return Err(out_of_range(&keys.name("attention.head_count_kv"), kv_heads.to_string(), allowed));
        }
    }
    Ok((heads, kv_heads))
}

fn head_lengths(keys: &Keys<'_>, embedding: u32, heads: &[u32]) -> Result<(u32, u32), GgufError> {
    let key = keys.optional("attention.key_length", 1..=MAX_HEAD_LENGTH)?;
    let value = keys.optional("attention.value_length", 1..=MAX_HEAD_LENGTH)?;
    keys.optional("attention.key_length_swa", 1..=MAX_HEAD_LENGTH)?;
    keys.optional("attention.value_length_swa", 1..=MAX_HEAD_LENGTH)?;
    // llama.cpp derives both from the first layer.
    let first = heads.first().copied().unwrap_or(0);
    if first == 0 {
        return Ok((key.unwrap_or(0), value.unwrap_or(0)));
    }
    if (key.is_none() || value.is_none()) && !embedding.is_multiple_of(first) {
        let allowed = format!("it must divide the embedding length {embedding}, or key and value lengths be given");
        return Err(out_of_range(&keys.name("attention.head_count"), first.to_string(), allowed));
    }
    Ok((key.unwrap_or(embedding / first), value.unwrap_or(embedding / first)))
}

/// What the graphs of many architectures assert of their heads.
fn check_heads(
    keys: &Keys<'_>,
    architecture: Architecture,
    (key, value, rope): (u32, u32, u32),
) -> Result<(), GgufError> {
    let differs = |name: &str, found: u32| {
        let allowed = format!("it must be the head length {key} in architecture \"{}\"", architecture.name);
        Err(out_of_range(&keys.name(name), found.to_string(), allowed))
    };
    if value != key && architecture.has_equal_heads() {
        return differs("attention.value_length", value);
    }
    if !architecture.has_whole_head_rope() {
        return Ok(());
    }
    if rope != key {
        return differs("rope.dimension_count", rope);
    }
    if !key.is_multiple_of(2) {
        let allowed = "RoPE turns pairs, so the length must be even".into();
        return Err(out_of_range(&keys.name("attention.key_length"), key.to_string(), allowed));
    }
    Ok(())
}

fn rope(keys: &Keys<'_>, key_length: u32, architecture: Architecture) -> Result<u32, GgufError> {
    const SCALINGS: [&str; 4] = ["none", "linear", "yarn", "longrope"];
    // Over no dimensions ggml computes without end.
    let least = if architecture.may_lack_rope() { 0 } else { 1 };
    let most = if key_length == 0 { MAX_HEAD_LENGTH } else { key_length };
    let dimensions = keys.optional("rope.dimension_count", least..=most)?.unwrap_or(key_length);
    let swa = keys.optional("rope.dimension_count_swa", 0..=MAX_HEAD_LENGTH)?.unwrap_or(0);
    // RoPE turns pairs; ggml asserts that their number is whole.
    for (key, value) in [("rope.dimension_count", dimensions), ("rope.dimension_count_swa", swa)] {
        if !value.is_multiple_of(2) && keys.metadata.get(&keys.name(key)).is_some() {
            return Err(out_of_range(&keys.name(key), value.to_string(), "it must be even".into()));
        }
    }
    let scaling = keys.name("rope.scaling.type");
    if let Some(found) = keys.metadata.text(&scaling)?
        && !SCALINGS.contains(&found)
    {
        return Err(out_of_range(&scaling, format!("{found:?}"), format!("one of {} is allowed", SCALINGS.join(", "))));
    }
    keys.optional("rope.scaling.original_context_length", 1..=MAX_CONTEXT)?;
    keys.metadata.bool(&keys.name("rope.scaling.finetuned"))?;
    Ok(dimensions)
}

fn check_rope_sections(keys: &Keys<'_>, architecture: Architecture, key_length: u32) -> Result<(), GgufError> {
    let name = keys.name("rope.dimension_sections");
    let Some(sections) = keys.metadata.numbers(&name, &[Kind::U32, Kind::I32], "array of u32 or i32")? else {
        if architecture.needs_rope_sections() {
            return Err(GgufError::MissingKey { key: name, why: "this architecture's RoPE runs over several axes" });
        }
        return Ok(());
    };
    let sections: Vec<_> = sections.words().map(i32::from_le_bytes).collect();
    let sum = sections.iter().try_fold(0_u32, |sum, section| sum.checked_add(u32::try_from(*section).ok()?));
    let honest = sum.is_some_and(|sum| sum <= key_length);
    let some = sections.iter().take(3).any(|section| *section > 0);
    if sections.len() <= 4 && honest && (some || !architecture.needs_rope_sections()) {
        return Ok(());
    }
    let allowed = format!(
        "at most four numbers are allowed, not above the head length {key_length} together, \
         and not 0 in all of the first three"
    );
    Err(out_of_range(&name, format!("{sections:?}"), allowed))
}

/// Floats: finite all of them, and positive where llama.cpp divides by them or takes their root.
fn check_scales(keys: &Keys<'_>) -> Result<(), GgufError> {
    let prefix = keys.name("");
    for (key, value) in keys.metadata.iter() {
        if let Value::F32(value) = value
            && key.starts_with(&prefix)
            && !value.is_finite()
        {
            return Err(out_of_range(key, value.to_string(), "it must be finite".into()));
        }
    }
    for key in ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"] {
        let name = keys.name(key);
        if let Some(epsilon) = keys.metadata.f32(&name)?
            && !(epsilon > 0.0 && epsilon <= 1.0)
        {
            return Err(out_of_range(&name, epsilon.to_string(), "it must be above 0 and at most 1".into()));
        }
    }
    for key in ["rope.freq_base", "rope.freq_base_swa"] {
        let name = keys.name(key);
        if let Some(base) = keys.metadata.f32(&name)?
            && base <= 0.0
        {
            return Err(out_of_range(&name, base.to_string(), "it must be above 0".into()));
        }
    }
    for key in ["rope.scaling.factor", "rope.scale_linear", "rope.scaling.attn_factor"] {
        let name = keys.name(key);
        if let Some(factor) = keys.metadata.f32(&name)?
            && factor < 0.0
        {
            return Err(out_of_range(&name, factor.to_string(), "it must not be negative".into()));
        }
    }
    epsilon_is_there(keys)
}

fn epsilon_is_there(keys: &Keys<'_>) -> Result<(), GgufError> {
    let key = match super::architectures::find(keys.architecture)?.layout {
        Layout::Llama { .. } => "attention.layer_norm_rms_epsilon",
        Layout::Bert => "attention.layer_norm_epsilon",
        Layout::Recurrent | Layout::Any => return Ok(()),
    };
    if keys.metadata.get(&keys.name(key)).is_none() {
        return Err(GgufError::MissingKey { key: keys.name(key), why: "the norms need it" });
    }
    keys.metadata.bool(&keys.name("attention.causal")).map(|_| ())
}

/// Integers by which llama.cpp divides: a zero is a signal, not an exception.
fn check_divisors(keys: &Keys<'_>) -> Result<(), GgufError> {
    const DIVISORS: [&str; 6] = [
        "wkv.head_size",
        "ssm.inner_size",
        "ssm.state_size",
        "ssm.conv_kernel",
        "ssm.time_step_rank",
        "full_attention_interval",
    ];
    for key in DIVISORS {
        keys.optional(key, 1..=1 << 24)?;
    }
    Ok(())
}
