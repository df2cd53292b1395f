//! What a scheduler is asked, and what it answers.

use bobbin_inference::wire::CallId;
use bobbin_inference::{Priority, Scope};
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
    /// What a session that is over has left behind, for others that begin alike.
    Cached(u64),
    /// The bundle's shared prefix.
    Prefix,
}

/// What there is to share out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Key-value cells, those of the bundle's prefix included.
    pub(crate) cells: u32,
    /// The most cells kept for what is over; 0 where sequences cannot share cells.
    pub(crate) cached: u32,
    /// The fewest cells that are worth sharing, or waiting for.
    pub(crate) alike: u32,
    /// The most tokens of one sequence; never more than `cells`.
    pub(crate) context: u32,
    /// The most sequences computing in one step.
    pub(crate) parallel: usize,
    /// Sequence ids: those computing, those whose reader is slow, and those keeping cells.
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
    /// Those from this position on.
    From(u32),
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
    /// Who asks: routes are treated fairly, and only what is of one scope is shared.
    pub(crate) scope: Arc<Scope>,
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
    /// Let an empty sequence share the first cells of another.
    Share {
        /// The sequence id of the other one.
        from: u32,
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

/// Who waits for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Computes that wait for their first token, those in the queue included.
    pub(crate) prompts: usize,
    /// Computes that wait for their next token.
    pub(crate) answers: usize,
}

/// Counts for the worker's statistics.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sequences that hold cells.
    pub(crate) sequences: u32,
    /// Sequences computing, those whose reader is slow included.
    pub(crate) running: u32,
    /// Computes waiting for cells.
    pub(crate) waiting: u32,
    /// Sequences whose reader is slow.
    pub(crate) paused: u32,
    /// Cells held or reserved, the bundle's prefix included; what is shared counts once.
    pub(crate) reserved: u32,
    /// Cells held only for what is over.
    pub(crate) cached: u32,
}
