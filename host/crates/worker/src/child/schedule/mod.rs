//! Which sequence computes what next: a structure without llama.cpp and without clocks, so that every rule
//! is tested without either.
//!
//! A compute waits until the cells for its whole prompt and answer are reserved, so a running one never finds
//! the cache full. Sessions that have finished a compute keep their cells for the next one until somebody else
//! needs them; then the longest unused gives them up, and its tokens are computed again when it continues.
//! Those that wait for their next compute give them up too, after the idle ones: otherwise they could hold all
//! cells while none of them has enough. Among those that wait, requests go before shadows, and the route that
//! holds the fewest cells goes first, so a busy route cannot keep the others out; nobody overtakes within a
//! route, and nobody smaller overtakes the one whose turn it is, so a long prompt is not starved either.
//!
//! Computes are admitted while fewer than `parallel` want to compute. One whose reader is slow keeps its cells
//! but not its place; when readers come back and more than `parallel` want to compute, they take turns.
//!
//! Sessions of one scope that begin alike share the cells of their beginning, and so does everybody with the bundle's
//! declared prefix. What a session leaves behind stays for the next one that begins alike, up to a bound. One that
//! begins like another that is still being computed waits for it instead of computing the same beside it.
//!
//! A step takes one token from each computing sequence whose reader keeps up, then prompts in chunks, shared
//! evenly between the routes that have prompts pending.

mod admit;
#[cfg(test)]
mod alike;
mod cells;
mod plan;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod quiet;
mod share;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use types::{Admission, Counts, Demand, Key, Limits, Op, Outputs, Placement, Request, Row, Token};

use bobbin_inference::wire::CallId;
use bobbin_inference::{InferenceError, Priority, Reason, Scope};
use cells::{Cells, RunId};
use share::Leader;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Sequence {
    tokens: Vec<Token>,
    /// How many of `tokens` are in the cache.
    computed: u32,
    /// Where they end there.
    end: Option<RunId>,
    slot: Option<u32>,
    /// Cells for what it will compute.
    promised: u32,
    /// Who shares its cells; everybody without.
    scope: Option<Arc<Scope>>,
    /// Larger is more recent.
    used: u64,
    call: Option<CallId>,
    /// Its compute was admitted, so its cells are not taken away.
    runs: bool,
}

#[derive(Debug)]
struct Running {
    call: CallId,
    key: Key,
    scope: Arc<Scope>,
    priority: Priority,
    outputs: Outputs,
    credit: i64,
    /// Its logits are out, its next token is not in yet.
    choosing: bool,
    /// For reserving again after an overcommit.
    extra: u32,
    /// When it last computed, or was admitted.
    stepped: u64,
}

impl Running {
    /// Whether it waits for its reader.
    fn is_paused(&self) -> bool {
        self.credit <= 0 && !self.choosing
    }
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    arrival: u64,
    /// Who computes what it begins with.
    follows: Option<Leader>,
    /// It was taken off its cells while its next token was being chosen; the token still comes.
    choosing: bool,
}

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Schedule {
    limits: Limits,
    sequences: HashMap<Key, Sequence>,
    cells: Cells,
    /// Cells for what running computes will compute.
    promised: u32,
    /// Sequences can share cells.
    shares: bool,
    running: Vec<Running>,
    waiting: Vec<Waiting>,
    free: Vec<u32>,
    ops: Vec<Op>,
    clock: u64,
    /// Who computes in the step that was planned last, by the place in `running`.
    ready: Vec<usize>,
}

fn len32(tokens: &[Token]) -> u32 {
    u32::try_from(tokens.len()).unwrap_or(u32::MAX)
}

impl Schedule {
    /// An empty schedule. `prefix` may be empty; else it is computed in the slot after those of the limits.
    pub(crate) fn new(limits: Limits, prefix: Vec<Token>) -> Self {
        let slots = limits.slots;
        let (mut cells, mut sequences) = (Cells::default(), HashMap::new());
        if !prefix.is_empty() {
            let end = prefix.iter().fold(None, |end, _| Some(cells.push(end)));
            let computed = len32(&prefix);
            let sequence =
                Sequence { tokens: prefix, computed, end, slot: Some(slots), runs: true, ..Sequence::default() };
            sequences.insert(Key::Prefix, sequence);
        }
        Self {
            limits,
            sequences,
            cells,
            promised: 0,
            shares: limits.cached > 0,
            running: Vec::new(),
            waiting: Vec::new(),
            free: (0..slots).rev().collect(),
            ops: Vec::new(),
            clock: 0,
            ready: Vec::new(),
        }
    }

