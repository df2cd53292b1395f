//! What a model bundle is on disk: manifest, digests, repository, verification.
//!
//! A bundle is the folder `<repository>/<name>/<version>/` with a `bundle.toml` (formats 1 and 2, specified
//! in `docs/bundle-format.md`) and the files that it lists. [`Repository`] finds bundles, [`Bundle::verify`] hashes
//! every byte into a [`BlobStore`] and checks the weights in Rust ([`gguf`]) before llama.cpp sees them.
//!
//! Holding a [`VerifiedBundle`] means that all of this succeeded; there is no other way to make one.

mod blobs;
mod bundle;
mod checks;
mod digest;
mod draft;
mod error;
pub mod gguf;
mod hashing;
mod import;
mod manifest;
mod parse;
mod regular;
mod repository;
mod tree;
mod verify;
mod watch;

pub use blobs::{BlobStore, Collected};
pub use bundle::Bundle;
pub use digest::{Digest, ParseDigestError};
pub use draft::{Draft, DraftError};
pub use error::{BundleError, VerifyError};
pub use hashing::{Pace, Progress};
pub use import::{ImportError, import};
pub use manifest::{
    Card, Defaults, Encoding, Evaluation, FORMAT, FileEntry, Fingerprint, Kind, Limits, Manifest, Prompt, Role,
    Sequence, WarmUp,
};
pub use regular::open_regular;
pub use repository::{Listed, Repository};
pub use verify::{FileReport, Report, VerifiedBundle, WeightsSummary, verify_in_place};
pub use watch::{BundleChange, ChangeKind, RepositoryWatch};
