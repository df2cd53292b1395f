//! Calls between the components of an application, within one request. The request's admission, deadlines, account and
//! versions are theirs; a call takes no permit from admission, or calls that wait for each other would use them up.

use crate::admission::Admission;
use crate::app::{App, log_failure};
use crate::asker::VERSION;
use crate::handle::Handle;
use crate::problem::Problem;
use crate::routes::{Answers, Component};
use crate::spin_headers;
use bobbin_inference::RequestContext;
use bobbin_release::Pins;
use bobbin_runtime::{Application, Call, CallBody, CallError, Callee, RequestBody};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, request};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::sync::Arc;

/// How deep components call each other. A request's account holds a store's handles so many times.
const MOST_DEEP: u32 = 8;
/// Calls of one request at once: one guest does not take those of all others.
const MOST_OPEN: usize = 16;

/// The application, as the components of one request reach it.
pub(crate) struct Inside<H> {
    app: Arc<App<H>>,
    context: Arc<RequestContext>,
    /// The versions of each trigger that may be called, decided with the request's own.
    pins: Arc<[(Arc<str>, Pins)]>,
    /// Calls that this one is made in.
    depth: u32,
    /// Of the request.
    open: Arc<Admission>,
}

impl<H> Clone for Inside<H> {
    fn clone(&self) -> Self {
        let Self { app, context, pins, depth, open } = self;
        let (app, context, pins) = (Arc::clone(app), Arc::clone(context), Arc::clone(pins));
        Self { app, context, pins, depth: *depth, open: Arc::clone(open) }
    }
}

impl<H: Handle> Inside<H> {
    /// For the component that a request was admitted to.
    pub(crate) fn new(app: &Arc<App<H>>, context: &Arc<RequestContext>, pins: Arc<[(Arc<str>, Pins)]>) -> Self {
        let (app, context) = (Arc::clone(app), Arc::clone(context));
        Self { app, context, pins, depth: 0, open: Admission::new(MOST_OPEN) }
    }

    async fn answer(self, callee: Callee, request: Request<RequestBody>) -> Result<Response<CallBody>, CallError> {
        let (mut head, body) = request.into_parts();
        let called = match self.find(&callee, &mut head)? {
            Found::Component(called) => called,
            Found::Own(response) => return Ok(own(response)),
        };
        let depth = self.depth + 1;
        if depth > MOST_DEEP {
            return Err(CallError::TooDeep(MOST_DEEP));
        }
        let place = self.open.admit().ok_or(CallError::TooMany(MOST_OPEN))?;
        let room = self.app.calls.admit().ok_or_else(|| CallError::TooMany(self.app.calls.limit()))?;
        head.headers.remove(VERSION);
        let context = Arc::new(self.context.call());
        let pins = self.pins.iter().find(|(trigger, _)| *trigger == called.trigger_id);
        let pins = pins.map(|(_, pins)| pins.clone()).unwrap_or_default();
        let inside = Self { context: Arc::clone(&context), depth, ..self };
        let (request_id, component) = (&context.id, &called.id);
        tracing::debug!(%request_id, %component, depth, "a component calls another");
        let call = Call {
            request: Request::from_parts(head, body),
            context: Arc::clone(&context),
            pins,
            permit: Box::new((place, room)),
            application: Some(Arc::new(inside)),
            chained: true,
        };
        match called.handler.handle(call).await {
            Ok(response) => Ok(response.map(BodyExt::boxed_unsync)),
            Err(failure) => {
                log_failure(&context, component, &failure);
                Ok(own(Problem::of_failure(&failure).into_response(&context.id)))
            }
        }
    }

    /// Whoever answers, and the request in Spin's terms.
    fn find(&self, callee: &Callee, head: &mut request::Parts) -> Result<Found<H>, CallError> {
        let path = head.uri.path().to_owned();
        let id = match callee {
            Callee::Component(id) => id,
            Callee::Routes => {
                if let Some(response) = self.app.own_path(&path) {
                    return Ok(Found::Own(response));
                }
                let Some(route) = self.app.table.find(&path) else {
                    return Ok(Found::Own(Problem::no_route(&path).into_response(&self.context.id)));
                };
                spin_headers::prepare_own(head, &route);
                return Ok(match &route.target.answers {
                    Answers::Component(component) => Found::Component(Arc::clone(component)),
                    Answers::Fixed(answer) => Found::Own(answer.response()),
                });
            }
        };
        let component = self.app.table.component(id);
        let component = component.ok_or_else(|| CallError::UnknownComponent(format!("{id:.100}")))?;
        spin_headers::prepare_chained(head, component.plain);
        Ok(Found::Component(Arc::clone(component)))
    }
}

enum Found<H> {
    Component(Arc<Component<H>>),
    /// The host answers itself.
    Own(Response<Full<Bytes>>),
}

fn own(response: Response<Full<Bytes>>) -> Response<CallBody> {
    response.map(|body| body.map_err(|never: Infallible| match never {}).boxed_unsync())
}

impl<H: Handle> Application for Inside<H> {
    fn call(
        &self,
        callee: Callee,
        request: Request<RequestBody>,
    ) -> BoxFuture<'static, Result<Response<CallBody>, CallError>> {
        Box::pin(self.clone().answer(callee, request))
    }
}
