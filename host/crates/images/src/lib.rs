//! Applications from OCI registries: what `spin registry push` published becomes a locked application on this disk.
//!
//! What an image holds is decided without a network and without a disk: `image` reads its manifest, `locked` the
//! application in it, and `plan` says which blobs are needed for it. `registry` fetches them, `fetch` into `store`, which
//! keeps blobs by their digests and verifies them, and `archive` takes files out of archive layers. `pull` is the whole
//! way. `hold` keeps what running hosts use from being removed, and `prune` removes what takes too much room.
//!
//! Nothing of an image chooses a path on this disk: blobs have the names of their digests, and where a component finds
//! its files is a path in the component's own tree.

#![forbid(unsafe_code)]

mod archive;
mod bounds;
mod credentials;
mod digest;
mod errors;
mod fetch;
mod hold;
mod image;
mod locked;
mod partial;
mod plan;
mod progress;
mod prune;
mod pull;
mod reference;
mod registry;
mod store;
mod tls;

pub use digest::{Digest, DigestError};
pub use errors::PullError;
pub use hold::Held;
pub use image::ImageError;
pub use locked::LockedError;
pub use plan::PlanError;
pub use progress::Progress;
pub use prune::{Pruned, prune};
pub use pull::{Placed, Pull, Pulled, embedded, pull};
pub use reference::{ReferenceError, is_probably_reference};
pub use registry::RegistryError;
pub use store::StoreError;
pub use tls::provide_tls;
