//! The application that a component is part of, as requests of its own components reach it.

use crate::answer::{BrokenAnswer, RequestBody};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;

/// Whom a component asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callee {
    /// Whatever answers to the request's path.
    Routes,
    /// The component of this id: service chaining.
    Component(String),
}

/// The answer's body.
pub type CallBody = UnsyncBoxBody<Bytes, BrokenAnswer>;

/// A call within the application that was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No trigger runs such a component.
    #[error("the application has no component \"{0}\" that a trigger runs; give it one, with a private route")]
    UnknownComponent(String),
    /// Components call each other in a circle, or nearly so.
    #[error("components have called each other {0} deep, which is as deep as they may")]
    TooDeep(u32),
    /// The request or the host works on as many calls as it may.
    #[error("{0} calls between components are open, as many as there may be; try again soon")]
    TooMany(usize),
}

/// Answers calls between the components of one request. A call belongs to its request: it is admitted with it, ends with
/// it, and what it holds is charged to it.
pub trait Application: Send + Sync {
    /// Asks a component. Dropping the future, or the answer's body, gives the call up.
    ///
    /// # Errors
    /// [`CallError`] where no component was asked. A component that gave no answer is one with status 5xx.
    fn call(
        &self,
        callee: Callee,
        request: http::Request<RequestBody>,
    ) -> BoxFuture<'static, Result<http::Response<CallBody>, CallError>>;
}
