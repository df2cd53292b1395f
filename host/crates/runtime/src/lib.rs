//! Runs components: wasmtime, a fresh store for each request (or, for components that ask for it, one for many), and
//! wasi-nn on top of releases.
//!
//! [`Runtime`] compiles and links components once; [`Handler::handle`] runs one request in an instance of its
//! own, or in one that has answered others. What a guest may reach is in its [`ComponentSpec`] and in the request's pins, nothing else.

#![forbid(unsafe_code)]

mod answer;
mod background;
mod call;
mod component;
mod cpu;
mod engine;
mod guard;
mod handler;
mod memory;
mod nn;
mod outbound;
mod output_log;
mod reuse;
mod spin;
mod state;
mod store_task;

pub use answer::{AnswerBody, BrokenAnswer, Failure, RequestBody, RequestBodyError};
pub use call::Call;
pub use component::{ComponentSpec, LoadError};
pub use engine::{EngineError, Runtime, RuntimeConfig};
pub use handler::Handler;
