//! A large bundle that nobody has to download: the shapes of a llama, and weights that say nothing.

use anyhow::Result;
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Values of a row that share one scale in `Q8_0`, and the bytes that they take with it.
const BLOCK: u64 = 32;
const BLOCK_BYTES: u64 = 34;
const CONTEXT: u32 = 512;
/// GGUF's numbers of types.
const F32: u32 = 0;
const Q8_0: u32 = 8;
/// A tensor begins at a multiple of this.
const ALIGNMENT: u64 = 32;

/// The counts of a llama with 64 numbers a head.
pub(crate) struct Shape {
    pub(crate) layers: u32,
    pub(crate) width: u64,
    pub(crate) feed_forward: u64,
    pub(crate) kv_heads: u32,
}

/// As a model of 1.1 billion weights has them, but for its vocabulary.
pub(crate) const BILLION: Shape = Shape { layers: 22, width: 2048, feed_forward: 5632, kv_heads: 4 };
/// 38 million weights.
pub(crate) const SMALL: Shape = Shape { layers: 12, width: 512, feed_forward: 1536, kv_heads: 4 };

/// What was written.
pub(crate) struct Large {
    pub(crate) bundle: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

struct Tensor {
    name: String,
    /// The row's length first.
    dims: Vec<u64>,
}

impl Tensor {
    /// Vectors are plain numbers, matrices are quantised.
    fn bytes(&self) -> u64 {
        let count: u64 = self.dims.iter().product();
        if self.dims.len() == 1 { count * 4 } else { count / BLOCK * BLOCK_BYTES }
    }
}

/// Adds such a bundle to a repository: on the disk, and not in the page cache, when this returns.
pub(crate) fn write(models: &Path, name: &str, version: &str, shape: &Shape) -> Result<Large> {
    let folder: PathBuf = models.join(name).join(version);
    std::fs::create_dir_all(&folder)?;
    let mut file = Hashed { file: File::create(folder.join("weights.gguf"))?, hasher: Sha256::new(), size: 0 };
    let tensors = tensors(shape);
    let mut head = head(shape, &tensors);
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
    file.put(&head)?;
    // Another version has other weights.
    let noise = noise(version.len() as u64 + u64::from(version.bytes().map(u32::from).sum::<u32>()));
    let ones: Vec<u8> = std::iter::repeat_n(1_f32.to_le_bytes(), shape.width as usize).flatten().collect();
    for tensor in &tensors {
        let mut left = tensor.bytes();
        let source = if tensor.dims.len() == 1 { &ones } else { &noise };
        while left > 0 {
            let part = source.get(..left.min(source.len() as u64) as usize).unwrap_or(source);
            file.put(part)?;
            left -= part.len() as u64;
        }
        let gap = tensor.bytes().next_multiple_of(ALIGNMENT) - tensor.bytes();
        file.put([0; ALIGNMENT as usize].get(..gap as usize).unwrap_or_default())?;
    }
    file.file.sync_all()?;
    fadvise(&file.file, 0, None, Advice::DontNeed)?;
    let (sha256, size) = (hex::encode(file.hasher.finalize()), file.size);
    std::fs::write(folder.join("bundle.toml"), manifest(name, version, &sha256, size))?;
    Ok(Large { bundle: format!("{name}@{version}"), sha256, size })
}

struct Hashed {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Hashed {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(self.file.write_all(bytes)?)
    }
}

fn tensors(shape: &Shape) -> Vec<Tensor> {
    let Shape { layers, width, feed_forward, kv_heads } = *shape;
    let kv = u64::from(kv_heads) * 64;
    let tensor = |name: String, dims: &[u64]| Tensor { name: format!("{name}.weight"), dims: dims.to_vec() };
    let mut all = vec![tensor("token_embd".into(), &[width, tokens()]), tensor("output_norm".into(), &[width])];
    for layer in 0..layers {
        for (part, dims) in [
            ("attn_norm", &[width][..]),
            ("attn_q", &[width, width]),
            ("attn_k", &[width, kv]),
            ("attn_v", &[width, kv]),
            ("attn_output", &[width, width]),
            ("ffn_norm", &[width]),
            ("ffn_gate", &[width, feed_forward]),
            ("ffn_down", &[feed_forward, width]),
            ("ffn_up", &[width, feed_forward]),
        ] {
            all.push(tensor(format!("blk.{layer}.{part}"), dims));
        }
    }
    all
}

/// Unknown, begin, end, and a token for each byte; the rest is filled with words that nobody says.
fn tokens() -> u64 {
    320
}

fn head(shape: &Shape, tensors: &[Tensor]) -> Vec<u8> {
    let keys = keys(shape);
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((keys.len() as u64).to_le_bytes());
    for (key, value) in keys {
        put_text(&mut out, key);
        out.extend(value);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        put_text(&mut out, &tensor.name);
        out.extend((tensor.dims.len() as u32).to_le_bytes());
        out.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
        out.extend((if tensor.dims.len() == 1 { F32 } else { Q8_0 }).to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += tensor.bytes().next_multiple_of(ALIGNMENT);
    }
    out
}

fn keys(shape: &Shape) -> Vec<(&'static str, Vec<u8>)> {
    let number = |value: u32| [4_u32.to_le_bytes(), value.to_le_bytes()].concat();
    let text = |value: &str| {
        let mut out = 8_u32.to_le_bytes().to_vec();
        put_text(&mut out, value);
        out
    };
    let list = |kind: u32, items: Vec<Vec<u8>>| {
        let mut out = [9_u32.to_le_bytes(), kind.to_le_bytes()].concat();
        out.extend((items.len() as u64).to_le_bytes());
        out.extend(items.concat());
        out
    };
    let count = tokens() as usize;
    let mut names: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    names.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    names.extend((names.len()..count).map(|id| format!("\u{2581}word{id}")));
    // Kinds of tokens: 1 normal, 2 unknown, 3 control, 6 byte.
    let kind = |id: usize| [2_i32, 3, 3].get(id).copied().unwrap_or(if id < 259 { 6 } else { 1 });
    let bytes = |text: &String| {
        let mut out = Vec::new();
        put_text(&mut out, text);
        out
    };
    let heads = (shape.width / 64) as u32;
    vec![
        ("general.architecture", text("llama")),
        ("llama.block_count", number(shape.layers)),
        ("llama.context_length", number(CONTEXT)),
        ("llama.embedding_length", number(shape.width as u32)),
        ("llama.feed_forward_length", number(shape.feed_forward as u32)),
        ("llama.attention.head_count", number(heads)),
        ("llama.attention.head_count_kv", number(shape.kv_heads)),
        ("llama.rope.dimension_count", number(64)),
        ("llama.attention.layer_norm_rms_epsilon", [6_u32.to_le_bytes(), 1e-5_f32.to_le_bytes()].concat()),
        ("tokenizer.ggml.model", text("llama")),
        ("tokenizer.ggml.tokens", list(8, names.iter().map(bytes).collect())),
        ("tokenizer.ggml.token_type", list(5, (0..count).map(|id| kind(id).to_le_bytes().to_vec()).collect())),
        ("tokenizer.ggml.scores", list(6, vec![(-1_f32).to_le_bytes().to_vec(); count])),
        ("tokenizer.ggml.bos_token_id", number(1)),
        ("tokenizer.ggml.eos_token_id", number(2)),
        ("tokenizer.ggml.unknown_token_id", number(0)),
    ]
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A mebibyte or so of quantised blocks: small scales, values from a linear congruential generator.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::new();
    for _ in 0..(1 << 15) {
        // 2^-12 as a half: values up to 0.03, so that sums over a row stay small.
        out.extend(0x0c00_u16.to_le_bytes());
        out.extend((0..BLOCK).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        }));
    }
    out
}

fn manifest(name: &str, version: &str, sha256: &str, size: u64) -> String {
    format!(
        r#"format = 1
name = "{name}"
version = "{version}"
kind = "generate"
encoding = "ggml"

[[files]]
path = "weights.gguf"
role = "weights"
sha256 = "{sha256}"
size = {size}

[limits]
context = {CONTEXT}
parallel = 16

[warm_up]
prompts = ["Once upon a time, there was a model that had learnt nothing at all."]

[card]
licence = "Apache-2.0"
languages = ["en"]
base_model = "none"
data = "none: its weights are noise"
intended_use = "benchmarks of loading"
limits = "it says nothing"
"#
    )
}
