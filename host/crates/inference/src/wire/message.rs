//! The messages of the protocol.

use crate::{FinishReason, GraphKind, InferenceError, Priority, Scope, TokenLogprob, ToolCall, Usage, Work};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Names a session between one host and one worker; never used twice.
pub type SessionId = u64;

/// Names one compute; never used twice.
pub type CallId = u64;

/// The first frame in each direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`super::PROTOCOL_VERSION`].
    pub protocol: u32,
    /// [`super::BUILD_ID`].
    pub build: String,
}

impl Greeting {
    /// What this build says.
    #[must_use]
    pub fn ours() -> Self {
        Self { protocol: super::PROTOCOL_VERSION, build: super::BUILD_ID.to_owned() }
    }
}

/// What the executable of a worker says of itself when it is asked, as JSON on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which hosts it works for.
    #[serde(flatten)]
    pub greeting: Greeting,
    /// The GPUs that it can compute on.
    pub devices: Vec<Device>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// What llama.cpp calls it, such as `CUDA0`.
    pub name: String,
    /// What its maker calls it.
    pub description: String,
    /// Its memory.
    pub memory_bytes: u64,
    /// What of it is free.
    pub free_bytes: u64,
}

/// How a model is divided between GPU and processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offload {
    /// Layers to compute on the GPU; as many as fit where nothing is said.
    pub layers: Option<u32>,
    /// Key-value cells that need room beside them; no fewer than there will be.
    pub cells: u32,
}

/// How a model was divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offloaded {
    /// The GPUs, by name and description.
    pub devices: String,
    /// Layers computed there.
    pub layers: u32,
    /// Layers in all.
    pub of: u32,
}

/// What to load, and how to prove that it works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadSpec {
    /// `name@version`.
    pub bundle: String,
    /// What the model does.
    pub kind: GraphKind,
    /// The weights: a blob that was verified.
    #[serde(with = "super::path")]
    pub weights: PathBuf,
    /// The tokenizer.json that the bundle ships, a blob too: it must agree with the weights' vocabulary.
    #[serde(with = "super::path::optional")]
    pub tokenizer: Option<PathBuf>,
    /// The most tokens that one session holds.
    pub context: u32,
    /// The most sequences decoded at once.
    pub parallel: u32,
    /// Compute threads, until [`ToWorker::Threads`] says otherwise.
    pub threads: u32,
    /// What a worker for GPUs computes there; the processor computes all where nothing is said.
    pub gpu: Option<Offload>,
    /// Overrides the chat template of the GGUF.
    pub chat_template: Option<String>,
    /// A prefix that all scopes share.
    pub prefix: Option<String>,
    /// Prompts computed before the worker says that it is ready.
    pub warm_up: Vec<String>,
    /// Sequences with recorded log-probabilities.
    pub fingerprint: Vec<Reference>,
    /// How far a log-probability may be from its record.
    pub tolerance: f32,
    /// Texts of which sequences are recorded: what a fingerprint is made of. None but where a bundle is being made.
    pub record: Vec<String>,
}

/// One sequence of the fingerprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The whole sequence.
    pub tokens: Vec<i32>,
    /// log p(tokens[i] | tokens[..i]) for i >= 1.
    pub logprobs: Vec<f32>,
}

/// What every compute carries of its request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallContext {
    /// The request, for the worker's log.
    pub request: String,
    /// W3C trace parent.
    pub trace: String,
    /// Milliseconds until the soft deadline, at the moment of sending: clocks need not agree.
    pub remaining_ms: u64,
    /// Bytes that the request's account can still hold; an answer over it is refused, not sent.
    pub account: u64,
    /// What goes first.
    pub priority: Priority,
    /// Who may share prefixes.
    pub scope: Scope,
}

/// Host to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// First frame.
    Hello(Greeting),
    /// Second frame.
    Load(LoadSpec),
    /// Start a compute; the session begins with its first one.
    Compute {
        /// The session.
        session: SessionId,
        /// The compute.
        call: CallId,
        /// Of its request.
        context: CallContext,
        /// Tokens that may be sent before the reader asks for more.
        credit: u32,
        /// What to do.
        work: Work,
    },
    /// The reader took so many tokens of a compute.
    Credit {
        /// The compute.
        call: CallId,
        /// Tokens taken.
        tokens: u32,
    },
    /// Nobody waits for this compute any more; its session's history ends where it is.
    Cancel {
        /// The compute.
        call: CallId,
    },
    /// The session is over; cancels its compute too.
    Close {
        /// The session.
        session: SessionId,
    },
    /// Does the engine still turn? Answered with [`FromWorker::Pong`] between two steps.
    Ping,
    /// Compute with so many threads from the next step on.
    Threads(u32),
}

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Weights are being read.
    Loading,
    /// Warm-up prompts and fingerprint.
    Warming,
}

