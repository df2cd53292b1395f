//! Answers that obey a grammar.
//!
//! A grammar comes from a request, and a small one can make llama.cpp work for very long: when it compiles,
//! and again at any token. So each constrained compute has a thread of its own, which compiles the grammar
//! and then chooses the tokens; the engine goes on with everybody else meanwhile, and the compute's deadline
//! bounds the rest. Nothing further is begun for a compute that is over.
//!
//! Schemas are obeyed by llguidance, which bounds its work itself: see [`json`]. Grammars in GBNF are llama.cpp's own
//! language, and it reads them. There a choice that is under way cannot be interrupted, nor run out of memory without
//! ending the process, so what could do either is refused first: see [`ambiguity`].
//!
//! A token is chosen without the grammar first, and only when the grammar refuses it among those it allows:
//! looking at one token is cheap, looking at the whole vocabulary is not. What ends an answer is never
//! accepted into the grammar, and one of llama.cpp's that refused a token it had allowed is not asked again:
//! llama.cpp aborts on both.

pub mod compared;
mod json;

use super::ambiguity;
use super::event::Event;
use super::process;
use super::sampler::{self, Sampler, Scratch};
use super::schedule::Token;
use super::tools::{Writing, grammar, offer};
use bobbin_inference::wire::CallId;
use bobbin_inference::{Constraint, InferenceError, Reason, ToolUse};
use json::{Json, Part, Schemas};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Constrained computes at once, those whose thread has not come back included.
const MOST: usize = 16;
/// The C++ recurses over nesting and over rules.
const STACK: usize = 16 << 20;
/// Nested groups of a grammar, nested values of a schema.
pub(super) const MOST_NESTED: usize = 64;
/// Processor time that one choice may take. The ways to go on can also multiply from token to token: then each choice
/// takes longer than the last, and this ends it before memory does.
const MOST_TIME: Duration = Duration::from_millis(500);

/// Starts constrained samplers, a bounded number at a time.
pub(super) struct Constraints {
    model: &'static LlamaModel,
    events: SyncSender<Event>,
    alive: Arc<AtomicUsize>,
    schemas: Arc<Schemas>,
    /// How the model writes calls of tools.
    writing: Writing,
}

/// The engine's end of one constrained sampler. Dropping it ends the sampler after the step that it is at.
pub(super) struct Constrained {
    requests: SyncSender<Vec<f32>>,
    /// Where logits are copied to: they are the context's own, which goes on meanwhile.
    copy: Vec<f32>,
    over: Arc<AtomicBool>,
}

impl Drop for Constrained {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
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
    pub(super) fn new(model: &'static LlamaModel, writing: Writing, events: SyncSender<Event>) -> Self {
        Self { model, events, alive: Arc::default(), schemas: Arc::default(), writing }
    }

    /// How the model writes calls of tools.
    pub(super) fn writing(&self) -> Writing {
        self.writing
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
        // One choice is asked for at a time.
        let (requests, inbox) = sync_channel(1);
        let (model, events, writing) = (self.model, self.events.clone(), self.writing);
        let schemas = Arc::clone(&self.schemas);
        let constrained = Constrained { requests, copy: Vec::new(), over: Arc::default() };
        let over = Arc::clone(&constrained.over);
        let run = move || {
            let _alive = alive;
            match compile(model, &schemas, writing, constraint, &over) {
                Ok(grammar) => {
                    let guided = Guided { model, grammar, sampler, scratch: sampler::scratch() };
                    run(guided, call, &inbox, &events, &over);
                }
                Err(error) => drop(events.send(Event::Compiled(call, Err(error)))),
            }
        };
        let thread = std::thread::Builder::new().name("grammar".into()).stack_size(STACK).spawn(run);
        thread.map_err(|error| {
            InferenceError::new(Reason::BackendFailed, format!("the worker cannot start a thread: {error}"))
        })?;
        Ok(constrained)
    }
}

impl Constrained {
    /// Asks for the next token; the answer comes as [`Event::Chosen`], with the logits.
    pub(super) fn choose(&mut self, logits: &[f32]) {
        let mut copy = std::mem::take(&mut self.copy);
        copy.clear();
        copy.extend_from_slice(logits);
        // A thread that is gone has said why.
        let _ = self.requests.try_send(copy);
    }

