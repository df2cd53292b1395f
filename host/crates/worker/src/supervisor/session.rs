//! A session: one sequence of a worker's key-value cache, as the sandbox holds it.

use super::link::{Asker, Link, NotBegun, OpenCall, Waited};
use super::state::Shared;
use super::worker::Keep;
use bobbin_inference::wire::SessionId;
use bobbin_inference::{InferenceError, Output, Priority, Reason, RequestContext, Scope, Session, Work};
use futures::future::BoxFuture;
use std::sync::Arc;

/// A session on a worker.
///
/// The worker hears of it with its first compute, and it stays with the process that took that one. A process that
/// dies before that compute has returned anything costs no more than time: the compute is the session's whole
/// history, and the next process gets it again, once. Later the history is gone with its process, and every compute
/// fails with `worker_lost`.
///
/// A `compute` while a streamed answer is open is `invalid_state`: ending the stream quietly would hide from
/// a guest that it left text behind. Dropping the future of `compute` or of `next` cancels the answer at the
/// worker; the session may be used again, from where its history ended.
pub(super) struct WorkerSession {
    pub(super) worker: Arc<Keep>,
    pub(super) context: Arc<RequestContext>,
    pub(super) scope: Scope,
    pub(super) priority: Priority,
    /// The process that knows of the session, and the session's name there.
    pub(super) bound: Option<(Arc<Link>, SessionId)>,
    /// A streamed answer of which more is to come.
    pub(super) stream: Option<OpenCall>,
    /// A compute has begun in it.
    pub(super) used: bool,
}

impl WorkerSession {
    async fn begin(&mut self, work: &Work) -> Result<OpenCall, InferenceError> {
        if self.stream.is_some() {
            return Err(InferenceError::new(
                Reason::InvalidState,
                "a streamed answer is still open in this session; fetch it to its end, or use another session",
            ));
        }
        self.shared().shortest().check_work(work)?;
        if let Some((link, session)) = &self.bound {
            return match self.ask(link, *session, work.clone()) {
                Ok(call) => Ok(call),
                Err(NotBegun::Lost(error) | NotBegun::Refused(error)) => Err(error),
            };
        }
        loop {
            let link = self.shared().link(&self.context).await?;
            let session = link.new_session();
            match self.ask(&link, session, work.clone()) {
                Ok(call) => {
                    self.bound = Some((link, session));
                    return Ok(call);
                }
                // It died before it heard of the session, so the next process serves as well.
                Err(NotBegun::Lost(_)) => {}
                Err(NotBegun::Refused(error)) => return Err(error),
            }
        }
    }

    fn ask(&self, link: &Arc<Link>, session: SessionId, work: Work) -> Result<OpenCall, NotBegun> {
        let asker = Asker { session, context: &self.context, scope: &self.scope, priority: self.priority };
        link.begin(&asker, work)
    }

    async fn answer(&mut self, work: &Work) -> Result<Output, InferenceError> {
        let call = self.begin(work).await?;
        self.finish(call).await
    }

    /// Waits for the call. It is held by this future meanwhile, so that dropping the future cancels it.
    async fn finish(&mut self, call: OpenCall) -> Result<Output, InferenceError> {
        match call.wait(&self.context, &self.shared().info).await? {
            Waited::Last(output) => Ok(output),
            Waited::Part(output) => {
                self.stream = Some(call);
                Ok(output)
            }
        }
    }

    fn shared(&self) -> &Shared {
        self.worker.shared()
    }
}

impl Session for WorkerSession {
    fn compute(&mut self, work: Work) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            let first = !std::mem::replace(&mut self.used, true);
            match self.answer(&work).await {
                Err(lost) if first && lost.reason == Reason::WorkerLost => {
                    tracing::info!(request = %self.context.id, "a compute is replayed: {}", lost.message);
                    self.bound = None;
                    self.answer(&work).await
                }
                result => result,
            }
        })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            let Some(call) = self.stream.take() else {
                return Err(InferenceError::new(
                    Reason::InvalidState,
                    "no streamed answer is open in this session; compute with \"stream\": true first",
                ));
            };
            self.finish(call).await
        })
    }
}

impl Drop for WorkerSession {
    fn drop(&mut self) {
        // The answer before the session, since closing the session ends both at the worker.
        self.stream = None;
        if let Some((link, session)) = self.bound.take() {
            link.end_session(session);
        }
    }
}
