//! GGUF preflight: reads a model file in Rust and refuses everything on which llama.cpp is known to abort,
//! loop or allocate without bound, before llama.cpp sees the file.
//!
//! The reader never panics, asks for no more memory than a small multiple of the file's size (metadata at most
//! 256 MiB), says the same of the same file every time, and reads it once, forward. It also walks all weights,
//! because a NaN among them spoils every answer.

mod about;
mod adapter;
mod architectures;
mod charsmap;
mod data;
mod error;
mod metadata;
mod model;
mod reader;
mod shapes;
mod special;
mod tensors;
mod types;
mod vocabulary;

pub use about::About;
pub use adapter::AdapterSummary;
pub use error::GgufError;

use architectures::Task;
use metadata::{Metadata, Value};
use model::Model;
use reader::Reader;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use tensors::Tensors;
use types::Kind;

const DEFAULT_ALIGNMENT: u32 = 32;
/// llama.cpp asserts that mapped tensors lie on 32 bytes.
const MIN_ALIGNMENT: u32 = 32;
const MAX_ALIGNMENT: u32 = 1 << 16;
const ALIGNMENT: &str = "general.alignment";
const ARCHITECTURE: &str = "general.architecture";
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// What a model file says about itself, checked.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GgufSummary {
    /// `general.architecture`, as llama.cpp names it.
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// Number of layers.
    pub block_count: u32,
    /// Width of the model.
    pub embedding_length: u32,
    /// Attention heads of the first layer; 0 where there is no attention.
    pub head_count: u32,
    /// Key and value heads of the first layer.
    pub head_count_kv: u32,
    /// Length of a key, per head.
    pub key_length: u32,
    /// Length of a value, per head.
    pub value_length: u32,
    /// The context that the model was made for, in tokens.
    pub context_length: u32,
    /// Number of tokens in the vocabulary.
    pub vocabulary: u32,
    /// Number of weights.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub weight_bytes: u64,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
    /// `tokenizer.ggml.model`.
    pub tokenizer: String,
    /// It gives embeddings alone and cannot generate.
    pub encoder_only: bool,
    /// Where it comes from, by its own account.
    pub about: Box<About>,
    kv_heads_of_all_layers: u64,
}

impl GgufSummary {
    /// Bytes of KV cache that one token of one session takes with f16 keys and values.
    ///
    /// An upper bound where layers have a sliding window; 0 for recurrent models, whose state does not grow.
    #[must_use]
    pub fn kv_bytes_per_token(&self) -> u64 {
        let per_head = u64::from(self.key_length) + u64::from(self.value_length);
        self.kv_heads_of_all_layers.saturating_mul(per_head).saturating_mul(2)
    }
}

/// Checks a model file.
///
/// # Errors
/// What is wrong with it, and where.
pub fn preflight(path: &Path) -> Result<GgufSummary, GgufError> {
    preflight_file(&File::open(path)?)
}

/// Checks an open model file, from its first byte.
///
/// # Errors
/// What is wrong with it, and where.
pub fn preflight_file(file: &File) -> Result<GgufSummary, GgufError> {
    let (reader, len) = whole(file)?;
    preflight_reader(reader, len)
}

/// Checks a model of `len` bytes.
///
/// # Errors
/// What is wrong with it, and where.
pub fn preflight_reader(reader: impl Read, len: u64) -> Result<GgufSummary, GgufError> {
    let mut reader = Reader::new(reader, len);
    let container = Container::read(&mut reader)?;
    let summary = check_model(&container)?;
    data::check(&mut reader, &container.tensors, container.data_start)?;
    Ok(summary)
}

/// Checks an open LoRA adapter, from its first byte.
///
/// # Errors
/// What is wrong with it, and where.
pub fn preflight_adapter(file: &File) -> Result<AdapterSummary, GgufError> {
    let (reader, len) = whole(file)?;
    let mut reader = Reader::new(reader, len);
    let container = Container::read(&mut reader)?;
    let summary = adapter::check(&container.metadata, &container.tensors)?;
    data::check(&mut reader, &container.tensors, container.data_start)?;
    Ok(summary)
}

fn whole(mut file: &File) -> Result<(BufReader<&File>, u64), GgufError> {
    std::io::Seek::rewind(&mut file)?;
    let len = file.metadata()?.len();
    Ok((BufReader::with_capacity(1 << 20, file), len))
}

struct Container {
    metadata: Metadata,
    tensors: Tensors,
    data_start: u64,
}

