//! Who waits for an answer may leave; then nobody works for it any more.

use bobbin_inference::{Cause, RequestContext};
use std::sync::Arc;

/// Cancels the request when whoever waits for its answer goes away.
pub(crate) struct CancelGuard(pub(crate) Option<Arc<RequestContext>>);

impl CancelGuard {
    /// The answer is complete; nothing is left to cancel.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(context) = self.0.take() {
            context.end(Cause::ClientGone);
        }
    }
}
