//! Answers that are JSON of a schema, by llguidance.
//!
//! It computes the tokens that may come next from the schema itself, refuses by name what it does not know (llama.cpp's own
//! conversion leaves out in silence what it does not know, and the answer is then not of the schema), and bounds its own
//! work: memory and time of a hostile schema end in an error.

mod formats;
mod references;

use super::super::process;
use super::super::sampler::Scratch;
use super::super::schedule::Token;
use llama_cpp_2::model::LlamaModel;
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokRxInfo, TokTrie};
use llguidance::{JsonCompileOptions, Matcher, ParserFactory};
use serde_json::Value;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Between the parts of a value: as much as people write, and an end to it.
const WHITE_SPACE: &str = r" |\n[ \t]{0,20}";
/// Processor time for finding which of several schemas it is that cannot be obeyed.
const MOST_LOOKING: Duration = Duration::from_millis(500);
/// How a schema chooses the settings of this very file.
const SETTINGS: &str = "x-guidance";

/// What all schemas of one model share, made when the first comes: it takes a walk through the vocabulary.
#[derive(Default)]
pub(super) struct Schemas(OnceLock<Result<Arc<Shared>, String>>);

struct Shared {
    factory: ParserFactory,
    ends: HashSet<Token>,
}

/// One answer under a schema.
pub(super) struct Json {
    matcher: Matcher,
    shared: Arc<Shared>,
}

/// One of several schemas that an answer is put together from.
pub(super) struct Part {
    /// How the grammar of the answer names it.
    pub(super) name: String,
    /// What it is, for people.
    pub(super) what: String,
    /// The schema.
    pub(super) schema: Value,
}

impl Schemas {
    /// A schema, ready for its answer.
    ///
    /// # Errors
    /// Why the schema cannot be obeyed.
    pub(super) fn compile(&self, model: &LlamaModel, schema: Value) -> Result<Json, String> {
        let shared = self.0.get_or_init(|| Shared::of(model).map(Arc::new));
        Json::new(shared.as_ref().map_err(Clone::clone)?, schema)
    }

    /// An answer of a grammar in llguidance's language, in which values obey schemas.
    ///
    /// # Errors
    /// Which schema cannot be obeyed, and why.
    pub(super) fn compile_parts(&self, model: &LlamaModel, lark: String, parts: Vec<Part>) -> Result<Json, String> {
        let shared = self.0.get_or_init(|| Shared::of(model).map(Arc::new));
        Json::of_parts(shared.as_ref().map_err(Clone::clone)?, lark, parts)
    }
}

impl Shared {
    fn of(model: &LlamaModel) -> Result<Self, String> {
        let vocab = model.vocab();
        // Control tokens are no text, and no JSON has them.
        let text = |token| if vocab.is_control(token) { Vec::new() } else { vocab.token_to_piece(token, false, None) };
        let words: Vec<_> = vocab.tokens().map(text).collect();
        let ends: Vec<_> = vocab.tokens().filter(|token| vocab.is_eog(*token)).map(|token| token.0).collect();
        Self::new(words, &ends)
    }

    /// Of a vocabulary's bytes, in the order of the ids, and the tokens that end an answer.
    fn new(mut words: Vec<Vec<u8>>, ends: &[Token]) -> Result<Self, String> {
        let id = |token: &Token| u32::try_from(*token).ok();
        let end_ids: Vec<u32> = ends.iter().filter_map(id).collect();
        let first = *end_ids.first().ok_or("the model has no token that ends an answer")?;
        for end in &end_ids {
            if let Some(word) = words.get_mut(*end as usize) {
                word.clear();
            }
        }
        // Bytes that no text has are how llguidance marks tokens that are none.
        words.iter_mut().filter(|word| word.first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER)).for_each(Vec::clear);
        let size =
            u32::try_from(words.len()).map_err(|error| format!("the vocabulary has too many tokens: {error}"))?;
        let trie = TokTrie::from(&TokRxInfo::new(size, first), &words).with_eos_tokens(&end_ids);
        let environment: llguidance::toktrie::TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| format!("the vocabulary is of no use for schemas: {error}"))?;
        factory.quiet();
        Ok(Self { factory, ends: ends.iter().copied().collect() })
    }
}

impl Json {
    fn new(shared: &Arc<Shared>, schema: Value) -> Result<Self, String> {
        Self::compile(shared, TopLevelGrammar::from_json_schema(prepared(schema)?))
    }

