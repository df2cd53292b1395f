//! What the server needs of a component.

use bobbin_runtime::{BrokenAnswer, Call, Failure, Handler};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use std::future::Future;

/// Answers requests. [`Handler`] is the real one; tests bring their own.
pub trait Handle: Send + Sync + 'static {
    /// The body of an answer. It ends in an error, never cleanly, when the answer broke off.
    type Body: Body<Data = Bytes, Error = BrokenAnswer> + Send + 'static;

    /// Answers one request. Dropping the future, or the body, gives the request up.
    fn handle(&self, call: Call) -> impl Future<Output = Result<Response<Self::Body>, Failure>> + Send;
}

impl Handle for Handler {
    type Body = bobbin_runtime::AnswerBody;

    fn handle(&self, call: Call) -> impl Future<Output = Result<Response<Self::Body>, Failure>> + Send {
        Self::handle(self, call)
    }
}
