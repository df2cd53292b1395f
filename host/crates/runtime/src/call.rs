//! What a component is called with.

use crate::answer::RequestBody;
use crate::application::Application;
use bobbin_inference::RequestContext;
use bobbin_release::Pins;
use std::any::Any;
use std::sync::Arc;

/// One request for a component.
pub struct Call {
    /// The request, with an authority or a `host` header.
    pub request: http::Request<RequestBody>,
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
