//! Starts the real `bobbin` binary with real models, and talks to it as its users do.
//!
//! Tests read as sentences: `TestHost::example().start().await`, then requests, then what a person would look
//! at: answers, headers, metrics, the log.

#![allow(clippy::print_stdout, reason = "a skip says why")]

mod app;
mod client;
mod host;
mod memory;
mod metrics;
mod paths;
mod raw;

pub use app::TestApp;
pub use client::{Answer, Events};
pub use host::{TestHost, TestHostBuilder, eventually};
pub use memory::MemoryWatch;
pub use metrics::Metrics;
pub use paths::{bobbin, fixture_component, repository_root, shared_models};
pub use raw::RawConnection;

/// What a test returns: a failure names its cause instead of a line number alone.
pub type Result<T = ()> = anyhow::Result<T>;
