//! Requests to the application itself: to its routes, or to a component by name.

use crate::answer::RequestBodyError;
use crate::application::{Application, CallError, Callee};
use http::{Request, Response};
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::task::JoinHandle;
use wasmtime_wasi_http::{Error, WasiBody};

/// Asks in a task of its own: the other guest's time is not this one's, and both may run at once.
pub(super) async fn call(
    application: &Arc<dyn Application>,
    callee: Callee,
    request: Request<WasiBody>,
    component: &str,
) -> Result<Response<WasiBody>, Error> {
    let broken = |error: Error| RequestBodyError::Connection(Box::new(error));
    let request = request.map(|body| body.map_err(broken).boxed_unsync());
    let mut asked = AbortOnDrop(tokio::spawn(application.call(callee, request)));
    match (&mut asked.0).await {
        Ok(Ok(response)) => {
            // Why it broke is in the log under the same request.
            let broken = |_broken| Error::HttpResponseIncomplete;
            Ok(response.map(|body| body.map_err(broken).boxed_unsync()))
        }
        Ok(Err(error)) => {
            tracing::warn!(%component, "a call to the application itself was not made: {error}");
            Err(to_wasi(&error))
        }
        Err(lost) => Err(Error::InternalError(Some(format!("the host lost the task of the call: {lost}")))),
    }
}

fn to_wasi(error: &CallError) -> Error {
    match error {
        CallError::UnknownComponent(_) => Error::DestinationNotFound,
        CallError::TooDeep(_) => Error::LoopDetected,
        CallError::TooMany(_) => Error::ConnectionLimitReached,
    }
}

/// Who no longer waits for the answer wants nobody to work for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
