//! What a component is called with.

use crate::answer::RequestBody;
use crate::application::Application;
use bobbin_inference::RequestContext;
use bobbin_release::Pins;
use std::any::Any;
use std::sync::Arc;

/// One request for a component, with an authority or a `host` header; or one [`Message`].
pub struct Call<R = http::Request<RequestBody>> {
    /// What it is asked.
    pub request: R,
    /// Of the request.
    pub context: Arc<RequestContext>,
    /// The versions decided for it.
    pub pins: Pins,
    /// Admission's permit: dropped when the instance is gone, not when the answer is.
    pub permit: Box<dyn Any + Send>,
    /// The component's own application, where its requests may reach it.
    pub application: Option<Arc<dyn Application>>,
    /// Another component of the same request asks.
    pub chained: bool,
}

impl<R> Call<R> {
    /// The same for something else that is asked.
    pub(crate) fn map<W>(self, of: impl FnOnce(R) -> W) -> Call<W> {
        let Self { request, context, pins, permit, application, chained } = self;
        Call { request: of(request), context, pins, permit, application, chained }
    }
}

/// What was published to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message(
    /// Its content.
    pub bytes::Bytes,
);
