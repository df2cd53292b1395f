//! The vocabulary: what llama.cpp's tokenizers assert, throw or loop forever on, refused beforehand.

use super::GgufError;
use super::metadata::{Metadata, Texts, Value, at_most};
use super::special::Specials;
use super::types::Kind;
use std::collections::HashMap;

const MAX_TOKENS: u64 = 1 << 22;
/// llama.cpp's tries recurse once for each byte of a token.
const MAX_TOKEN_BYTES: usize = 4096;
/// PLaMo-2's table takes time and memory with the square of a token's length.
const MAX_PLAMO_TOKEN_BYTES: usize = 512;
/// `llama_token_type`: undefined 0, normal 1, unknown 2, control 3, user defined 4, unused 5, byte 6.
const MAX_TOKEN_TYPE: i32 = 6;
const BYTE_TYPE: i32 = 6;

pub(crate) const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";

/// llama.cpp's tokenizer algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokenizer {
    SentencePiece,
    WordPiece,
    BytePair,
    Unigram,
    Rwkv,
    Plamo2,
    /// Byte-pair merging over SentencePiece pieces.
    Gemma4,
}

/// A vocabulary that passed.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) tokenizer: String,
    pub(crate) size: u32,
}

pub(crate) fn check(metadata: &Metadata) -> Result<Vocabulary, GgufError> {
    let (name, tokenizer) = tokenizer(metadata)?;
    let tokens = metadata
        .texts(TOKENS)?
        .ok_or_else(|| GgufError::MissingKey { key: TOKENS.into(), why: "it is the vocabulary" })?;
    if tokens.len() == 0 {
        return Err(GgufError::OutOfRange {
            key: TOKENS.into(),
            found: "empty".into(),
            allowed: "at least one token is needed".into(),
        });
    }
    at_most("the number of tokens", tokens.len() as u64, MAX_TOKENS)?;
    let known = check_texts(tokens)?;
    let types = check_types(metadata, tokens.len())?;
    check_byte_types(tokenizer, tokens, &types)?;
    check_scores(metadata, tokens.len())?;
    metadata.text("tokenizer.ggml.pre")?;
    metadata.text("tokenizer.chat_template")?;
    Specials::read(metadata, tokenizer, tokens.len())?.check(&name, tokenizer)?;
    let ctx = Context { name: &name, metadata, tokens, known: &known, types: &types };
    match tokenizer {
        Tokenizer::SentencePiece => ctx.bytes_are_there()?,
        Tokenizer::BytePair | Tokenizer::Gemma4 => ctx.merges(tokenizer)?,
        Tokenizer::Unigram => ctx.charsmap()?,
        Tokenizer::Rwkv => ctx.rwkv()?,
        Tokenizer::Plamo2 => ctx.plamo2()?,
        Tokenizer::WordPiece => {}
    }
    Ok(Vocabulary { size: u32::try_from(tokens.len()).unwrap_or(u32::MAX), tokenizer: name })
}

fn tokenizer(metadata: &Metadata) -> Result<(String, Tokenizer), GgufError> {
    let Some(name) = metadata.text(MODEL)? else {
        return Err(GgufError::MissingKey { key: MODEL.into(), why: "prompts cannot be tokenized without it" });
    };
    let tokenizer = match name {
        "llama" => Tokenizer::SentencePiece,
        "bert" => Tokenizer::WordPiece,
        "gpt2" | "whitespace" => Tokenizer::BytePair,
        "t5" => Tokenizer::Unigram,
        "rwkv" => Tokenizer::Rwkv,
        "plamo2" => Tokenizer::Plamo2,
        "gemma4" => Tokenizer::Gemma4,
        _ => {
            return Err(GgufError::OutOfRange {
                key: MODEL.into(),
                found: format!("{name:?}"),
                allowed: "one of llama, bert, gpt2, whitespace, t5, rwkv, plamo2, gemma4 is allowed".into(),
            });
        }
    };
    Ok((name.to_owned(), tokenizer))
}

pub(crate) fn token_error(id: usize, token: &str, problem: impl Into<String>) -> GgufError {
    GgufError::Token { id, token: shortened(token), problem: problem.into() }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 40 { text.to_owned() } else { text.chars().take(40).chain(['…']).collect() }
}

