//! Answers that obey a grammar.
//!
//! A grammar comes from a request, and a small one can make llama.cpp work for very long: when it compiles,
//! and again at any token. So each constrained compute has a thread of its own, which compiles the grammar
//! and then chooses the tokens; the engine goes on with everybody else meanwhile, and the compute's deadline
//! bounds the rest. A choice that is under way cannot be interrupted, nor run out of memory without ending the
//! process, so what could do either is refused first: see [`ambiguity`] for grammars and [`schema`] for schemas.
//! Nothing further is begun for a compute that is over.
//!
//! A token is chosen without the grammar first, and only when the grammar refuses it among those it allows:
//! looking at one token is cheap, looking at the whole vocabulary is not. What ends an answer is never
//! accepted into the grammar, and a grammar that refused a token it had allowed is not asked again:
//! llama.cpp aborts on both.

mod schema;

use super::ambiguity;
use super::event::Event;
use super::process;
use super::sampler::{self, Sampler, Scratch};
use super::schedule::Token;
use bobbin_inference::wire::CallId;
use bobbin_inference::{Constraint, InferenceError, Reason};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::Duration;

/// Constrained computes at once, those whose thread has not come back included.
const MOST: usize = 16;
/// The C++ recurses over nesting and over rules.
const STACK: usize = 16 << 20;
/// Nested groups of a grammar, nested values of a schema.
const MOST_NESTED: usize = 64;
/// Processor time that one choice may take. The ways to go on can also multiply from token to token: then each choice
/// takes longer than the last, and this ends it before memory does.
const MOST_TIME: Duration = Duration::from_millis(500);
/// Bytes of a grammar that a schema becomes.
const MOST_BYTES: usize = 1 << 20;

/// Starts constrained samplers, a bounded number at a time.
pub(super) struct Constraints {
    model: &'static LlamaModel,
    events: SyncSender<Event>,
    alive: Arc<AtomicUsize>,
}

/// The engine's end of one constrained sampler. Dropping it ends the sampler after the step that it is at.
pub(super) struct Constrained {
    requests: Sender<Request>,
    over: Arc<AtomicBool>,
}

impl Drop for Constrained {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

struct Request {
    logits: Vec<f32>,
}

/// Counts a thread until it ends.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Constraints {
    /// For a loaded model.
    pub(super) fn new(model: &'static LlamaModel, events: SyncSender<Event>) -> Self {
        Self { model, events, alive: Arc::new(AtomicUsize::new(0)) }
    }

    /// Starts compiling; [`Event::Compiled`] says how it went, and then logits may be sent.
    ///
    /// # Errors
    /// `invalid_grammar` over the bounds, `queue_full` when too many constrained computes run.
    pub(super) fn start(
        &self,
        call: CallId,
        constraint: Constraint,
        sampler: Sampler,
    ) -> Result<Constrained, InferenceError> {
        check_depth(&constraint)?;
        if self.alive.fetch_add(1, Ordering::AcqRel) >= MOST {
            self.alive.fetch_sub(1, Ordering::AcqRel);
            return Err(InferenceError::new(
                Reason::QueueFull,
                format!("{MOST} computes with a grammar run already; try again later"),
            ));
        }
        let alive = Alive(Arc::clone(&self.alive));
        let (requests, inbox) = channel();
        let (model, events) = (self.model, self.events.clone());
        let constrained = Constrained { requests, over: Arc::default() };
        let over = Arc::clone(&constrained.over);
        let run = move || {
            let _alive = alive;
            run(model, call, constraint, sampler, &inbox, &events, &over);
        };
        let thread = std::thread::Builder::new().name("grammar".into()).stack_size(STACK).spawn(run);
        thread.map_err(|error| {
            InferenceError::new(Reason::BackendFailed, format!("the worker cannot start a thread: {error}"))
        })?;
        Ok(constrained)
    }
}

impl Constrained {
    /// Asks for the next token; the answer comes as [`Event::Chosen`].
    pub(super) fn choose(&self, logits: &[f32]) {
        // A thread that is gone has said why.
        let _ = self.requests.send(Request { logits: logits.to_vec() });
    }
}

fn run(
    model: &LlamaModel,
    call: CallId,
    constraint: Constraint,
    sampler: Sampler,
    inbox: &Receiver<Request>,
    events: &SyncSender<Event>,
    over: &AtomicBool,
) {
    let grammar = match compile(model, constraint, over) {
        Ok(grammar) => grammar,
        Err(error) => {
            let _ = events.send(Event::Compiled(call, Err(error)));
            return;
        }
    };
    let mut guided = Guided { model, grammar, sampler, scratch: sampler::scratch() };
    if events.send(Event::Compiled(call, Ok(()))).is_err() {
        return;
    }
    while let Ok(request) = inbox.recv() {
        // A request outlives its sender.
        if over.load(Ordering::Acquire) {
            return;
        }
        let started = process::thread_time();
        let chosen = guided.choose(&request.logits);
        let chosen = if process::thread_time() - started <= MOST_TIME { chosen } else { Err(too_slow()) };
        let last = !matches!(chosen, Ok(Some(_)));
        if events.send(Event::Chosen(call, chosen)).is_err() || last {
            return;
        }
    }
}

