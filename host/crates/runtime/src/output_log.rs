//! What a component prints, line by line, in the host's log and in its files.

use crate::output_files::OutputFiles;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A longer line is logged in parts: a guest must not make the host keep what it prints.
const MAX_LINE: usize = 4096;

/// Which of the two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The request that an instance answers. A guest keeps its streams from one request to the next.
#[derive(Debug, Clone)]
pub(crate) struct OutputOf(Arc<Mutex<Arc<str>>>);

impl OutputOf {
    pub(crate) fn new(request: &str) -> Self {
        Self(Arc::new(Mutex::new(request.into())))
    }

    /// Another request from now on.
    pub(crate) fn set(&self, request: &str) {
        *self.0.lock() = request.into();
    }

    fn get(&self) -> Arc<str> {
        Arc::clone(&self.0.lock())
    }
}

/// Where what a component prints goes.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it goes to the host's log.
    pub follow: bool,
    /// The files that it goes to.
    pub files: Option<OutputFiles>,
}

impl Default for Output {
    fn default() -> Self {
        Self { follow: true, files: None }
    }
}

/// Standard output or error of one instance.
#[derive(Debug, Clone)]
pub(crate) struct OutputLog {
    pub(crate) component: Arc<str>,
    pub(crate) request: OutputOf,
    pub(crate) stream: Stream,
    pub(crate) output: Arc<Output>,
}

impl IsTerminal for OutputLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for OutputLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines { log: self.clone(), line: Vec::new() })
    }
}

struct Lines {
    log: OutputLog,
    line: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        let OutputLog { component, request, stream, output } = &self.log;
        if let Some(files) = &output.files {
            match stream {
                Stream::Stdout => files.stdout.line(&self.line),
                Stream::Stderr => files.stderr.line(&self.line),
            }
        }
        if output.follow {
            let (line, request) = (String::from_utf8_lossy(&self.line), request.get());
            match stream {
                Stream::Stdout => tracing::info!(target: "component", %component, %request, "{line}"),
                Stream::Stderr => tracing::warn!(target: "component", %component, %request, "{line}"),
            }
        }
        self.line.clear();
    }
}

impl AsyncWrite for Lines {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for byte in bytes {
            if *byte == b'\n' || self.line.len() >= MAX_LINE {
                self.end_line();
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}