fn check_texts(tokens: &Texts) -> Result<HashMap<&str, usize>, GgufError> {
    let mut known = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if token.is_empty() {
            return Err(token_error(id, token, "is empty"));
        }
        if token.len() > MAX_TOKEN_BYTES {
            let problem = format!("has {} bytes; at most {MAX_TOKEN_BYTES} are allowed", token.len());
            return Err(token_error(id, token, problem));
        }
        // llama.cpp aborts the process over this one.
        if let Some(first) = known.insert(token, id) {
            return Err(token_error(id, token, format!("is a duplicate of token {first}; tokens must be unique")));
        }
    }
    Ok(known)
}

fn same_length(key: &str, found: usize, tokens: usize) -> Result<(), GgufError> {
    if found == tokens {
        return Ok(());
    }
    Err(GgufError::OutOfRange {
        key: key.into(),
        found: format!("a list of {found}"),
        allowed: format!("one for each of the {tokens} tokens is needed"),
    })
}

fn check_types(metadata: &Metadata, tokens: usize) -> Result<Vec<i32>, GgufError> {
    let Some(list) = metadata.numbers(TYPES, &[Kind::I32], "array of i32")? else { return Ok(Vec::new()) };
    same_length(TYPES, list.len(), tokens)?;
    let types: Vec<i32> = list.words().map(i32::from_le_bytes).collect();
    if let Some((id, found)) = types.iter().enumerate().find(|(_, found)| !(0..=MAX_TOKEN_TYPE).contains(*found)) {
        return Err(GgufError::OutOfRange {
            key: TYPES.into(),
            found: format!("{found} for token {id}"),
            allowed: format!("0 to {MAX_TOKEN_TYPE} is allowed"),
        });
    }
    Ok(types)
}

/// A byte token is read by the digits in its text; in a vocabulary of words llama.cpp aborts on its type.
fn check_byte_types(tokenizer: Tokenizer, tokens: &Texts, types: &[i32]) -> Result<(), GgufError> {
    for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
        if *kind != BYTE_TYPE {
            continue;
        }
        if matches!(tokenizer, Tokenizer::WordPiece) {
            return Err(token_error(id, token, "is of type byte, which a \"bert\" vocabulary cannot have"));
        }
        if tokenizer != Tokenizer::Rwkv && byte_of(token).is_none() {
            return Err(token_error(id, token, "is of type byte, but its text is not of the form <0x0A>"));
        }
    }
    Ok(())
}

/// `<0x0A>` -> 10
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hex { u8::from_str_radix(digits, 16).ok() } else { None }
}

fn check_scores(metadata: &Metadata, tokens: usize) -> Result<(), GgufError> {
    let kinds = &[Kind::F32, Kind::I32];
    let Some(list) = metadata.numbers(SCORES, kinds, "array of f32 or i32")? else { return Ok(()) };
    same_length(SCORES, list.len(), tokens)?;
    if list.kind == Kind::I32 {
        return Ok(());
    }
    // Pieces are ordered by score; a NaN has no place in an order.
    match list.words().map(f32::from_le_bytes).enumerate().find(|(_, score)| !score.is_finite()) {
        Some((id, score)) => Err(GgufError::OutOfRange {
            key: SCORES.into(),
            found: format!("{score} for token {id}"),
            allowed: "scores must be finite".into(),
        }),
        None => Ok(()),
    }
}

struct Context<'a> {
    name: &'a str,
    metadata: &'a Metadata,
    tokens: &'a Texts,
    known: &'a HashMap<&'a str, usize>,
    types: &'a [i32],
}