    /// Whether a sequence has a history.
    pub(crate) fn has_history(&self, key: Key) -> bool {
        self.sequences.get(&key).is_some_and(|session| !session.tokens.is_empty())
    }

    /// The history of a sequence.
    pub(crate) fn history(&self, key: Key) -> &[Token] {
        self.sequences.get(&key).map_or(&[], |session| &session.tokens)
    }

    /// Takes a compute into the queue.
    ///
    /// # Errors
    /// `context_exceeded`, `queue_full`, `invalid_state` while the session computes, `invalid_input` without
    /// any token.
    pub(crate) fn submit(&mut self, request: Request) -> Result<(), InferenceError> {
        let history = match request.placement {
            Placement::Append => self.history(request.key).len(),
            Placement::Replace => 0,
        };
        let total = history + request.tokens.len();
        if total == 0 {
            return Err(InferenceError::new(Reason::InvalidInput, "the prompt is empty; pass at least one token"));
        }
        if total > self.limits.context as usize {
            return Err(self.over_context(history, request.tokens.len()));
        }
        if self.waiting.len() >= self.limits.queue {
            return Err(InferenceError::new(
                Reason::QueueFull,
                format!("{} computes wait for room in the model's worker already; try again later", self.limits.queue),
            ));
        }
        // What is over, and the prefix, are not among them.
        let sessions = |(key, _): &(&Key, &Sequence)| matches!(key, Key::Session(_) | Key::Score(_));
        let full = self.sequences.len() >= self.limits.sessions
            && self.sequences.iter().filter(sessions).count() >= self.limits.sessions;
        self.clock += 1;
        match self.sequences.get_mut(&request.key) {
            Some(session) if session.call.is_some() => {
                return Err(InferenceError::new(
                    Reason::InvalidState,
                    "the session is computing already; wait for the end of that answer",
                ));
            }
            Some(session) => session.call = Some(request.call),
            None if full => {
                return Err(InferenceError::new(
                    Reason::QueueFull,
                    format!("the model's worker keeps {} sessions already; try again later", self.limits.sessions),
                ));
            }
            None => {
                let scope = Some(Arc::clone(&request.scope));
                let sequence = Sequence { call: Some(request.call), scope, ..Sequence::default() };
                self.sequences.insert(request.key, sequence);
            }
        }
        self.waiting.push(Waiting { request, arrival: self.clock, follows: None, choosing: false });
        Ok(())
    }

    fn over_context(&self, history: usize, prompt: usize) -> InferenceError {
        let context = self.limits.context;
        let before = if history > 0 { format!(" after {history} in the session") } else { String::new() };
        InferenceError::new(
            Reason::ContextExceeded,
            format!("the prompt has {prompt} tokens{before}; the model's context is {context} tokens; shorten it"),
        )
    }

