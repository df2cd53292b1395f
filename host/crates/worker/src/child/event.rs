//! What reaches the engine's thread, from the link and from its helpers.

use super::schedule::Token;
use bobbin_inference::InferenceError;
use bobbin_inference::wire::{CallId, ToWorker};

/// Something that happened outside the engine's thread.
#[allow(clippy::large_enum_variant, reason = "nearly everything that arrives is the large variant")]
pub(super) enum Event {
    /// The host said something.
    Host(ToWorker),
    /// Text became tokens: one list for each text of the compute.
    Prepared(CallId, Result<Vec<Vec<Token>>, InferenceError>),
    /// A grammar compiled, or did not.
    Compiled(CallId, Result<(), InferenceError>),
    /// A constrained sampler chose among these logits; `None` where the grammar allows nothing more.
    Chosen(CallId, Result<Option<Token>, InferenceError>, Vec<f32>),
}