impl Container {
    fn read<R: Read>(reader: &mut Reader<R>) -> Result<Self, GgufError> {
        let magic: [u8; 4] = reader.array("the magic number")?;
        if &magic != b"GGUF" {
            return Err(GgufError::Magic { found: magic.escape_ascii().to_string() });
        }
        let version = reader.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version { found: version });
        }
        let tensor_count = reader.u64("the number of tensors")?;
        let key_count = reader.u64("the number of metadata keys")?;
        let metadata = Metadata::read(reader, key_count)?;
        let alignment = u64::from(alignment(&metadata)?);
        let tensors = Tensors::read(reader, tensor_count)?;
        let data_start = reader.position().next_multiple_of(alignment);
        tensors.check_layout(data_start, alignment, reader.len())?;
        Ok(Self { metadata, tensors, data_start })
    }
}

fn alignment(metadata: &Metadata) -> Result<u32, GgufError> {
    let alignment = metadata.u32(ALIGNMENT)?.unwrap_or(DEFAULT_ALIGNMENT);
    if alignment.is_power_of_two() && (MIN_ALIGNMENT..=MAX_ALIGNMENT).contains(&alignment) {
        return Ok(alignment);
    }
    Err(GgufError::OutOfRange {
        key: ALIGNMENT.into(),
        found: alignment.to_string(),
        allowed: format!("a power of two from {MIN_ALIGNMENT} to {MAX_ALIGNMENT} is allowed"),
    })
}

pub(crate) fn architecture(metadata: &Metadata) -> Result<&str, GgufError> {
    metadata
        .text(ARCHITECTURE)?
        .ok_or_else(|| GgufError::MissingKey { key: ARCHITECTURE.into(), why: "every other key depends on it" })
}

fn check_model(container: &Container) -> Result<GgufSummary, GgufError> {
    let Container { metadata, tensors, .. } = container;
    check_kind_of_file(metadata)?;
    let architecture = architectures::find(architecture(metadata)?)?;
    let model = Model::read(metadata, architecture)?;
    let vocabulary = vocabulary::check(metadata)?;
    shapes::check(&model, metadata, tensors, vocabulary.size.into())?;
    let chat_template = metadata.text("tokenizer.chat_template")?.map(str::to_owned);
    let template_bytes = chat_template.as_ref().map_or(0, |template| template.len() as u64);
    metadata::at_most("the length of \"tokenizer.chat_template\", in bytes,", template_bytes, MAX_TEMPLATE_BYTES)?;
    Ok(GgufSummary {
        architecture: architecture.name.to_owned(),
        name: metadata.text("general.name")?.map(str::to_owned),
        block_count: model.blocks,
        embedding_length: model.embedding,
        head_count: model.heads.first().copied().unwrap_or(0),
        head_count_kv: model.kv_heads.first().copied().unwrap_or(0),
        key_length: model.key_length,
        value_length: model.value_length,
        context_length: model.context,
        vocabulary: vocabulary.size,
        parameters: tensors.iter().map(|tensor| tensor.elements).fold(0, u64::saturating_add),
        weight_bytes: tensors.iter().map(|tensor| tensor.bytes).sum(),
        chat_template,
        tokenizer: vocabulary.tokenizer,
        encoder_only: architecture.task == Task::Encoder,
        about: Box::new(About::read(metadata, model.pooling)),
        kv_heads_of_all_layers: model.kv_heads.iter().map(|heads| u64::from(*heads)).sum(),
    })
}

fn check_kind_of_file(metadata: &Metadata) -> Result<(), GgufError> {
    if let Some(kind) = metadata.text("general.type")?
        && kind != "model"
    {
        return Err(GgufError::OutOfRange {
            key: "general.type".into(),
            found: format!("{kind:?}"),
            allowed: "\"model\" is needed here".into(),
        });
    }
    // llama.cpp would open the other parts by their names, beside the file and past every digest.
    match metadata.get("split.count") {
        None | Some(Value::Other(Kind::U16, 0 | 1)) => Ok(()),
        Some(Value::Other(Kind::U16, count)) => Err(GgufError::OutOfRange {
            key: "split.count".into(),
            found: count.to_string(),
            allowed: "merge the parts into one file with llama-gguf-split --merge".into(),
        }),
        Some(value) => {
            Err(GgufError::WrongType { key: "split.count".into(), found: value.type_name(), expected: "u16" })
        }
    }
}
