//! What a checked application needs before it can run: the bytes of its components, and copies of the files that they
//! may read.
//!
//! The manifest says what there should be; this crate makes it, and reports what is wrong at the manifest's line. A core
//! module becomes a component (`modules`), gets its dependencies (`compose`, `graph`) without what those do not inherit
//! (`deny`, `refusal`), and stands behind the middleware of its trigger. Files are copied (`mounts`).

#![forbid(unsafe_code)]

mod answers;
mod bytes;
mod chained;
mod compose;
mod copy;
mod deny;
mod graph;
mod modules;
mod mounts;
mod refusal;
mod size;
mod units;

pub use mounts::Mount;
pub use size::Size;
pub use units::{Unit, load};
