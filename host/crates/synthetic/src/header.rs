//! What stands before the numbers in a GGUF file: keys, and the table of tensors.

use crate::ALIGNMENT;
use crate::quant::Quant;
use crate::shape::{Architecture, Shape};

/// GGUF's number for 32-bit floats, as tensors are stored.
const F32: u32 = 0;
/// How a space is written within a token.
const WORD_BEGIN: &str = "\u{2581}";
/// Tokens that are no pieces: see [`words`].
pub(crate) const BEFORE_PIECES: u32 = 259;

/// What a tensor is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Noise, quantised.
    Matrix,
    /// What is left of a state, by token: exponents below zero.
    Decays,
    /// The factors of a norm.
    Ones,
    /// Biases.
    Zeros,
}

/// A tensor of the file.
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// The row's length first.
    pub(crate) dims: Vec<u64>,
    pub(crate) content: Content,
    /// Blocks of the noise that it leaves out, so that it is another one's.
    pub(crate) skip: usize,
}

impl Tensor {
    /// Numbers in a row.
    pub(crate) fn row(&self) -> u64 {
        self.dims.first().copied().unwrap_or(0)
    }

    /// Whether its rows are whole blocks.
    pub(crate) fn fits(&self, quant: Quant) -> bool {
        self.content != Content::Matrix || self.row().is_multiple_of(quant.block())
    }

    pub(crate) fn bytes(&self, quant: Quant) -> u64 {
        let count: u64 = self.dims.iter().product();
        match self.content {
            Content::Matrix => count / quant.block() * quant.block_bytes(),
            Content::Decays | Content::Ones | Content::Zeros => count * size_of::<f32>() as u64,
        }
    }

    fn gguf(&self, quant: Quant) -> u32 {
        if self.content == Content::Matrix { quant.gguf() } else { F32 }
    }
}

/// Every tensor of a shape, in the order of the file.
pub(crate) fn tensors(shape: &Shape) -> Vec<Tensor> {
    let [width, inner, vocabulary] = [shape.width, shape.feed_forward, shape.vocabulary].map(u64::from);
    let queries = u64::from(shape.heads) * u64::from(shape.head_width);
    let kv = u64::from(shape.kv_heads) * u64::from(shape.head_width);
    let matrix = |name: String, row: u64, rows: u64| Tensor {
        name: format!("{name}.weight"),
        dims: vec![row, rows],
        content: Content::Matrix,
        skip: 0,
    };
    let norm =
        |name: String| Tensor { name: format!("{name}.weight"), dims: vec![width], content: Content::Ones, skip: 0 };
    let bias = |name: String, count: u64| Tensor {
        name: format!("{name}.bias"),
        dims: vec![count],
        content: Content::Zeros,
        skip: 0,
    };
    let mut all = vec![matrix("token_embd".into(), width, vocabulary), norm("output_norm".into())];
    if !shape.tied {
        all.push(matrix("output".into(), width, vocabulary));
    }
    for layer in 0..shape.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        all.push(norm(name("attn_norm")));
        for (part, rows) in [("attn_q", queries), ("attn_k", kv), ("attn_v", kv)] {
            all.push(matrix(name(part), width, rows));
            if shape.architecture == Architecture::Qwen2 {
                all.push(bias(name(part), rows));
            }
        }
        all.push(matrix(name("attn_output"), queries, width));
        all.push(norm(name("ffn_norm")));
        all.push(matrix(name("ffn_gate"), width, inner));
        all.push(matrix(name("ffn_up"), width, inner));
        all.push(matrix(name("ffn_down"), inner, width));
    }
    all
}

/// The header; the numbers begin at the next multiple of the alignment.
pub(crate) fn of(shape: &Shape, tensors: &[Tensor], quant: Quant) -> Vec<u8> {
    head(keys(shape), tensors, quant)
}

/// The header of a file that has words and no numbers.
pub(crate) fn of_words(name: &str, pieces: &[String]) -> Vec<u8> {
    let mut keys = vec![
        ("general.architecture".to_owned(), Value::text(Architecture::Llama.name())),
        ("general.name".to_owned(), Value::text(name)),
    ];
    let piece = |id: u32| pieces.get((id - BEFORE_PIECES) as usize).map(|piece| piece.replace(' ', WORD_BEGIN));
    keys.extend(words(BEFORE_PIECES + pieces.len() as u32, |id| piece(id).unwrap_or_default()));
    head(keys, &[], Quant::Q8_0)
}

