//! What each key has used, read when somebody asks.
//!
//! The label is a key's id, never more of it. Ids are bounded by the file of the keys; one that was never used has no
//! line, and one that is forgotten loses its own.

use bobbin_keys::{KeyId, Keys};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabels {
    key: Arc<str>,
}

/// Writes them in the OpenMetrics text format, without its end mark.
pub(crate) fn encode(text: &mut String, keys: &Keys) -> fmt::Result {
    let counters = Family::<KeyLabels, Counter>::default;
    let (admitted, limited, tokens) = (counters(), counters(), counters());
    let label = |id: &KeyId| KeyLabels { key: id.shared() };
    for used in keys.uses() {
        admitted.get_or_create(&label(&used.id)).inc_by(used.admitted);
        limited.get_or_create(&label(&used.id)).inc_by(used.limited);
        tokens.get_or_create(&label(&used.id)).inc_by(used.tokens);
    }
    let mut registry = Registry::with_prefix("bobbin");
    registry.register("key_requests", "Requests that a key was taken for", admitted);
    registry.register("key_limited", "Requests that a key's limits refused", limited);
    registry.register("key_tokens", "Tokens of prompts and answers, by key", tokens);
    encode_registry(text, &registry)
}