/// What the worker found when it loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// Tokens in the vocabulary.
    pub vocabulary: u32,
    /// Names the vocabulary: sha256 in hex over all tokens and special tokens.
    pub vocabulary_digest: String,
    /// Bytes of the longest token, where a text of n bytes has at least n divided by it tokens.
    pub longest_token: Option<u32>,
    /// Tokens of the context that the model was trained with.
    pub trained_context: u32,
    /// Key-value cells, shared by all sequences.
    pub cells: u32,
    /// Largest difference from the fingerprint; `None` where the bundle has none.
    pub deviation: Option<f32>,
    /// llama.cpp's account of the CPU features it uses.
    pub system: String,
    /// What a GPU computes, where one does.
    pub gpu: Option<Offloaded>,
    /// What was recorded of [`LoadSpec::record`], in its order.
    pub recorded: Vec<Reference>,
    /// The rules of the cage: name, and why it does not hold where it does not.
    pub cage: Vec<(String, Option<String>)>,
}

/// What a machine gives a worker, as one that closed its cage there found it: JSON on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Which hosts it works for.
    #[serde(flatten)]
    pub greeting: Greeting,
    /// llama.cpp's account of the CPU features it uses.
    pub system: String,
    /// The rules of the cage: name, and why it does not hold where it does not.
    pub cage: Vec<(String, Option<String>)>,
    /// The version of the kernel's landlock; 0 where it has none.
    pub landlock_abi: u32,
    /// Whether threads may ask for short slices of processor time.
    pub short_slices: bool,
}

/// What a worker is doing, sent after a step that changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Sequences that hold cells, running or idle.
    pub sequences: u32,
    /// Sequences being computed.
    pub running: u32,
    /// Computes that wait for cells.
    pub waiting: u32,
    /// Sequences paused because their reader is slow.
    pub paused: u32,
    /// Cells that sessions hold or will need; what they share counts once.
    pub cells_reserved: u32,
    /// Cells kept for what is over, for others that begin alike.
    pub cells_cached: u32,
    /// Cells in all.
    pub cells: u32,
    /// Steps since the start.
    pub steps: u64,
    /// Computes ended because their session or request was given up.
    pub cancelled: u64,
    /// `decode` found no room although cells were reserved: a bug.
    pub overcommits: u64,
}

/// Worker to host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// First frame.
    Hello(Greeting),
    /// Loading goes on.
    Progress(Phase),
    /// Loading failed, for this reason; the worker exits.
    LoadFailed {
        /// What, where, why, and the next step.
        message: String,
    },
    /// Computes may come.
    Ready(Loaded),
    /// New text of a generation.
    Piece {
        /// The compute.
        call: CallId,
        /// Whole characters, no part of a stop string; may be empty while either is held back.
        text: String,
        /// Tokens so far.
        usage: Usage,
        /// Of the tokens in this piece, when asked for.
        logprobs: Vec<TokenLogprob>,
        /// The calls of tools that the answer has; in the last piece.
        tool_calls: Vec<ToolCall>,
        /// Present in the last piece.
        finish: Option<FinishReason>,
    },
    /// Logits or scores.
    Values {
        /// The compute.
        call: CallId,
        /// FP32.
        values: Vec<f32>,
        /// Tokens.
        usage: Usage,
    },
    /// Vectors.
    Embeddings {
        /// The compute.
        call: CallId,
        /// FP32, row by row.
        values: Vec<f32>,
        /// Length of a row.
        dimensions: u32,
        /// Tokens.
        usage: Usage,
    },
    /// The compute failed.
    Failed {
        /// The compute.
        call: CallId,
        /// Why.
        error: InferenceError,
    },
    /// What the worker is doing.
    Stats(WorkerStats),
    /// The engine turns.
    Pong,
}