    fn of_parts(shared: &Arc<Shared>, lark: String, parts: Vec<Part>) -> Result<Self, String> {
        let mut grammars = vec![GrammarWithLexer::from_lark(lark)];
        let mut whats = Vec::with_capacity(parts.len());
        for Part { name, what, schema } in parts {
            let schema = prepared(schema).map_err(|error| cannot(&what, &error))?;
            whats.push(what);
            grammars.push(GrammarWithLexer { name: Some(name), ..GrammarWithLexer::from_json_schema(schema) });
        }
        let alone: Vec<_> = grammars.iter().skip(1).map(|grammar| grammar.json_schema.clone()).collect();
        Self::compile(shared, TopLevelGrammar { grammars, max_tokens: None }).map_err(|error| {
            // It does not say which of them it means: each is tried by itself, for as long as one alone may take.
            let started = process::thread_time();
            for (what, schema) in whats.iter().zip(alone) {
                if process::thread_time() - started > MOST_LOOKING {
                    break;
                }
                let tried = schema.map(|schema| Self::compile(shared, TopLevelGrammar::from_json_schema(schema)));
                if let Some(Err(error)) = tried {
                    return cannot(what, &error);
                }
            }
            cannot("the tools together", &error)
        })
    }

    fn compile(shared: &Arc<Shared>, grammar: TopLevelGrammar) -> Result<Self, String> {
        // What it does not foresee, it panics on, which says on standard error why; that is one answer's end and not the
        // worker's.
        let compile = || shared.factory.create_parser(grammar);
        let parser = catch_unwind(AssertUnwindSafe(compile))
            .map_err(|_panic| "the compiler of schemas gave up; simplify it".to_owned())?;
        let mut matcher = Matcher::new(parser);
        if let Some(error) = matcher.get_error() {
            return Err(in_short(&error));
        }
        match matcher.grammar_warnings().first() {
            Some(warning) => Err(warning.clone()),
            None => Ok(Self { matcher, shared: Arc::clone(shared) }),
        }
    }

    /// Whether the value is whole and nothing can come after it.
    pub(super) fn is_over(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }

    /// Whether a token may come next.
    ///
    /// # Errors
    /// When that takes more work than one token is worth.
    pub(super) fn allows(&mut self, token: Token) -> Result<bool, String> {
        if self.shared.ends.contains(&token) {
            return self.matcher.is_accepting().map_err(|error| error.to_string());
        }
        let Ok(id) = u32::try_from(token) else { return Ok(false) };
        let trie = self.shared.factory.tok_env().tok_trie();
        if id as usize >= trie.vocab_size() || trie.token(id).is_empty() {
            return Ok(false);
        }
        self.matcher.validate_tokens(&[id]).map(|valid| valid == 1).map_err(|error| error.to_string())
    }

    /// Takes the candidates away that may not come next.
    ///
    /// # Errors
    /// As [`Json::allows`].
    pub(super) fn restrict(&mut self, candidates: &mut Scratch) -> Result<(), String> {
        let mask = self.mask()?;
        for candidate in &mut candidates.data {
            let id = usize::try_from(candidate.id().0).unwrap_or(usize::MAX);
            if id >= mask.len() || !mask.get(id) {
                candidate.set_logit(f32::NEG_INFINITY);
            }
        }
        Ok(())
    }

    fn mask(&mut self) -> Result<SimpleVob, String> {
        self.matcher.compute_mask_or_eos().map_err(|error| error.to_string())
    }

    /// The token is part of the answer.
    ///
    /// # Errors
    /// When it may not be.
    pub(super) fn accept(&mut self, token: Token) -> Result<(), String> {
        let id = u32::try_from(token).map_err(|error| error.to_string())?;
        self.matcher.consume_token(id).map_err(|error| error.to_string())
    }
}

/// A schema with the settings of this file.
fn prepared(schema: Value) -> Result<Value, String> {
    let mut schema = match schema {
        Value::Bool(true) => Value::Object(serde_json::Map::new()),
        Value::Object(_) => schema,
        _ => return Err("a schema must be an object".to_owned()),
    };
    if schema.get(SETTINGS).is_some() {
        return Err(format!("the keyword \"{SETTINGS}\" is not supported"));
    }
    let options = JsonCompileOptions { whitespace_pattern: Some(WHITE_SPACE.to_owned()), ..Default::default() };
    options.apply_to(&mut schema);
    formats::tighten(&mut schema);
    references::check(&schema)?;
    Ok(schema)
}

/// What llguidance says without the state of its parser and the drawing of a pattern: of what it says over several lines, the
/// first and the last before the state, which is the reason.
pub(super) fn in_short(error: &str) -> String {
    let mut lines =
        error.lines().map(str::trim).take_while(|line| !line.starts_with("<state>")).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    match lines.last() {
        Some(last) => format!("{} {last}", first.trim_end_matches(';')),
        None => first.to_owned(),
    }
}

fn cannot(what: &str, error: &str) -> String {
    format!("{what} cannot be obeyed: {error}")
}

#[cfg(test)]
mod tests;
