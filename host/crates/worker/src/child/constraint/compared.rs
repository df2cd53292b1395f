//! Two ways to hold an answer to a JSON schema, side by side: llguidance, which is how workers do it, and llama.cpp's own,
//! which first makes a grammar of the schema. For `cargo xtask bench grammar`; no worker uses this.

use super::super::process;
use super::super::sampler::{self, Scratch};
use super::super::schedule::Token;
use super::super::tools::{Form, Writing};
use super::{Grammar, Schemas};
use bobbin_inference::Constraint;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::sampling::LlamaSampler;
use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// llama.cpp's, of which a process has one.
static BACKEND: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the schema, token by token.
    Llguidance,
    /// From a grammar in GBNF.
    LlamaCpp,
}

/// A model's vocabulary, without its weights.
pub struct Words {
    model: LlamaModel,
    schemas: Schemas,
    /// The words with a text, and how long the longest is, in bytes.
    texts: HashMap<Vec<u8>, Token>,
    longest: usize,
    /// One that ends an answer.
    end: Token,
    /// One logit for each word.
    logits: Vec<f32>,
}

/// An answer under a schema, as far as it is written.
pub struct Held<'a> {
    grammar: Grammar,
    candidates: Scratch,
    words: &'a Words,
}

/// llama.cpp's account of the processor's features that it was built for.
#[must_use]
pub fn system() -> String {
    process::system_info()
}

/// The grammar that llama.cpp makes of a schema, in GBNF.
///
/// # Errors
/// When it refuses the schema; it says why only on standard error.
pub fn converted(schema: &str) -> Result<String, String> {
    llama_cpp_2::json_schema_to_grammar(schema).map_err(|error| error.to_string())
}

impl Words {
    /// Those of a GGUF file, which needs no weights.
    ///
    /// # Errors
    /// When llama.cpp cannot read it, or no word ends an answer.
    pub fn load(file: &Path) -> Result<Self, String> {
        let backend = BACKEND.get_or_init(|| {
            let mut backend = LlamaBackend::init().map_err(|error| error.to_string())?;
            backend.void_logs();
            Ok(backend)
        });
        let params = LlamaModelParams::default().with_vocab_only(true);
        let model = LlamaModel::load_from_file(backend.as_ref().map_err(Clone::clone)?, file, &params)
            .map_err(|error| format!("llama.cpp refuses {}: {error}", file.display()))?;
        let vocab = model.vocab();
        let end = vocab.tokens().find(|token| vocab.is_eog(*token));
        let end = end.ok_or_else(|| format!("no word of {} ends an answer", file.display()))?.0;
        let is_text = |token| !vocab.is_control(token) && !vocab.is_eog(token);
        let text = |token| (vocab.token_to_piece(token, false, None), token.0);
        let texts = vocab.tokens().filter(|token| is_text(*token)).map(text).filter(|(text, _)| !text.is_empty());
        let texts: HashMap<Vec<u8>, Token> = texts.collect();
        let longest = texts.keys().map(Vec::len).max().unwrap_or(0);
        let logits = vec![0.0; usize::try_from(vocab.n_tokens()).unwrap_or(0)];
        Ok(Self { schemas: Schemas::default(), texts, longest, end, logits, model })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.logits.len()
    }

    /// The words of a text, the longest that fits first. None where no word fits.
    #[must_use]
    pub fn spell(&self, text: &str) -> Option<Vec<i32>> {
        let (mut rest, mut words) = (text.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let most = self.longest.min(rest.len());
            let fits = |length: &usize| Some((*length, *self.texts.get(rest.get(..*length)?)?));
            let (length, word) = (1..=most).rev().find_map(|length| fits(&length))?;
            words.push(word);
            rest = rest.get(length..)?;
        }
        Some(words)
    }

    /// As if no schema had come yet: what llguidance makes of the vocabulary is made again for the next one.
    pub fn forget(&mut self) {
        self.schemas = Schemas::default();
    }

    /// An answer that has not begun, under a schema.
    ///
    /// # Errors
    /// Why the schema cannot be obeyed that way.
    pub fn hold(&self, way: Way, schema: &str) -> Result<Held<'_>, String> {
        let grammar = match way {
            Way::Llguidance => {
                let writing = Writing { form: Form::Tagged, opener: None };
                let (schema, over) = (Constraint::JsonSchema(schema.to_owned()), AtomicBool::new(false));
                super::compile(&self.model, &self.schemas, writing, schema, &over).map_err(|error| error.message)?
            }
            Way::LlamaCpp => {
                let grammar = LlamaSampler::grammar(&self.model, &converted(schema)?, "root");
                Grammar::Gbnf(grammar.map_err(|error| error.to_string())?, sampler::scratch())
            }
        };
        Ok(Held { grammar, candidates: sampler::scratch(), words: self })
    }
}

