//! The protocol between host and worker: length-delimited frames over a socket pair.
//!
//! A frame is its length as a little-endian u32, then one postcard-encoded message. The first frame in each
//! direction says version and build id; a worker of another build is refused, so the encoding of everything
//! that follows may change with every build and needs no migration.

mod frame;
mod message;
mod path;

pub use frame::{FrameError, MAX_FRAME, append_frame, decode, encode, read_frame, write_frame};
pub use message::{
    CallContext, CallId, Device, Examination, FromWorker, Greeting, LoadSpec, Loaded, Offload, Offloaded, Phase, Probe,
    Reference, SessionId, ToWorker, WorkerStats,
};

/// Raised when the meaning of a frame changes.
pub const PROTOCOL_VERSION: u32 = 3;

/// The same for all executables built from the same sources.
pub const BUILD_ID: &str = env!("BOBBIN_BUILD_ID");