    /// The logits of a choice that was made take those of the next one.
    pub(super) fn take_back(&mut self, logits: Vec<f32>) {
        self.copy = logits;
    }
}

fn run(
    mut guided: Guided<'_>,
    call: CallId,
    inbox: &Receiver<Vec<f32>>,
    events: &SyncSender<Event>,
    over: &AtomicBool,
) {
    if events.send(Event::Compiled(call, Ok(()))).is_err() {
        return;
    }
    while let Ok(logits) = inbox.recv() {
        // A request outlives its sender.
        if over.load(Ordering::Acquire) {
            return;
        }
        let started = process::thread_time();
        let chosen = guided.choose(&logits);
        let chosen = if process::thread_time() - started <= MOST_TIME { chosen } else { Err(too_slow()) };
        let last = !matches!(chosen, Ok(Some(_)));
        if events.send(Event::Chosen(call, chosen, logits)).is_err() || last {
            return;
        }
    }
}

/// What an answer must obey.
enum Grammar {
    /// llama.cpp's own, and what it is asked about one token with.
    Gbnf(LlamaSampler, Scratch),
    Json(Box<Json>),
    Gated(Gated),
}

/// Calls of tools that begin with a control token: what comes before it is the model's own.
struct Gated {
    opener: Token,
    /// The calls begin at once.
    at_once: bool,
    begun: bool,
    calls: Box<Json>,
}

struct Guided<'a> {
    model: &'a LlamaModel,
    grammar: Grammar,
    sampler: Sampler,
    scratch: Scratch,
}

impl Guided<'_> {
    /// `None` when the grammar allows nothing more.
    fn choose(&mut self, logits: &[f32]) -> Result<Option<Token>, InferenceError> {
        if self.grammar.is_over() {
            return Ok(None);
        }
        if let Some(token) = self.grammar.forced() {
            self.grammar.accept(token)?;
            self.sampler.accept(token);
            return Ok(Some(token));
        }
        let mut token = self.sampler.choose(logits, &mut self.scratch)?;
        if !self.grammar.allows(token)? {
            sampler::fill(&mut self.scratch, logits);
            self.grammar.restrict(&mut self.scratch)?;
            if !self.scratch.data.iter().any(|candidate| candidate.logit().is_finite()) {
                return Ok(None);
            }
            token = self.sampler.choose_among(&mut self.scratch)?;
            if !self.grammar.allows(token)? {
                return Ok(None);
            }
        }
        if self.model.vocab().is_eog(LlamaToken::new(token)) {
            return Ok(Some(token));
        }
        self.grammar.accept(token)?;
        self.sampler.accept(token);
        Ok(Some(token))
    }
}

impl Grammar {
    /// Whether it is known that nothing more may come.
    fn is_over(&self) -> bool {
        match self {
            Self::Gbnf(..) => false,
            Self::Json(json) => json.is_over(),
            Self::Gated(gated) => gated.begun && gated.calls.is_over(),
        }
    }

    /// The only token that may come, where that is known without a look at the model.
    fn forced(&self) -> Option<Token> {
        match self {
            Self::Gated(gated) => (gated.at_once && !gated.begun).then_some(gated.opener),
            Self::Gbnf(..) | Self::Json(_) => None,
        }
    }

    fn allows(&mut self, token: Token) -> Result<bool, InferenceError> {
        match self {
            Self::Gbnf(grammar, alone) => {
                sampler::refill(alone, iter::once((token, &1.0)));
                grammar.apply(alone);
                Ok(alone.data.first().is_some_and(|candidate| candidate.logit().is_finite()))
            }
            Self::Json(json) => json.allows(token).map_err(failed),
            Self::Gated(gated) => Ok(!gated.begun || gated.calls.allows(token).map_err(failed)?),
        }
    }

    fn restrict(&mut self, candidates: &mut Scratch) -> Result<(), InferenceError> {
        match self {
            Self::Gbnf(grammar, _) => {
                grammar.apply(candidates);
                Ok(())
            }
            Self::Json(json) => json.restrict(candidates).map_err(failed),
            Self::Gated(gated) => gated.calls.restrict(candidates).map_err(failed),
        }
    }

