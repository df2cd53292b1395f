//! Which bundle version serves which trigger.
//!
//! A release is what a trigger's graph name resolves to. The whole table of releases is one immutable value
//! behind one swap: readers take it once per request and keep what they saw, the one writer replaces it. What
//! a request may use is decided at admission ([`Releases::pin`]) and never again: everything later only reads
//! its [`Pins`], and each pin's lease keeps the version's worker alive for as long as the request lives.

#![forbid(unsafe_code)]

mod live;
mod pins;
mod releases;
mod start;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod version;

pub use live::{Launcher, Live, Source, Vitals};
pub use pins::{Pinned, Pins};
pub use releases::{Readiness, Releases, Unready};
pub use start::{Declared, ServeError, serve};
pub use status::{State, Status};
pub use table::{Release, ReleaseId, Table};
pub use version::{Lease, Version};
