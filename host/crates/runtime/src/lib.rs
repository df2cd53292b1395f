//! Runs components: wasmtime, a fresh store for each request (or, for components that ask for it, one for many), and
//! wasi-nn on top of releases.
//!
//! [`Runtime`] compiles and links components once; [`Handler::handle`] runs one request in an instance of its
//! own, or in one that has answered others, and [`Listener::handle`] one message. What a guest may reach is in its [`ComponentSpec`], in the request's pins and
//! in its [`Application`], nothing else.

#![forbid(unsafe_code)]

mod answer;
mod application;
mod background;
mod call;
mod component;
mod cpu;
mod engine;
mod guard;
mod handler;
mod listener;
mod llm;
mod memory;
mod nn;
mod outbound;
mod output_files;
mod output_log;
mod reuse;
mod spin;
mod state;
mod store_task;
mod stubs;

pub use answer::{AnswerBody, BrokenAnswer, Failure, RequestBody, RequestBodyError};
pub use application::{Application, CallBody, CallError, Callee};
pub use background::GiveWay;
pub use call::{Call, Message};
pub use component::{ComponentSpec, Folder, LoadError, Loaded};
pub use engine::{EngineError, InstanceSize, Runtime, RuntimeConfig};
pub use handler::Handler;
pub use listener::{Listener, Unhandled};
pub use outbound::{
    Calls, ClientTls, ClientTlsError, ClientTlsFiles, DialError, Dialer, Duplex, HostTls, OutboundConfig,
};
pub use output_files::{OutputError, OutputFiles, OutputWriter};
pub use output_log::Output;
pub use state::OPEN_HANDLES;
