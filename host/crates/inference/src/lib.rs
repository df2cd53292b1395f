//! The vocabulary that host and worker speak: graphs and sessions, requests and answers, options,
//! errors, records, and the wire protocol between the two processes.
//!
//! This crate does no inference and opens no file. The worker implements [`Graph`] and [`Session`] on the
//! host's side of its socket; releases hand graphs out; the sandbox's wasi-nn calls them; metering, and
//! later shadowing and guards, wrap them.

#![forbid(unsafe_code)]

mod account;
mod context;
mod cpu;
mod error;
mod graph;
mod metered;
mod options;
mod output;
mod record;
mod stop;
mod tools;
mod utf8;
pub mod wire;
mod work;

pub use account::{Account, Charge, OverAccount};
pub use context::{BundleLog, Cause, CauseSlot, Deadlines, RequestContext, RequestId, TraceParent};
pub use cpu::{CpuBudget, thread_time};
pub use error::{ErrorKind, InferenceError, MAX_MESSAGE_BYTES, Reason};
pub use graph::{Class, Graph, GraphInfo, GraphKind, Priority, Scope, Session};
pub use metered::{Meter, Metered};
pub use options::{Constraint, Options, OptionsPatch, Sampling, StopList};
pub use output::{Embeddings, FinishReason, Generated, Metadata, Output, TokenLogprob, Usage, Values};
pub use record::{InferenceRecord, Recorder, Timings};
pub use stop::StopFilter;
pub use tools::{Calls, MAX_TOOLS_BYTES, NoChoice, ToolCall, ToolChoice, ToolUse};
pub use utf8::Utf8Assembler;
pub use work::{Prompt, Work};