struct Guided<'a> {
    model: &'a LlamaModel,
    grammar: LlamaSampler,
    sampler: Sampler,
    scratch: Scratch,
}

impl Guided<'_> {
    /// `None` when the grammar allows nothing more.
    fn choose(&mut self, logits: &[f32]) -> Result<Option<Token>, InferenceError> {
        let mut token = self.sampler.choose(logits, &mut self.scratch)?;
        if !self.allows(token) {
            sampler::fill(&mut self.scratch, logits);
            self.grammar.apply(&mut self.scratch);
            if !self.scratch.data.iter().any(|candidate| candidate.logit().is_finite()) {
                return Ok(None);
            }
            token = self.sampler.choose_among(&mut self.scratch)?;
            if !self.allows(token) {
                return Ok(None);
            }
        }
        if self.model.vocab().is_eog(LlamaToken::new(token)) {
            return Ok(Some(token));
        }
        self.grammar.try_accept(LlamaToken::new(token)).map_err(|error| {
            InferenceError::new(
                Reason::InvalidGrammar,
                format!("the grammar failed at a token that it had allowed: {error}; simplify the grammar"),
            )
        })?;
        self.sampler.accept(token);
        Ok(Some(token))
    }

    fn allows(&mut self, token: Token) -> bool {
        let alone = LlamaTokenData::new(LlamaToken::new(token), 1.0, 0.0);
        let mut alone = Scratch::new(vec![alone], false);
        self.grammar.apply(&mut alone);
        alone.data.first().is_some_and(|candidate| candidate.logit().is_finite())
    }
}

fn too_slow() -> InferenceError {
    InferenceError::new(
        Reason::InvalidGrammar,
        format!(
            "choosing one token under the grammar took more than {} ms of a processor: it has too many ways to go on; let its rules \
             differ in how they begin",
            MOST_TIME.as_millis()
        ),
    )
}

fn compile(model: &LlamaModel, constraint: Constraint, over: &AtomicBool) -> Result<LlamaSampler, InferenceError> {
    let grammar = match constraint {
        Constraint::Grammar(grammar) => {
            ambiguity::check(&grammar).map_err(|error| invalid(format!("the grammar is refused: {error}")))?;
            grammar
        }
        Constraint::JsonSchema(schema) => convert(&schema)?,
    };
    if over.load(Ordering::Acquire) {
        return Err(invalid("the compute ended before its grammar was compiled".into()));
    }
    LlamaSampler::grammar(model, &grammar, "root").map_err(|error| {
        invalid(format!(
            "the grammar reads but does not compile: {error}; a token in <> must be one token of the model"
        ))
    })
}

/// A schema's grammar, checked as one that a request brings.
fn convert(text: &str) -> Result<String, InferenceError> {
    let why = |error: &str| {
        invalid(format!("the JSON schema cannot be turned into a grammar: {error}; {}", schema::SUPPORTED))
    };
    schema::check(&parse_schema(text)?).map_err(|error| why(&error))?;
    let grammar = llama_cpp_2::json_schema_to_grammar(text).map_err(|error| why(&error.to_string()))?;
    if grammar.len() > MOST_BYTES {
        return Err(invalid(format!(
            "the JSON schema becomes a grammar of {} bytes; at most {MOST_BYTES} are allowed; simplify it",
            grammar.len()
        )));
    }
    ambiguity::check(&grammar)
        .map_err(|error| invalid(format!("the grammar that the JSON schema becomes is refused: {error}")))?;
    Ok(grammar)
}

fn invalid(message: String) -> InferenceError {
    InferenceError::new(Reason::InvalidGrammar, message)
}

fn check_depth(constraint: &Constraint) -> Result<(), InferenceError> {
    let (what, depth) = match constraint {
        Constraint::Grammar(text) => ("grammar", grammar_depth(text)),
        Constraint::JsonSchema(text) => ("JSON schema", schema_depth(text)?),
    };
    if depth <= MOST_NESTED {
        return Ok(());
    }
    Err(InferenceError::new(
        Reason::InvalidGrammar,
        format!("the {what} is nested {depth} deep; at most {MOST_NESTED} are allowed; simplify it"),
    ))
}

