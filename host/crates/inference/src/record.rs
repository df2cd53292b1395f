//! One record per session that computed: the only source of metrics, audit, drift and accounting.

use crate::{FinishReason, Reason, RequestId, Usage};
use std::sync::Arc;
use std::time::Duration;

/// How long things took, as the host saw them.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    /// From the first compute to the end of the session.
    pub total: Duration,
    /// From the first compute to its first text.
    pub first_token: Option<Duration>,
    /// Between two parts of a streamed answer: seconds per token, one entry per part.
    pub inter_token: Vec<f32>,
}

/// What one session did.
#[derive(Debug, Clone)]
pub struct InferenceRecord {
    /// The request it worked for.
    pub request: RequestId,
    /// The trigger that admitted the request.
    pub trigger: Arc<str>,
    /// Who asked, where the host knows: the id of an API key.
    pub principal: Option<Arc<str>>,
    /// The graph's name in the component.
    pub graph: Arc<str>,
    /// `name@version` that answered.
    pub bundle: Arc<str>,
    /// `sha256:<hex>` of it.
    pub digest: Arc<str>,
    /// The release's generation when the version was pinned.
    pub generation: u64,
    /// Computes in this session.
    pub computes: u32,
    /// Tokens over all computes.
    pub usage: Usage,
    /// Times.
    pub timings: Timings,
    /// How the last answer ended; `None` where it did not.
    pub finish: Option<FinishReason>,
    /// Why it failed, where it did.
    pub error: Option<Reason>,
}

/// Takes records. Called on the request's own task: it must not block.
pub trait Recorder: Send + Sync {
    /// Takes one record.
    fn record(&self, record: InferenceRecord);

    /// A component of `trigger` asked for a graph that it is not granted. The name is the component's own
    /// choice: unbounded, and no label. Ignored where nobody counts.
    fn refused(&self, trigger: &Arc<str>, graph: &str) {
        let _ = (trigger, graph);
    }
}