    fn accept(&mut self, token: Token) -> Result<(), InferenceError> {
        match self {
            Self::Gbnf(grammar, _) => {
                grammar.try_accept(LlamaToken::new(token)).map_err(|error| failed(error.to_string()))
            }
            Self::Json(json) => json.accept(token).map_err(failed),
            Self::Gated(gated) if gated.begun => gated.calls.accept(token).map_err(failed),
            Self::Gated(gated) => {
                gated.begun = token == gated.opener;
                Ok(())
            }
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what errors are mapped with")]
fn failed(error: String) -> InferenceError {
    invalid(format!(
        "the grammar or schema failed in the middle of the answer: {}; simplify it",
        json::in_short(&error)
    ))
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

fn compile(
    model: &LlamaModel,
    schemas: &Schemas,
    writing: Writing,
    constraint: Constraint,
    over: &AtomicBool,
) -> Result<Grammar, InferenceError> {
    let grammar = match constraint {
        Constraint::Grammar(grammar) => grammar,
        Constraint::Tools(used) => return compile_tools(model, schemas, writing, &used),
        Constraint::JsonSchema(schema) => {
            let json = schemas.compile(model, parse_schema(&schema)?);
            let json = json.map_err(|error| {
                invalid(format!("the JSON schema cannot be obeyed: {error}; docs/wasi-nn.md says what is supported"))
            });
            return json.map(|json| Grammar::Json(Box::new(json)));
        }
    };
    ambiguity::check(&grammar).map_err(|error| invalid(format!("the grammar is refused: {error}")))?;
    if over.load(Ordering::Acquire) {
        return Err(invalid("the compute ended before its grammar was compiled".into()));
    }
    let grammar = LlamaSampler::grammar(model, &grammar, "root").map_err(|error| {
        invalid(format!(
            "the grammar reads but does not compile: {error}; a token in <> must be one token of the model"
        ))
    });
    grammar.map(|grammar| Grammar::Gbnf(grammar, sampler::scratch()))
}

/// An answer that may, or must, call tools.
fn compile_tools(
    model: &LlamaModel,
    schemas: &Schemas,
    writing: Writing,
    used: &ToolUse,
) -> Result<Grammar, InferenceError> {
    let tools = offer::read(used)?;
    let answer = grammar::answer(writing, used, &tools)
        .map_err(|error| InferenceError::new(Reason::InvalidOption, error.to_string()))?;
    let mut parts: Vec<Part> = Vec::with_capacity(tools.len() + 1);
    for (at, tool) in tools.into_iter().enumerate() {
        let what = format!("the parameters of the tool \"{}\"", tool.name);
        parts.push(Part { name: grammar::arguments(at), what, schema: tool.schema });
    }
    if let Some(response) = used.response.as_deref().filter(|_| answer.free) {
        check_nesting("JSON schema", schema_depth(response)?)?;
        let what = "the JSON schema".to_owned();
        parts.push(Part { name: grammar::RESPONSE.to_owned(), what, schema: parse_schema(response)? });
    }
    let calls = schemas
        .compile_parts(model, answer.lark, parts)
        .map_err(|error| invalid(format!("{error}; docs/wasi-nn.md says what is supported")))?;
    let calls = Box::new(calls);
    Ok(match answer.after {
        None => Grammar::Json(calls),
        Some(opener) => Grammar::Gated(Gated { opener, at_once: !answer.free, begun: false, calls }),
    })
}

fn invalid(message: String) -> InferenceError {
    InferenceError::new(Reason::InvalidGrammar, message)
}

fn check_depth(constraint: &Constraint) -> Result<(), InferenceError> {
    let (what, depth) = match constraint {
        Constraint::Grammar(text) => ("grammar", grammar_depth(text)),
        Constraint::JsonSchema(text) => ("JSON schema", schema_depth(text)?),
        // Looked at where they are read.
        Constraint::Tools(_) => return Ok(()),
    };
    check_nesting(what, depth)
}

fn check_nesting(what: &str, depth: usize) -> Result<(), InferenceError> {
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
    Ok(depth(&parse_schema(text)?))
}

/// Values within values.
pub(super) fn depth(value: &serde_json::Value) -> usize {
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
}
