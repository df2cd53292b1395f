//! The process that runs one bundle version: llama.cpp, batching, sampling; and the host's end of it.
//!
//! `child` is what runs inside the worker process; `supervisor` is what the host holds: it starts the
//! process, speaks the wire protocol with it, and starts it again when it dies. Nothing outside this crate
//! calls llama.cpp, and nothing in `supervisor` does.

pub mod child;
mod length;
pub mod memory;
mod size;
pub mod slice;
pub mod supervisor;
