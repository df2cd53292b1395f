//! The sound files that the fuzz target starts from, small, and different in what the preflight does with them.

use super::gguf::{Gguf, Value, text, texts};
use super::pieces::Pieces;
use bobbin_synthetic::{Architecture, Quant, Shape, write};

/// Files by name.
pub(crate) struct Starts(Vec<(&'static str, Pieces)>);

impl Starts {
    pub(crate) fn new() -> Self {
        let files = [
            ("llama", Gguf::llama().build()),
            ("sentence_piece", Gguf::sentence_piece().build()),
            ("bert", Gguf::bert().build()),
            ("adapter", Gguf::adapter().build()),
            ("sections", sections().build()),
            ("scaled", scaled().build()),
            ("unigram", unigram().build()),
            ("rwkv", rwkv().build()),
            ("plamo2", Gguf::sentence_piece().with("tokenizer.ggml.model", text("plamo2")).build()),
            ("quantised", quantised()),
        ];
        Self(files.into_iter().map(|(name, bytes)| (name, Pieces::of(&bytes).unwrap())).collect())
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    pub(crate) fn of(&self, name: &str) -> &Pieces {
        &self.0.iter().find(|(found, _)| *found == name).unwrap().1
    }
}

/// RoPE over several axes, a list for each layer, and a template.
fn sections() -> Gguf {
    let file = Gguf::llama().renamed("qwen2vl");
    file.with("qwen2vl.rope.dimension_sections", Value::I32s(vec![2, 1, 1, 0]))
        .with("qwen2vl.attention.head_count", Value::U32s(vec![4, 4]))
        .with("qwen2vl.feed_forward_length", Value::I32s(vec![48, 48]))
        .with("tokenizer.chat_template", text("{{ messages[0].content }}"))
}

/// Every kind of value, and more scales than one that can be wrong.
fn scaled() -> Gguf {
    let file =
        Gguf::llama().with("llama.rope.freq_base", Value::F32(1e4)).with("llama.attention.scale", Value::F32(1.0));
    file.with("llama.rope.scaling.factor", Value::F32(1.0))
        .with("llama.rope.scaling.type", text("yarn"))
        .with("llama.vocab_size", Value::U32(9))
        .with("general.type", text("model"))
        .with("general.alignment", Value::U32(32))
        .with("split.count", Value::U16(1))
        .with("tokenizer.ggml.scores", Value::F32s(vec![0.0; 9]))
        .with("tokenizer.ggml.padding_token_id", Value::U32(8))
        .with("x.i32", Value::I32(-1))
        .with("x.u8", Value::U8(1))
        .with("x.u64", Value::Raw(10, vec![0; 8]))
        .with("x.f64", Value::Raw(12, vec![0; 8]))
        .with("x.bools", Value::Raw(9, [7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1].to_vec()))
}

/// A normalisation map whose trie has one path: `a`, replaced by `b`.
fn unigram() -> Gguf {
    let mut nodes = vec![0_u32; 512];
    nodes[0] = 256 << 10;
    nodes[256 ^ usize::from(b'a')] = u32::from(b'a') | 1 << 8 | u32::from(b'a') << 10;
    let mut map = 2048_u32.to_le_bytes().to_vec();
    map.extend(nodes.iter().flat_map(|node| node.to_le_bytes()));
    map.extend(b"b\0");
    let file = Gguf::llama().with("tokenizer.ggml.model", text("t5"));
    file.with("tokenizer.ggml.precompiled_charsmap", Value::U8s(map))
        .with("tokenizer.ggml.unknown_token_id", Value::U32(2))
        .without("tokenizer.ggml.merges")
}

/// Without attention, and with tokens that are escaped.
fn rwkv() -> Gguf {
    let tokens = ["\\x00", "a", "ab", "\\n", "\\xff", "b", "c", "d", "e"];
    let file = Gguf::llama().renamed("rwkv6").with("tokenizer.ggml.model", text("rwkv"));
    file.with("tokenizer.ggml.tokens", texts(&tokens))
        .with("tokenizer.ggml.unknown_token_id", Value::U32(0))
        .with("rwkv6.attention.head_count", Value::U32(0))
        .with("rwkv6.wkv.head_size", Value::U32(8))
        .without("rwkv6.attention.head_count_kv")
}

fn quantised() -> Vec<u8> {
    let shape = Shape {
        name: "tiny",
        architecture: Architecture::Qwen2,
        layers: 1,
        width: 32,
        feed_forward: 32,
        heads: 2,
        kv_heads: 1,
        head_width: 16,
        vocabulary: 260,
        context: 64,
        tied: true,
        rope_base: 1e4,
        epsilon: 1e-5,
    };
    let mut file = Vec::new();
    write(&mut file, &shape, Quant::Q8_0, 1).unwrap();
    file
}
