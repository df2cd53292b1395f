//! A bundle's tokenizer.json against its weights.
//!
//! The most common silent fault of a converted model is a vocabulary that is not its own: the model loads, answers, and
//! is worse than it was. Where a bundle ships the tokenizer that its model was trained with, both must read the same
//! texts as the same tokens.

use super::schedule::Token;
use super::vocabulary::Vocabulary;
use bobbin_inference::wire::LoadSpec;
use std::path::Path;
use tokenizers::{ModelWrapper, Tokenizer};

/// What tokenizers differ in, one thing at a time. No text has a special token, and none is so odd that sound conversions
/// are known to disagree on it.
const TEXTS: &[&str] = &[
    "Hello world",
    "Hello, World! How are you today?",
    "The quick brown fox jumps over the lazy dog.",
    "once upon a time there was a little girl who lived in a village near the forest",
    "I'm sure they've said it'd work, didn't she? We'll see; you're right.",
    "antidisestablishmentarianism, floccinaucinihilipilification",
    "1 12 123 1234 12345 3.14159 1,000,000 -42 0x1F 50% $9.99",
    "2024-02-29T12:34:56Z",
    "two  spaces, three   spaces",
    "a line\nanother line\n\na paragraph",
    "fn main() { let x = vec![1, 2, 3]; println!(\"{:?}\", x); }",
    "def f(x):\n    return x ** 2  # squared",
    "{\"name\": \"value\", \"list\": [1, 2.5, null, true]}",
    "https://example.com/path?query=1&other=two#fragment",
    "someone@example.com",
    "café naïve résumé über Straße",
    "Ελληνικά русский язык",
    "日本語 中文",
    "ALL CAPS AND MiXeD cAsE",
    "“quotes” – dashes — and … more",
];

/// Tokens that are shown of each side, from shortly before the first that differs.
const SHOWN: usize = 6;

/// Compares the two, where the bundle has a tokenizer.json.
///
/// # Errors
/// Why the file cannot be read, or the first text on which the two disagree.
pub(super) fn agrees(spec: &LoadSpec, vocabulary: &Vocabulary) -> Result<(), String> {
    let Some(path) = &spec.tokenizer else { return Ok(()) };
    let tokenizer = read(path).map_err(|error| {
        let bundle = &spec.bundle;
        format!("the tokenizer of {bundle} cannot be read: {error}; ship the tokenizer.json of its model, or none")
    })?;
    let unknown = unknown(&tokenizer);
    let mut compared = 0;
    // The bundle's own texts are in the language that it is for.
    let own = spec.prefix.iter().chain(&spec.warm_up).map(String::as_str);
    for text in TEXTS.iter().copied().chain(own) {
        let encoding = tokenizer.encode_fast(text, false);
        let encoding =
            encoding.map_err(|error| format!("the tokenizer of {} fails on {text:?}: {error}", spec.bundle))?;
        // Conversions teach a vocabulary bytes for what it did not know.
        if unknown.is_some_and(|unknown| encoding.get_ids().contains(&unknown)) {
            continue;
        }
        compared += 1;
        let theirs: Vec<Token> =
            encoding.get_ids().iter().map(|id| Token::try_from(*id).unwrap_or(Token::MAX)).collect();
        if let Some(difference) = difference(&theirs, &vocabulary.bare(text)) {
            return Err(format!(
                "the tokenizer.json of {} is not that of its weights: of {text:?} {difference}; convert the weights from \
                 the model that the tokenizer belongs to",
                spec.bundle
            ));
        }
    }
    if compared == 0 {
        return Err(format!(
            "the tokenizer.json of {} knows none of the texts that it is compared by; a warm-up prompt in its language is \
             compared too",
            spec.bundle
        ));
    }
    Ok(())
}

/// The token for what the tokenizer does not know.
fn unknown(tokenizer: &Tokenizer) -> Option<u32> {
    let name = match tokenizer.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.as_deref()?,
        ModelWrapper::WordPiece(model) => &model.unk_token,
        ModelWrapper::WordLevel(model) => &model.unk_token,
        // It keeps the name to itself; this is the one in use.
        ModelWrapper::Unigram(_) => "<unk>",
    };
    tokenizer.token_to_id(name)
}

fn read(path: &Path) -> Result<Tokenizer, String> {
    let mut tokenizer = Tokenizer::from_file(path).map_err(|error| error.to_string())?;
    // What a training run cut and filled says nothing of the vocabulary.
    tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// Where two readings of one text part, in words.
fn difference(file: &[Token], weights: &[Token]) -> Option<String> {
    let most = file.len().max(weights.len());
    let at = (0..most).find(|at| file.get(*at) != weights.get(*at))?;
    let from = at.saturating_sub(1);
    let show = |tokens: &[Token]| format!("{:?}", tokens.iter().skip(from).take(SHOWN).collect::<Vec<_>>());
    Some(format!("the file makes the tokens {} from position {from} on, the weights {}", show(file), show(weights)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told() {
        assert_eq!(difference(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(difference(&[], &[]), None);
        let told = difference(&[1, 2, 3, 4], &[1, 2, 9, 4]).unwrap();
        assert_eq!(told, "the file makes the tokens [2, 3, 4] from position 1 on, the weights [2, 9, 4]");
        let told = difference(&[1], &[1, 2]).unwrap();
        assert_eq!(told, "the file makes the tokens [1] from position 0 on, the weights [1, 2]");
    }
}