impl Held<'_> {
    /// All words are candidates again.
    pub fn fill(&mut self) {
        sampler::fill(&mut self.candidates, &self.words.logits);
    }

    /// Takes away the candidates that may not come next.
    ///
    /// # Errors
    /// When that takes more work than one token is worth.
    pub fn mask(&mut self) -> Result<(), String> {
        self.grammar.restrict(&mut self.candidates).map_err(|error| error.message)
    }

    /// Candidates that are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.candidates.data.iter().filter(|candidate| candidate.logit().is_finite()).count()
    }

    /// Whether a word may come next: what is looked at first for each token of an answer.
    ///
    /// # Errors
    /// As [`Held::mask`].
    pub fn look(&mut self, word: i32) -> Result<bool, String> {
        self.grammar.allows(word).map_err(|error| error.message)
    }

    /// The word is part of the answer; it must be one that may come next.
    ///
    /// # Errors
    /// When it is none.
    pub fn take(&mut self, word: i32) -> Result<(), String> {
        self.grammar.accept(word).map_err(|error| error.message)
    }

    /// Whether the answer may end here.
    ///
    /// # Errors
    /// As [`Held::mask`].
    pub fn may_end(&mut self) -> Result<bool, String> {
        Ok(self.grammar.is_over() || self.look(self.words.end)?)
    }

    /// Writes a text. False where the schema does not let it be the whole answer.
    ///
    /// # Errors
    /// As [`Held::mask`], and where the vocabulary cannot spell the text.
    pub fn write(&mut self, text: &str) -> Result<bool, String> {
        let words = self.words.spell(text).ok_or_else(|| format!("no word of the vocabulary fits into {text:?}"))?;
        for word in words {
            if self.grammar.is_over() || !self.look(word)? {
                return Ok(false);
            }
            self.take(word)?;
        }
        self.may_end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": false}"#;

    fn stories() -> Words {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/storyteller/1.0.0/storyteller-q8_0.gguf");
        Words::load(Path::new(file)).unwrap()
    }

    #[test]
    fn both_ways_hold_an_answer_to_its_schema() {
        let words = stories();
        for way in [Way::Llguidance, Way::LlamaCpp] {
            for (text, obeys) in [
                (r#"{"name": "Anna", "age": 7}"#, true),
                (r#"{"name": "Anna"}"#, false),
                (r#"{"name": "Anna", "age": "7"}"#, false),
            ] {
                assert_eq!(words.hold(way, SCHEMA).unwrap().write(text), Ok(obeys), "{way:?}: {text}");
            }
            let mut held = words.hold(way, SCHEMA).unwrap();
            held.fill();
            assert_eq!(held.left(), words.count());
            held.mask().unwrap();
            assert!((1..words.count() / 4).contains(&held.left()), "{way:?}: {} of {}", held.left(), words.count());
        }
    }

    #[test]
    fn a_keyword_that_llama_cpp_leaves_out_is_refused_by_the_other() {
        let (words, schema) = (stories(), r#"{"type": "array", "items": {"type": "integer"}, "uniqueItems": true}"#);
        assert!(words.hold(Way::Llguidance, schema).err().unwrap().contains("uniqueItems"));
        assert_eq!(words.hold(Way::LlamaCpp, schema).unwrap().write("[1, 1]"), Ok(true));
    }

    #[test]
    fn a_file_of_words_alone_is_a_vocabulary() {
        let pieces = ["name", "\": ", " the", "\n  ", "é"].map(str::to_owned);
        let file = tempfile::NamedTempFile::new().unwrap();
        bobbin_synthetic::write_words(&mut file.as_file(), "five pieces", &pieces).unwrap();
        let words = Words::load(file.path()).unwrap();
        assert_eq!(words.count(), bobbin_synthetic::BEFORE_PIECES + pieces.len());
        let first = i32::try_from(bobbin_synthetic::BEFORE_PIECES).unwrap();
        assert_eq!(words.spell("name\":  theé").unwrap(), [first, first + 1, first + 2, first + 4]);
        // A byte that is in no piece has a word of its own.
        assert_eq!(words.spell("names").unwrap().len(), 2);
        assert_eq!(words.hold(Way::LlamaCpp, SCHEMA).unwrap().write(r#"{"name": "x", "age": 7}"#), Ok(true));
    }
}