    /// A token was chosen for a compute, which may have lost its cells meanwhile. Returns whether the context
    /// is full.
    pub(crate) fn chosen(&mut self, call: CallId, token: Token) -> bool {
        let context = self.limits.context as usize;
        let key = if let Some(running) = self.running.iter_mut().find(|running| running.call == call) {
            running.choosing = false;
            running.credit -= 1;
            running.extra = running.extra.saturating_sub(1);
            running.key
        } else if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.request.call == call) {
            waiting.choosing = false;
            waiting.request.credit = waiting.request.credit.saturating_sub(1);
            waiting.request.extra = waiting.request.extra.saturating_sub(1);
            waiting.request.key
        } else {
            return true;
        };
        let Some(session) = self.sequences.get_mut(&key) else { return true };
        session.tokens.push(token);
        session.tokens.len() >= context
    }

    /// How many tokens a compute may still send.
    pub(crate) fn credit_left(&self, call: CallId) -> i64 {
        let waiting = || self.waiting.iter().find(|waiting| waiting.request.call == call);
        match self.running.iter().find(|running| running.call == call) {
            Some(running) => running.credit,
            None => waiting().map_or(0, |waiting| i64::from(waiting.request.credit)),
        }
    }

    /// The reader took tokens.
    pub(crate) fn credit(&mut self, call: CallId, tokens: u32) {
        if let Some(running) = self.running.iter_mut().find(|running| running.call == call) {
            running.credit += i64::from(tokens);
        } else if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.request.call == call) {
            waiting.request.credit = waiting.request.credit.saturating_add(tokens);
        }
    }

    /// A compute is over, whether it finished or was given up: its session keeps what is computed.
    pub(crate) fn end(&mut self, call: CallId) {
        let key = match self.running.iter().position(|running| running.call == call) {
            Some(at) => self.running.remove(at).key,
            None => match self.waiting.iter().position(|waiting| waiting.request.call == call) {
                Some(at) => self.waiting.remove(at).request.key,
                None => return,
            },
        };
        self.clock += 1;
        if let Some(session) = self.sequences.get_mut(&key) {
            session.call = None;
            session.runs = false;
            session.used = self.clock;
            self.promised -= std::mem::take(&mut session.promised);
        }
        let unused = self.sequences.get(&key).is_some_and(|session| session.tokens.is_empty());
        if matches!(key, Key::Score(_)) || unused {
            self.close(key);
        }
    }

    /// A sequence is over; what it computed may stay for others. Returns its compute, where there was one.
    pub(crate) fn close(&mut self, key: Key) -> Option<CallId> {
        let call = self.sequences.get(&key)?.call;
        self.running.retain(|running| running.key != key);
        self.waiting.retain(|waiting| waiting.request.key != key);
        if !self.retain(key) {
            self.forget(key);
        }
        self.bound_cache();
        call
    }

    /// The cells of a sequence are lost: llama.cpp could not keep them. Its tokens are computed again; its compute,
    /// where it runs, waits for cells like others.
    pub(crate) fn lost(&mut self, slot: u32) {
        let Some((key, sequence)) = self.sequences.iter().find(|(_, sequence)| sequence.slot == Some(slot)) else {
            return;
        };
        match (*key, sequence.call) {
            (_, Some(call)) if sequence.runs => self.requeue(call),
            (key @ Key::Cached(_), _) => self.forget(key),
            // The bundle's own sequence is not computed again.
            (Key::Prefix, _) => self.shares = false,
            (key, _) => self.vacate(key),
        }
        self.bound_cache();
    }

    /// Sequences of this model cannot share cells, whatever was thought of it.
    pub(crate) fn cannot_share(&mut self) {
        self.shares = false;
    }

    /// Takes a running compute off its cells and lets it wait at the head of the queue. Its tokens are computed
    /// again, and so are the logits of all of them where it wants all.
    pub(crate) fn requeue(&mut self, call: CallId) {
        let Some(at) = self.running.iter().position(|running| running.call == call) else { return };
        let running = self.running.remove(at);
        self.vacate(running.key);
        if let Some(session) = self.sequences.get_mut(&running.key) {
            session.runs = false;
        }
        let request = Request {
            call,
            key: running.key,
            tokens: Vec::new(),
            placement: Placement::Append,
            extra: running.extra,
            outputs: running.outputs,
            scope: running.scope,
            priority: running.priority,
            credit: u32::try_from(running.credit).unwrap_or(0),
        };
        self.waiting.insert(0, Waiting { request, arrival: 0, follows: None, choosing: running.choosing });
        self.bound_cache();
    }

    /// Computes that run, in the order of their admission.
    pub(crate) fn running(&self) -> impl Iterator<Item = CallId> + '_ {
        self.running.iter().map(|running| running.call)
    }

    /// Counts for statistics.
    pub(crate) fn counts(&mut self) -> Counts {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let cached = self.cached();
        let sessions = self
            .sequences
            .iter()
            .filter(|(key, sequence)| matches!(key, Key::Session(_) | Key::Score(_)) && sequence.slot.is_some());
        Counts {
            sequences: count(sessions.count()),
            running: count(self.running.len()),
            waiting: count(self.waiting.len()),
            paused: count(self.running.iter().filter(|running| running.is_paused()).count()),
            reserved: self.cells.held() - cached + self.promised,
            cached,
        }
    }

    /// Takes cells and sequence id away; the history stays.
    fn vacate(&mut self, key: Key) {
        let Some(session) = self.sequences.get_mut(&key) else { return };
        self.promised -= std::mem::take(&mut session.promised);
        self.cells.release(session.end.take());
        session.computed = 0;
        if let Some(slot) = session.slot.take() {
            self.ops.push(Op::Trim { slot, keep: 0 });
            self.free.push(slot);
        }
    }
}
