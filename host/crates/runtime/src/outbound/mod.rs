//! Outbound HTTP: whom a component may ask (`rules`), and how it gets there: to other hosts (`client`, `connect`, `names`, `tls`,
//! `client_tls`),
//! or to the application itself (`chaining`). `exit` is a component's way out, and connections that speak no HTTP; `dial`
//! makes those that the host needs for itself. `spin` is Spin's older interface for the same, `waits` its time limits.

mod chaining;
mod client;
mod client_tls;
mod config;
mod connect;
mod dial;
mod exit;
mod names;
mod networks;
mod rules;
pub(crate) mod spin;
mod tls;
mod waits;

use crate::application::{Application, Callee};
use bobbin_inference::RequestContext;
use client::CONNECTION_BYTES;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body_util::BodyExt;
use rules::{Destination, Refused};
use std::sync::Arc;
use waits::{Waited, Waits};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

pub(crate) use client::Client;
pub use client_tls::{ClientTls, ClientTlsError, ClientTlsFiles};
pub use config::{HostTls, OutboundConfig};
pub(crate) use connect::ConnectError;
pub use dial::{DialError, Dialer, Duplex};
pub(crate) use exit::{Exit, Target};
pub use rules::Calls;
pub(crate) use rules::Rules;

/// Bytes of one write to a body, and of what the host queues of it.
pub(crate) const BODY_CHUNK: usize = 8 << 10;
/// The W3C's, by which the next host joins the trace.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// One store's way out.
#[derive(Clone)]
pub(crate) struct Outbound {
    exit: Arc<Exit>,
    request: Arc<RequestContext>,
    application: Option<Arc<dyn Application>>,
}

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<()>> + Send>);

impl Outbound {
    pub(crate) fn new(
        exit: &Arc<Exit>,
        request: &Arc<RequestContext>,
        application: Option<Arc<dyn Application>>,
    ) -> Self {
        Self { exit: Arc::clone(exit), request: Arc::clone(request), application }
    }

    /// Takes up the next request.
    pub(crate) fn serve(&mut self, request: &Arc<RequestContext>, application: Option<Arc<dyn Application>>) {
        self.request = Arc::clone(request);
        self.application = application;
    }

    /// Lets go of what belongs to the request that is over.
    pub(crate) fn rest(&mut self) {
        self.application = None;
    }

    /// Sends a request, where it may go. What the host holds for it is charged until its answer is dropped.
    async fn send(self, mut request: Request<WasiBody>, options: Option<RequestOptions>) -> Result<Response<WasiBody>> {
        let destination = match self.exit.rules.decide(request.uri()) {
            Ok(destination) => destination,
            Err(refused) => return Err(self.refused(&request, &refused)),
        };
        let waits = Waits::new(options, &self.request);
        let charge = self.request.account.charge(CONNECTION_BYTES);
        let charge = charge.map_err(|over| Error::InternalError(Some(over.to_string())))?;
        // The target says it, and the client says it again.
        request.headers_mut().remove(HOST);
        self.join_trace(&mut request);
        let answer = waits.head(self.ask(destination, request, &waits)).await?;
        Ok(answer.map(|body| Waited::new(body, waits, charge).boxed_unsync()))
    }

    async fn ask(
        &self,
        destination: Destination,
        mut request: Request<WasiBody>,
        waits: &Waits,
    ) -> Result<Response<WasiBody>> {
        let callee = match destination {
            Destination::Network(target) => {
                *request.uri_mut() = target;
                return self.exit.client(request.uri()).send(request, waits, &self.exit.lookups).await;
            }
            Destination::Own => Callee::Routes,
            Destination::Component(id) => Callee::Component(id),
        };
        match &self.application {
            Some(application) => chaining::call(application, callee, request, &self.exit.component).await,
            None => Err(Error::InternalError(Some("this host runs components without their application".into()))),
        }
    }

    /// A guest that traces for itself knows better.
    fn join_trace(&self, request: &mut Request<WasiBody>) {
        if !request.headers().contains_key(TRACE_PARENT)
            && let Ok(trace) = HeaderValue::try_from(self.request.trace.as_str())
        {
            request.headers_mut().insert(TRACE_PARENT, trace);
        }
    }

    fn refused(&self, request: &Request<WasiBody>, refused: &Refused) -> Error {
        let host = request.uri().host().unwrap_or_default();
        let (component, request) = (&self.exit.component, &self.request.id);
        tracing::warn!(%component, %request, host = format!("{host:.200}"), "outbound HTTP was refused: {refused}");
        match refused {
            Refused::NotAllowed { .. } => Error::HttpRequestDenied,
            Refused::Invalid(_) => Error::HttpRequestUriInvalid,
        }
    }
}

impl WasiHttpHooks for Outbound {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _received: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent>> + Send> {
        let outbound = self.clone();
        Box::new(async move {
            let answer = outbound.send(request, options).await?;
            // What becomes of the connection shows in the answer's body.
            let done: Box<dyn Future<Output = Result<()>> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((answer, done))
        })
    }
}
