//! Special tokens: ids in range, and those there that a tokenizer puts around every prompt.

use super::GgufError;
use super::metadata::{Metadata, Value};
use super::vocabulary::Tokenizer;

/// Pre-tokenizers for which llama.cpp prepends BOS unless the file says otherwise.
const PRE_WITH_BOS: &[&str] = &[
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "tekken",
    "chameleon",
];

/// The ids and switches as llama.cpp ends up with.
pub(crate) struct Specials {
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    separator: Option<u32>,
    add_bos: bool,
    add_eos: bool,
}

impl Specials {
    pub(crate) fn read(metadata: &Metadata, tokenizer: Tokenizer, tokens: usize) -> Result<Self, GgufError> {
        for (key, value) in metadata.iter() {
            if key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id") {
                check_id(key, value, tokens)?;
            }
        }
        let defaults = defaults(tokenizer);
        // A default outside the vocabulary counts as none.
        let id = |name: &str, default: Option<u32>| {
            let given = metadata.u32(&format!("tokenizer.ggml.{name}_token_id"))?;
            Ok::<_, GgufError>(given.or(default.filter(|id| (*id as usize) < tokens)))
        };
        let pre = metadata.text("tokenizer.ggml.pre")?.unwrap_or_default();
        let default_bos = match tokenizer {
            Tokenizer::SentencePiece | Tokenizer::WordPiece | Tokenizer::Gemma4 => true,
            Tokenizer::BytePair => PRE_WITH_BOS.contains(&pre),
            Tokenizer::Unigram | Tokenizer::Rwkv | Tokenizer::Plamo2 => false,
        };
        let add_bos = metadata.bool("tokenizer.ggml.add_bos_token")?.unwrap_or(default_bos);
        metadata.bool("tokenizer.ggml.add_sep_token")?;
        metadata.bool("tokenizer.ggml.add_space_prefix")?;
        Ok(Self {
            bos: id("bos", defaults.bos)?,
            eos: id("eos", defaults.eos)?,
            unknown: id("unknown", defaults.unknown)?,
            separator: id("seperator", defaults.separator)?,
            // llama.cpp overrides the file for Gemma 4.
            add_bos: add_bos || tokenizer == Tokenizer::Gemma4,
            add_eos: metadata.bool("tokenizer.ggml.add_eos_token")?.unwrap_or(tokenizer == Tokenizer::Unigram),
        })
    }

    /// Refuses what would abort when the first prompt is tokenized.
    pub(crate) fn check(&self, name: &str, tokenizer: Tokenizer) -> Result<(), GgufError> {
        let word_piece = tokenizer == Tokenizer::WordPiece;
        let needs_unknown = word_piece || tokenizer == Tokenizer::Unigram;
        let rules = [
            (word_piece || self.add_bos, self.bos, "BOS token", "llama.cpp aborts when it begins a prompt"),
            (self.add_eos && !word_piece, self.eos, "EOS token", "llama.cpp aborts when it ends a prompt"),
            (word_piece, self.separator, "separator token", "llama.cpp aborts when it ends a text"),
            (needs_unknown, self.unknown, "unknown token", "a word outside the vocabulary would get no valid id"),
        ];
        for (needed, id, what, why) in rules {
            if needed && id.is_none() {
                return Err(GgufError::Vocabulary { tokenizer: name.to_owned(), what: what.to_owned(), why });
            }
        }
        Ok(())
    }
}

fn check_id(key: &str, value: &Value, tokens: usize) -> Result<(), GgufError> {
    match value {
        Value::U32(id) if (*id as usize) < tokens => Ok(()),
        Value::U32(id) => Err(GgufError::OutOfRange {
            key: key.to_owned(),
            found: id.to_string(),
            allowed: format!("the vocabulary has {tokens} tokens, so 0 to {} is allowed", tokens.saturating_sub(1)),
        }),
        other => Err(GgufError::WrongType { key: key.to_owned(), found: other.type_name(), expected: "u32" }),
    }
}

struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    separator: Option<u32>,
}

/// What llama.cpp assumes where a file says nothing.
fn defaults(tokenizer: Tokenizer) -> Defaults {
    let (bos, eos, unknown, separator) = match tokenizer {
        Tokenizer::SentencePiece | Tokenizer::Plamo2 => (Some(1), Some(2), Some(0), None),
        Tokenizer::WordPiece => (Some(101), None, Some(100), Some(102)),
        Tokenizer::BytePair => (Some(11), Some(11), None, None),
        Tokenizer::Unigram => (None, Some(1), Some(2), None),
        Tokenizer::Rwkv | Tokenizer::Gemma4 => (None, None, None, None),
    };
    Defaults { bos, eos, unknown, separator }
}
