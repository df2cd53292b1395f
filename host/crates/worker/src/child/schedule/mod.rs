//! Which sequence computes what next: a structure without llama.cpp and without clocks, so that every rule
//! is tested without either.
//!
//! A compute waits until the cells for its whole prompt and answer are reserved, so a running one never finds
//! the cache full. At most `parallel` computes run. Sessions that have finished a compute keep their cells
//! for the next one until somebody else needs them; then the longest unused gives them up, and its tokens are
//! computed again when it continues. Among those that wait, requests go before shadows, and the route that
//! holds the fewest cells goes first, so a busy route cannot keep the others out; nobody overtakes within a
//! route, and nobody smaller overtakes the one whose turn it is, so a long prompt is not starved either.
//!
//! A step takes one token from each computing sequence whose reader keeps up, then prompts in chunks, shared
//! evenly between the routes that have prompts pending.

mod admit;
mod plan;
#[cfg(test)]
mod tests;

use bobbin_inference::wire::CallId;
use bobbin_inference::{InferenceError, Priority, Reason};
use std::collections::HashMap;
use std::sync::Arc;

/// A token id of the vocabulary.
pub(crate) type Token = i32;

/// Names a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A session of the host; it stays after its compute.
    Session(u64),
    /// The sequence of one scoring compute; it ends with it.
    Score(CallId),
}

/// What there is to share out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Key-value cells for sessions.
    pub(crate) cells: u32,
    /// The most tokens of one sequence; never more than `cells`.
    pub(crate) context: u32,
    /// The most sequences computing at once.
    pub(crate) parallel: usize,
    /// Sequence ids: those computing and those keeping cells.
    pub(crate) slots: u32,
    /// The most rows of one step.
    pub(crate) batch: usize,
    /// The most rows of one step whose logits are wanted.
    pub(crate) outputs: usize,
    /// The most computes that wait.
    pub(crate) queue: usize,
    /// The most sessions whose history is kept.
    pub(crate) sessions: usize,
}

/// How a compute's tokens meet the session's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// They continue it.
    Append,
    /// They are the whole conversation; what both begin with stays computed.
    Replace,
}

/// Which rows need logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// The last one.
    Last,
    /// All of them.
    All,
}

/// A compute that wants to run.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Names it.
    pub(crate) call: CallId,
    /// Its sequence.
    pub(crate) key: Key,
    /// Its tokens.
    pub(crate) tokens: Vec<Token>,
    /// How they meet the history.
    pub(crate) placement: Placement,
    /// The most tokens sampled after them.
    pub(crate) extra: u32,
    /// Which logits it needs.
    pub(crate) outputs: Outputs,
    /// Who asks, for fairness.
    pub(crate) route: Arc<str>,
    /// What goes first.
    pub(crate) priority: Priority,
    /// Tokens that its reader takes before giving more credit.
    pub(crate) credit: u32,
}

/// One token of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// The compute.
    pub(crate) call: CallId,
    /// Its sequence id.
    pub(crate) slot: u32,
    /// The token.
    pub(crate) token: Token,
    /// Its position.
    pub(crate) pos: u32,
    /// Whether its logits are wanted.
    pub(crate) output: bool,
}

/// A change of the key-value cache that must happen before the next step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Keep the first cells of a sequence, drop the rest.
    Trim {
        /// The sequence id.
        slot: u32,
        /// Cells kept; 0 empties it.
        keep: u32,
    },
    /// Let an empty sequence share the first cells of the bundle's prefix.
    Share {
        /// The sequence id.
        slot: u32,
        /// Cells shared.
        len: u32,
    },
}

/// What became of the waiting ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// Changes to apply.
    pub(crate) ops: Vec<Op>,
    /// Computes that run now, and how many of their tokens were computed already.
    pub(crate) admitted: Vec<(CallId, u32)>,
}

/// Counts for the worker's statistics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sequences that hold cells.
    pub(crate) sequences: u32,
    /// Sequences computing.
    pub(crate) running: u32,
    /// Computes waiting for cells.
    pub(crate) waiting: u32,
    /// Sequences whose reader is slow.
    pub(crate) paused: u32,
    /// Cells reserved.
    pub(crate) reserved: u32,
}

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
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    arrival: u64,
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
        self.waiting.push(Waiting { request, arrival: self.clock });
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

    /// A token was chosen for a compute. Returns whether the context is full.
    pub(crate) fn chosen(&mut self, call: CallId, token: Token) -> bool {
        let context = self.limits.context as usize;
        let Some(running) = self.running.iter_mut().find(|running| running.call == call) else { return true };
        running.choosing = false;
        running.credit -= 1;
        running.extra = running.extra.saturating_sub(1);
        let Some(session) = self.sessions.get_mut(&running.key) else { return true };
        session.tokens.push(token);
        session.tokens.len() >= context
    }

    /// How many tokens a compute may still send.
    pub(crate) fn credit_left(&self, call: CallId) -> i64 {
        self.running.iter().find(|running| running.call == call).map_or(0, |running| running.credit)
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

    /// Takes a running compute off its cells and lets it wait at the head of the queue.
    pub(crate) fn requeue(&mut self, call: CallId) {
        let Some(at) = self.running.iter().position(|running| running.call == call) else { return };
        let running = self.running.remove(at);
        self.vacate(running.key);
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
        self.waiting.insert(0, Waiting { request, arrival: 0 });
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
            paused: count(self.running.iter().filter(|running| running.credit <= 0 && !running.choosing).count()),
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