/// Open parentheses, wherever they are: too deep inside a string is refused too.
fn grammar_depth(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

fn schema_depth(text: &str) -> Result<usize, InferenceError> {
    fn depth(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            serde_json::Value::Object(fields) => {
                // A pattern is a regular expression, which nests by its parentheses.
                let pattern = fields.get("pattern").and_then(serde_json::Value::as_str).map_or(0, grammar_depth);
                1 + pattern + fields.values().map(depth).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
    Ok(depth(&parse_schema(text)?))
}

fn parse_schema(text: &str) -> Result<serde_json::Value, InferenceError> {
    serde_json::from_str(text).map_err(|error| invalid(format!("the JSON schema is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_overflow_a_stack_is_refused_first() {
        let deep = Constraint::Grammar(format!("root ::= {}\"a\"{}", "(".repeat(65), ")".repeat(65)));
        let error = check_depth(&deep).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidGrammar);
        assert!(error.message.contains("65 deep"), "{}", error.message);
        let nested = format!("{}{}", "{\"items\":".repeat(70), "{}") + &"}".repeat(70);
        assert!(check_depth(&Constraint::JsonSchema(nested)).is_err());
        let endless = Constraint::JsonSchema("[".repeat(100_000));
        assert_eq!(check_depth(&endless).unwrap_err().reason, Reason::InvalidGrammar);
        let pattern = Constraint::JsonSchema(format!(r#"{{"type":"string","pattern":"^{}$"}}"#, "(".repeat(70)));
        assert!(check_depth(&pattern).is_err());
    }

    #[test]
    fn ordinary_schemas_pass() {
        let many: Vec<String> = (0..300).map(|number| format!("value {number}")).collect();
        let object = serde_json::json!({"type": "object", "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 80}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "email": {"type": "string"}, "nick": {"type": ["string", "null"]}, "score": {"type": "number"}},
            "required": ["name", "age"], "additionalProperties": false});
        for schema in [
            serde_json::json!({}),
            serde_json::json!(object),
            serde_json::json!({"type": "object"}),
            serde_json::json!({"type": "object", "properties": {"a": {}, "an odd, long name": {}}, "additionalProperties": true}),
            serde_json::json!({"type": "object", "additionalProperties": {"type": "number"}}),
            serde_json::json!({"type": "array", "items": object}),
            serde_json::json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 100}),
            serde_json::json!({"type": "array", "items": {"type": "integer"}, "maxItems": 0}),
            serde_json::json!({"type": "array", "prefixItems": [{"type": "number"}, {"type": "boolean"}]}),
            serde_json::json!({"type": "string", "minLength": 3, "maxLength": 2000}),
            serde_json::json!({"type": "string", "pattern": "^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$"}),
            serde_json::json!({"type": "string", "format": "date-time"}),
            serde_json::json!({"type": "string", "format": "uuid"}),
            serde_json::json!({"type": "integer", "minimum": -9_007_199_254_740_991_i64, "maximum": 9_007_199_254_740_991_i64}),
            serde_json::json!({"type": "integer", "minimum": 17}),
            serde_json::json!({"type": "integer", "exclusiveMaximum": 1000}),
            serde_json::json!({"enum": many}),
            serde_json::json!({"enum": ["", "a \"quoted\" one", 7, null]}),
            serde_json::json!({"const": {"a": [1, 2]}}),
            serde_json::json!({"anyOf": [{"type": "string"}, object, {"type": "null"}]}),
            serde_json::json!({"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {"type": "string"}}}],
                "$defs": {"base": {"type": "object", "properties": {"a": {"type": "integer"}}}}}),
            serde_json::json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {
                "value": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}}}),
        ] {
            let text = schema.to_string();
            check_depth(&Constraint::JsonSchema(text.clone())).unwrap();
            let grammar = convert(&text).unwrap_or_else(|error| panic!("{text}: {}", error.message));
            assert!(grammar.contains("root ::="), "{grammar}");
        }
    }

    #[test]
    fn a_schema_that_the_converter_refuses_is_answered_with_what_is_supported() {
        for (text, why) in [
            (r#"{"type":"nonsense"}"#, "type \"nonsense\""),
            (r#"{"enum":[]}"#, "$ref into the same document"),
            (r#"{"type":"string","pattern":"^(a?){50}$"}"#, "repeats what may be empty"),
            (r#"{"type":"string","pattern":"^a{5,2}$"}"#, "{5,2} repeats at least 5 and at most 2 times"),
        ] {
            let error = convert(text).unwrap_err();
            assert_eq!(error.reason, Reason::InvalidGrammar);
            assert!(error.message.contains(why), "{}", error.message);
        }
    }
}
