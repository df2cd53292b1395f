//! Where inference is accounted: every record goes into the metrics, and its tokens to the key that asked for them.

use crate::metrics::Metrics;
use bobbin_inference::{InferenceRecord, Recorder};
use bobbin_keys::Keys;
use std::sync::Arc;

/// Takes the records of all sessions.
#[derive(Debug)]
pub struct Ledger {
    metrics: Arc<Metrics>,
    keys: Arc<Keys>,
}

impl Ledger {
    /// One that counts into these metrics and these keys.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, keys: Arc<Keys>) -> Self {
        Self { metrics, keys }
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }
}

impl Recorder for Ledger {
    fn record(&self, record: InferenceRecord) {
        if let Some(key) = &record.principal {
            let usage = record.usage;
            // Cached tokens are among those of the prompt: what is sent counts, whatever it cost.
            self.keys.charge(key, u64::from(usage.input_tokens) + u64::from(usage.output_tokens));
        }
        self.metrics.record(record);
    }

    fn refused(&self, trigger: &Arc<str>, graph: &str) {
        Recorder::refused(&*self.metrics, trigger, graph);
    }
}