pub(crate) fn head(keys: Vec<(String, Value)>, tensors: &[Tensor], quant: Quant) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((keys.len() as u64).to_le_bytes());
    for (key, Value(value)) in keys {
        put_text(&mut out, &key);
        out.extend(value);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        put_text(&mut out, &tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        out.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
        out.extend(tensor.gguf(quant).to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += tensor.bytes(quant).next_multiple_of(ALIGNMENT);
    }
    out
}

/// A value with its type before it, as GGUF has them.
pub(crate) struct Value(Vec<u8>);

impl Value {
    pub(crate) fn number(value: u32) -> Self {
        Self([4_u32.to_le_bytes(), value.to_le_bytes()].concat())
    }

    pub(crate) fn float(value: f32) -> Self {
        Self([6_u32.to_le_bytes(), value.to_le_bytes()].concat())
    }

    pub(crate) fn text(value: &str) -> Self {
        let mut out = 8_u32.to_le_bytes().to_vec();
        put_text(&mut out, value);
        Self(out)
    }

    pub(crate) fn numbers(values: &[u32]) -> Self {
        Self::list(4, values.len() as u32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(crate) fn yes() -> Self {
        Self([&7_u32.to_le_bytes()[..], &[1]].concat())
    }

    /// `kind` is the type of the items.
    fn list(kind: u32, count: u32, items: Vec<u8>) -> Self {
        let mut out = [9_u32.to_le_bytes(), kind.to_le_bytes()].concat();
        out.extend(u64::from(count).to_le_bytes());
        out.extend(items);
        Self(out)
    }
}

fn keys(shape: &Shape) -> Vec<(String, Value)> {
    let of_model = |key: &str, value: Value| (format!("{}.{key}", shape.architecture.name()), value);
    let mut keys = vec![
        ("general.architecture".to_owned(), Value::text(shape.architecture.name())),
        ("general.name".to_owned(), Value::text(&format!("noise in the shape of {}", shape.name))),
        of_model("block_count", Value::number(shape.layers)),
        of_model("context_length", Value::number(shape.context)),
        of_model("embedding_length", Value::number(shape.width)),
        of_model("feed_forward_length", Value::number(shape.feed_forward)),
        of_model("attention.head_count", Value::number(shape.heads)),
        of_model("attention.head_count_kv", Value::number(shape.kv_heads)),
        of_model("rope.dimension_count", Value::number(shape.head_width)),
        of_model("rope.freq_base", Value::float(shape.rope_base)),
        of_model("attention.layer_norm_rms_epsilon", Value::float(shape.epsilon)),
    ];
    keys.extend(numbered_words(shape.vocabulary));
    keys
}

/// A vocabulary of words that nobody says.
pub(crate) fn numbered_words(count: u32) -> Vec<(String, Value)> {
    words(count, |id| format!("{WORD_BEGIN}word{id}"))
}

/// Unknown, begin, end, a token for each byte, and others.
fn words(count: u32, other: impl Fn(u32) -> String) -> Vec<(String, Value)> {
    let name = |id: u32| match id {
        0 => "<unk>".to_owned(),
        1 => "<s>".to_owned(),
        2 => "</s>".to_owned(),
        3..=258 => format!("<0x{:02X}>", id - 3),
        _ => other(id),
    };
    // Kinds of tokens: 1 normal, 2 unknown, 3 control, 6 byte.
    let kind = |id: u32| match id {
        0 => 2_i32,
        1 | 2 => 3,
        3..=258 => 6,
        _ => 1,
    };
    let mut names = Vec::new();
    (0..count).for_each(|id| put_text(&mut names, &name(id)));
    let kinds = (0..count).flat_map(|id| kind(id).to_le_bytes()).collect();
    let scores = (0..count).flat_map(|_| (-1_f32).to_le_bytes()).collect();
    let key = |name: &str, value: Value| (format!("tokenizer.ggml.{name}"), value);
    vec![
        key("model", Value::text("llama")),
        key("tokens", Value::list(8, count, names)),
        key("token_type", Value::list(5, count, kinds)),
        key("scores", Value::list(6, count, scores)),
        key("bos_token_id", Value::number(1)),
        key("eos_token_id", Value::number(2)),
        key("unknown_token_id", Value::number(0)),
    ]
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}
