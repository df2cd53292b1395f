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
//! A step takes one token from each computing sequence whose reader keeps up, then prompts in chunks, shared
//! evenly between the routes that have prompts pending.

mod admit;
mod plan;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use types::{Admission, Counts, Key, Limits, Op, Outputs, Placement, Request, Row, Token};

use bobbin_inference::wire::CallId;
use bobbin_inference::{InferenceError, Priority, Reason};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Session {
    tokens: Vec<Token>,
    /// How many of `tokens` are in the cache.
    computed: u32,
    slot: Option<u32>,
    reserved: u32,
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
    route: Arc<str>,
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
    /// It was taken off its cells while its next token was being chosen; the token still comes.
    choosing: bool,
}

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Schedule {
    limits: Limits,
    /// Tokens of the bundle's shared prefix, computed in a sequence of its own.
    prefix: Vec<Token>,
    sessions: HashMap<Key, Session>,
    running: Vec<Running>,
    waiting: Vec<Waiting>,
    free: Vec<u32>,
    reserved: u32,
    ops: Vec<Op>,
    clock: u64,
}

fn len32(tokens: &[Token]) -> u32 {
    u32::try_from(tokens.len()).unwrap_or(u32::MAX)
}

impl Schedule {
    /// An empty schedule. `prefix` may be empty.
    pub(crate) fn new(limits: Limits, prefix: Vec<Token>) -> Self {
        let slots = limits.slots;
        Self {
            limits,
            prefix,
            sessions: HashMap::new(),
            running: Vec::new(),
            waiting: Vec::new(),
            free: (0..slots).rev().collect(),
            reserved: 0,
            ops: Vec::new(),
            clock: 0,
        }
    }

    /// Whether a sequence has a history.
    pub(crate) fn has_history(&self, key: Key) -> bool {
        self.sessions.get(&key).is_some_and(|session| !session.tokens.is_empty())
    }

    /// The history of a sequence.
    pub(crate) fn history(&self, key: Key) -> &[Token] {
        self.sessions.get(&key).map_or(&[], |session| &session.tokens)
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
        let sessions = self.sessions.len();
        self.clock += 1;
        match self.sessions.get_mut(&request.key) {
            Some(session) if session.call.is_some() => {
                return Err(InferenceError::new(
                    Reason::InvalidState,
                    "the session is computing already; wait for the end of that answer",
                ));
            }
            Some(session) => session.call = Some(request.call),
            None if sessions >= self.limits.sessions => {
                return Err(InferenceError::new(
                    Reason::QueueFull,
                    format!("the model's worker keeps {} sessions already; try again later", self.limits.sessions),
                ));
            }
            None => {
                let session = Session { call: Some(request.call), ..Session::default() };
                self.sessions.insert(request.key, session);
            }
        }
        self.waiting.push(Waiting { request, arrival: self.clock, choosing: false });
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
        let Some(session) = self.sessions.get_mut(&key) else { return true };
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
        if let Some(session) = self.sessions.get_mut(&key) {
            session.call = None;
            session.runs = false;
            session.used = self.clock;
            self.reserved -= session.reserved - session.computed;
            session.reserved = session.computed;
        }
        let unused = self.sessions.get(&key).is_some_and(|session| session.tokens.is_empty());
        if matches!(key, Key::Score(_)) || unused {
            self.close(key);
        }
    }

    /// A sequence is over. Returns its compute, where there was one.
    pub(crate) fn close(&mut self, key: Key) -> Option<CallId> {
        let call = self.sessions.get(&key)?.call;
        self.running.retain(|running| running.key != key);
        self.waiting.retain(|waiting| waiting.request.key != key);
        self.vacate(key);
        self.sessions.remove(&key);
        call
    }

    /// The cells of a sequence are lost: llama.cpp could not keep them. Its tokens are computed again.
    /// Returns its compute, where there is one.
    pub(crate) fn lost(&mut self, slot: u32) -> Option<CallId> {
        let session = self.sessions.values_mut().find(|session| session.slot == Some(slot))?;
        session.computed = 0;
        if session.call.is_none() {
            self.reserved -= session.reserved;
            session.reserved = 0;
        }
        session.call
    }

    /// Takes a running compute off its cells and lets it wait at the head of the queue. Its tokens are computed
    /// again, and so are the logits of all of them where it wants all.
    pub(crate) fn requeue(&mut self, call: CallId) {
        let Some(at) = self.running.iter().position(|running| running.call == call) else { return };
        let running = self.running.remove(at);
        self.vacate(running.key);
        if let Some(session) = self.sessions.get_mut(&running.key) {
            session.runs = false;
        }
        let request = Request {
            call,
            key: running.key,
            tokens: Vec::new(),
            placement: Placement::Append,
            extra: running.extra,
            outputs: running.outputs,
            route: running.route,
            priority: running.priority,
            credit: u32::try_from(running.credit).unwrap_or(0),
        };
        self.waiting.insert(0, Waiting { request, arrival: 0, choosing: running.choosing });
    }

    /// Computes that run, in the order of their admission.
    pub(crate) fn running(&self) -> impl Iterator<Item = CallId> + '_ {
        self.running.iter().map(|running| running.call)
    }

    /// Counts for statistics.
    pub(crate) fn counts(&self) -> Counts {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Counts {
            sequences: count(self.sessions.values().filter(|session| session.slot.is_some()).count()),
            running: count(self.running.len()),
            waiting: count(self.waiting.len()),
            paused: count(self.running.iter().filter(|running| running.is_paused()).count()),
            reserved: self.reserved,
        }
    }

    /// Takes cells and sequence id away; the history stays.
    fn vacate(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        self.reserved -= session.reserved;
        session.reserved = 0;
        session.computed = 0;
        if let Some(slot) = session.slot.take() {
            self.ops.push(Op::Trim { slot, keep: 0 });
            self.free.push(slot);
        }
    }
}
