//! wasmtime's questions about a guest's HTTP: how much of a body the host queues, and whether a request may leave.
//! A component reaches only the hosts that its manifest grants, and none is granted yet.

use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

/// Refuses every request, and says so in the log.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) component: String,
}

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<()>> + Send>);

/// Bytes of one write to a body, and of what the host queues of it.
pub(crate) const BODY_CHUNK: usize = 8 << 10;

impl WasiHttpHooks for Outbound {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent>> + Send> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        tracing::warn!(component = %self.component, %host, "outbound HTTP was refused: this host does not supply it yet");
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}
