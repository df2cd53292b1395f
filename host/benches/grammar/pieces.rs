//! A large vocabulary of pieces that people write: those which the repository's own texts have most of.
//!
//! A real one of this size cannot be had without a model. This one is chosen as SentencePiece chooses what it begins with: by
//! how often a piece is there, times its length. Its words overlap as those of real vocabularies do, which is what the time of
//! a mask depends on.

use anyhow::{Result, ensure};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Where the texts are, and what they are called. What is built or installed is left out.
const FOLDERS: [&str; 5] = ["docs", "guest-components", "host", "models/recipes", "tests"];
const TEXTS: [&str; 8] = ["json", "md", "mjs", "py", "rs", "toml", "txt", "wit"];
const NO_TEXTS: [&str; 3] = ["dist", "node_modules", "target"];
/// Characters of the longest piece.
const LONGEST: usize = 24;

/// So many pieces, no two alike: those with the most characters of the texts, the first first.
pub(crate) fn of(root: &Path, count: usize) -> Result<Vec<String>> {
    let mut words = HashMap::new();
    for folder in FOLDERS {
        read(&root.join(folder), &mut words)?;
    }
    let mut pieces = HashMap::<&str, u64>::new();
    for (word, times) in &words {
        let ends: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
        for (from, begin) in ends.iter().enumerate() {
            for (length, end) in (1_u64..).zip(ends.iter().skip(from + 1).take(LONGEST)) {
                if let Some(piece) = word.get(*begin..*end) {
                    *pieces.entry(piece).or_default() += times * length;
                }
            }
        }
    }
    let mut pieces: Vec<(&str, u64)> = pieces.into_iter().filter(|(piece, _)| is_sound(piece)).collect();
    ensure!(pieces.len() >= count, "the repository's texts have {} pieces, not {count}", pieces.len());
    pieces.sort_unstable_by_key(|(piece, worth)| (Reverse(*worth), *piece));
    Ok(pieces.into_iter().take(count).map(|(piece, _)| piece.to_owned()).collect())
}

/// Counts the words of every text below a folder.
fn read(folder: &Path, words: &mut HashMap<String, u64>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && !NO_TEXTS.contains(&name.as_str()) {
                read(&path, words)?;
            }
        } else if path.extension().is_some_and(|extension| TEXTS.iter().any(|text| extension == *text)) {
            // Some tests have files that are no text.
            if let Ok(text) = fs::read_to_string(&path) {
                split(&text, |word| *words.entry(word.to_owned()).or_default() += 1);
            }
        }
    }
    Ok(())
}

/// What a character is, as tokenizers tell them apart.
#[derive(PartialEq, Clone, Copy)]
enum Kind {
    Letter,
    Digit,
    Space,
    Sign,
}

impl Kind {
    fn of(character: char) -> Self {
        match character {
            _ if character.is_alphabetic() => Self::Letter,
            _ if character.is_numeric() => Self::Digit,
            _ if character.is_whitespace() => Self::Space,
            _ => Self::Sign,
        }
    }
}

/// Letters, digits, signs and spaces by themselves, each with one space before it where there is one.
fn split(text: &str, mut take: impl FnMut(&str)) {
    let (mut begin, mut last) = (0, None);
    for (at, character) in text.char_indices() {
        let kind = Kind::of(character);
        let joins = match last {
            None => true,
            Some((before, _)) if before == kind => true,
            // A single space belongs to what comes after it.
            Some((Kind::Space, space)) => space == begin && text.get(space..at) == Some(" "),
            Some(_) => false,
        };
        if !joins {
            take(text.get(begin..at).unwrap_or_default());
            begin = at;
        }
        last = Some((kind, at));
    }
    take(text.get(begin..).unwrap_or_default());
}

/// Whether a vocabulary can have it: nothing that marks a space in a vocabulary, or that is called as a token before it.
fn is_sound(piece: &str) -> bool {
    let called = ["<unk>", "<s>", "</s>"].contains(&piece) || piece.starts_with("<0x");
    !called && !piece.contains(['\u{2581}', '\0'])
}