impl Context<'_> {
    fn lacks(&self, what: String, why: &'static str) -> GgufError {
        GgufError::Vocabulary { tokenizer: self.name.to_owned(), what, why }
    }

    /// SentencePiece falls back to bytes for what it does not know; llama.cpp throws where it cannot.
    fn bytes_are_there(&self) -> Result<(), GgufError> {
        for byte in 0..=u8::MAX {
            let hexadecimal = format!("<0x{byte:02X}>");
            let itself = byte.is_ascii().then(|| char::from(byte).to_string());
            let found = self.known.contains_key(hexadecimal.as_str())
                || itself.is_some_and(|text| self.known.contains_key(text.as_str()));
            if !found {
                return Err(self.lacks(
                    format!("byte token {hexadecimal}"),
                    "llama.cpp aborts when a prompt holds a character outside the vocabulary",
                ));
            }
        }
        Ok(())
    }

    fn merges(&self, tokenizer: Tokenizer) -> Result<(), GgufError> {
        let Some(merges) = self.metadata.texts(MERGES)? else {
            if self.metadata.text("tokenizer.ggml.pre")? == Some("kimi-k2") {
                return Ok(());
            }
            return Err(GgufError::MissingKey { key: MERGES.into(), why: "byte-pair tokenizers join bytes by it" });
        };
        for (index, merge) in merges.iter().enumerate() {
            let bad = |problem| GgufError::Merge { index, merge: shortened(merge), problem };
            // The first character may itself be a space.
            let after_first = merge.chars().next().map_or(0, char::len_utf8);
            let Some(space) = merge.get(after_first..).and_then(|rest| rest.find(' ')) else {
                return Err(bad("is no pair; two parts with a space between them are needed"));
            };
            let (left, right) = merge.split_at(after_first + space);
            let right = right.get(1..).unwrap_or_default();
            if right.is_empty() {
                return Err(bad("has an empty second part"));
            }
            let both_known = self.known.contains_key(left) && self.known.contains_key(right);
            if tokenizer == Tokenizer::BytePair && !both_known {
                return Err(bad("joins a part that is not in the vocabulary"));
            }
        }
        Ok(())
    }

    fn charsmap(&self) -> Result<(), GgufError> {
        match self.metadata.get(CHARSMAP) {
            None => Ok(()),
            Some(Value::Numbers(map)) if matches!(map.kind, Kind::I8 | Kind::U8) => super::charsmap::check(&map.bytes),
            Some(value) => Err(GgufError::WrongType {
                key: CHARSMAP.into(),
                found: value.type_name(),
                expected: "array of u8 or i8",
            }),
        }
    }

    /// Where a token's first byte is no token itself, llama.cpp emits token 0 forever.
    fn rwkv(&self) -> Result<(), GgufError> {
        let mut alone = [false; 256];
        let mut first = vec![None; 256];
        for (id, token) in self.tokens.iter().enumerate() {
            let bytes = unescape(token);
            let Some(begin) = bytes.first() else { return Err(token_error(id, token, "stands for no bytes")) };
            let slot = usize::from(*begin);
            if let (1, Some(alone)) = (bytes.len(), alone.get_mut(slot)) {
                *alone = true;
            }
            if let Some(first) = first.get_mut(slot) {
                *first = Some((id, token));
            }
        }
        let unknown = self.metadata.u32("tokenizer.ggml.unknown_token_id")?.is_some();
        if let (Some(byte), false) = (alone.iter().position(|alone| !alone), unknown) {
            let what = format!("token for the byte 0x{byte:02X} alone, nor an unknown token");
            return Err(self.lacks(what, "a prompt with that byte would get no valid id"));
        }
        for (alone, first) in alone.iter().zip(first) {
            if let (false, Some((id, token))) = (alone, first) {
                return Err(token_error(id, token, "begins with a byte that is no token itself"));
            }
        }
        Ok(())
    }

    fn plamo2(&self) -> Result<(), GgufError> {
        let mut there = [false; 256];
        for (id, token) in self.tokens.iter().enumerate() {
            if token.len() > MAX_PLAMO_TOKEN_BYTES {
                let problem = format!("has {} bytes; at most {MAX_PLAMO_TOKEN_BYTES} are allowed", token.len());
                return Err(token_error(id, token, problem));
            }
            if self.types.get(id) == Some(&BYTE_TYPE)
                && let Some(there) = byte_of(token).and_then(|byte| there.get_mut(usize::from(byte)))
            {
                *there = true;
            }
        }
        match there.iter().position(|there| !there) {
            Some(byte) => {
                Err(self.lacks(format!("byte token <0x{byte:02X}>"), "llama.cpp refuses to load the vocabulary"))
            }
            None => Ok(()),
        }
    }
}

/// The bytes behind RWKV's escaped spelling, read as llama.cpp reads it.
fn unescape(token: &str) -> Vec<u8> {
    let mut bytes = token.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b't') => out.push(b'\t'),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b'x') => {
                let digit = |byte: u8| if byte >= b'a' { byte - b'a' + 10 } else { byte.wrapping_sub(b'0') };
                if let (Some(high), Some(low)) = (bytes.next(), bytes.next()) {
                    out.push((digit(high) << 4).wrapping_add(digit(low)));
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}
