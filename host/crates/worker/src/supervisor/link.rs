//! One connection to one worker process: a reader that brings each answer to its call, and a writer.
//!
//! Neither waits for the other, and neither waits for a session: the reader puts into calls without
//! blocking, and frames for the writer go through a queue that never makes its caller wait. What lies in
//! that queue is bounded all the same: computes take room in [`OUTBOX_BYTES`] and are refused without it;
//! the small frames that follow one (credit, cancel, close) are bounded by the computes that were let in.

use super::call::{Call, Progress, Taken, credit};
use super::frames::{Hangup, frame, read};
use super::seat::{Occupied, Place, Seat};
use bobbin_inference::wire::{CallContext, CallId, FromWorker, SessionId, ToWorker, WorkerStats};
use bobbin_inference::{Charge, GraphInfo, InferenceError, Output, Priority, Reason, RequestContext, Scope, Work};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Bytes of computes that may wait to be written. A worker reads all the time, so a full queue means that it
/// is stuck, and more requests would only wait for nothing. Four of the largest frames.
const OUTBOX_BYTES: usize = 4 * bobbin_inference::wire::MAX_FRAME;

/// The host's end of a worker's socket, after the worker said that it is ready.
#[derive(Debug)]
pub(super) struct Link {
    bundle: Arc<str>,
    calls: Mutex<Calls>,
    last_session: AtomicU64,
    last_call: AtomicU64,
    outbox: mpsc::UnboundedSender<Outgoing>,
    room: Arc<Semaphore>,
    stats: Mutex<WorkerStats>,
    /// When the ping was sent that the worker has not answered yet.
    pinged: Mutex<Option<Instant>>,
    /// Whether anybody got anything from this process.
    answered: AtomicBool,
    closing: CancellationToken,
    /// The worker's part of the cores.
    seat: Arc<Seat>,
}

#[derive(Debug, Default)]
struct Calls {
    /// With what keeps the worker busy.
    open: HashMap<CallId, (Arc<Call>, Occupied)>,
    /// Set once, when the worker is dead: why.
    lost: Option<Arc<str>>,
}

/// A frame on its way, with what it holds until it is written.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    _held: Option<(OwnedSemaphorePermit, Charge)>,
}

/// Who computes, for a compute on a link.
pub(super) struct Asker<'a> {
    pub(super) session: SessionId,
    pub(super) context: &'a RequestContext,
    pub(super) scope: &'a Scope,
    pub(super) priority: Priority,
}

/// Why a compute did not begin.
#[derive(Debug)]
pub(super) enum NotBegun {
    /// The worker is dead; nothing was sent.
    Lost(InferenceError),
    /// This compute cannot be sent.
    Refused(InferenceError),
}

impl Link {
    /// Starts reader and writer, and takes a seat at the budget. The reader's task ends with the reason why nothing more comes.
    pub(super) fn start(
        bundle: Arc<str>,
        place: &Place,
        reader: BufReader<OwnedReadHalf>,
        writer: OwnedWriteHalf,
    ) -> (Arc<Self>, JoinHandle<Hangup>) {
        let (outbox, frames) = mpsc::unbounded_channel();
        let told = outbox.clone();
        let seat = place.take(Box::new(move |threads| {
            // Six bytes always fit into a frame, and a closed outbox is that of a dead worker.
            if let Ok(bytes) = frame(&ToWorker::Threads(threads)) {
                let _ = told.send(Outgoing { bytes, _held: None });
            }
        }));
        let link = Arc::new(Self {
            bundle,
            calls: Mutex::default(),
            last_session: AtomicU64::new(0),
            last_call: AtomicU64::new(0),
            outbox,
            room: Arc::new(Semaphore::new(OUTBOX_BYTES)),
            stats: Mutex::default(),
            pinged: Mutex::default(),
            answered: AtomicBool::new(false),
            closing: CancellationToken::new(),
            seat,
        });
        tokio::spawn(write_all(frames, writer, link.closing.clone()));
        let reading = tokio::spawn(Arc::clone(&link).read_all(reader));
        (link, reading)
    }

    /// Gives the worker's part of the cores to others while it has nothing to do, from so long after its last
    /// call on. Runs as long as the worker serves.
    pub(super) async fn rest(&self, after: Duration) -> Infallible {
        self.seat.rest(after).await
    }

    /// A session id that this link has not used.
    pub(super) fn new_session(&self) -> SessionId {
        self.last_session.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What the worker last said that it was doing.
    pub(super) fn stats(&self) -> WorkerStats {
        *self.stats.lock()
    }

    /// Whether anybody got anything from this process.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Asks whether the engine still turns, unless it was asked and has not answered; returns for how long it has
    /// not.
    pub(super) fn ping(&self) -> Duration {
        let mut pinged = self.pinged.lock();
        match *pinged {
            Some(since) => since.elapsed(),
            None => {
                *pinged = Some(Instant::now());
                self.send_small(&ToWorker::Ping);
                Duration::ZERO
            }
        }
    }

    /// Sends a compute.
    pub(super) fn begin(self: &Arc<Self>, asker: &Asker<'_>, work: Work) -> Result<OpenCall, NotBegun> {
        let id = self.last_call.fetch_add(1, Ordering::Relaxed) + 1;
        let account = &asker.context.account;
        let call = Call::new(id, &work, account.clone());
        let message = ToWorker::Compute {
            session: asker.session,
            call: id,
            credit: credit(&work),
            context: CallContext {
                request: asker.context.id.as_str().to_owned(),
                trace: asker.context.trace.as_str().to_owned(),
                remaining_ms: asker.context.deadlines.remaining().as_millis().try_into().unwrap_or(u64::MAX),
                account: account.limit().saturating_sub(account.held()),
                priority: asker.priority,
                scope: asker.scope.clone(),
            },
            work,
        };
        let outgoing = self.outgoing(&message, asker.context).map_err(NotBegun::Refused)?;
        let mut calls = self.calls.lock();
        if let Some(reason) = &calls.lost {
            return Err(NotBegun::Lost(worker_lost(reason)));
        }
        // Before the compute is sent, so that the worker hears of its threads first.
        calls.open.insert(id, (Arc::clone(&call), self.seat.occupy()));
        drop(calls);
        self.send(outgoing);
        Ok(OpenCall { link: Arc::clone(self), call })
    }

    fn outgoing(&self, message: &ToWorker, context: &RequestContext) -> Result<Outgoing, InferenceError> {
        let bytes = frame(message).map_err(|error| {
            let text = format!("the input is too large for {}: {error}; send less", self.bundle);
            InferenceError::new(Reason::LimitExceeded, text)
        })?;
        let charge = context
            .account
            .charge(bytes.len() as u64)
            .map_err(|over| InferenceError::new(Reason::LimitExceeded, format!("the input does not fit: {over}")))?;
        let permits = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|full| {
            let text = format!(
                "the worker for {} does not keep up with reading its requests ({full}); try again later",
                self.bundle
            );
            InferenceError::new(Reason::QueueFull, text)
        })?;
        Ok(Outgoing { bytes, _held: Some((room, charge)) })
    }

    /// The session is over, for the worker too.
    pub(super) fn end_session(&self, session: SessionId) {
        self.send_small(&ToWorker::Close { session });
    }

    /// Why the worker is dead, if it is.
    pub(super) fn lost(&self) -> Option<InferenceError> {
        self.calls.lock().lost.as_deref().map(worker_lost)
    }

    /// The worker is dead: fails every call in flight, and every later one.
    pub(super) fn lose(&self, reason: &Arc<str>) {
        let open = {
            let mut calls = self.calls.lock();
            calls.lost = Some(Arc::clone(reason));
            std::mem::take(&mut calls.open)
        };
        self.closing.cancel();
        self.seat.leave();
        for (call, _) in open.into_values() {
            call.fail(worker_lost(reason));
        }
    }

    /// Closes the host's writing half, on which the worker exits.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    fn send(&self, outgoing: Outgoing) {
        // The writer is gone only when the worker is, and then the call hears of it from `lose`.
        let _ = self.outbox.send(outgoing);
    }

    fn send_small(&self, message: &ToWorker) {
        match frame(message) {
            Ok(bytes) => self.send(Outgoing { bytes, _held: None }),
            // The worker cannot be told, so it must not go on believing what it believes.
            Err(error) => {
                tracing::error!(bundle = %self.bundle, %error, "closing a worker that cannot be told something");
                self.close();
            }
        }
    }

    /// Forgets a call that nobody waits for, and tells the worker unless the call is over.
    fn give_up(&self, call: CallId) {
        let open = self.calls.lock().open.remove(&call).is_some();
        if open {
            self.send_small(&ToWorker::Cancel { call });
        }
    }

    async fn read_all(self: Arc<Self>, mut reader: BufReader<OwnedReadHalf>) -> Hangup {
        loop {
            let message = match read(&mut reader).await {
                Ok(message) => message,
                Err(hangup) => return hangup,
            };
            if let Err(wrong) = self.receive(message) {
                return Hangup::Broken(wrong);
            }
        }
    }

    fn receive(&self, message: FromWorker) -> Result<(), String> {
        let id = match &message {
            FromWorker::Piece { call, .. }
            | FromWorker::Values { call, .. }
            | FromWorker::Embeddings { call, .. }
            | FromWorker::Failed { call, .. } => *call,
            FromWorker::Stats(stats) => {
                *self.stats.lock() = *stats;
                return Ok(());
            }
            FromWorker::Pong => {
                *self.pinged.lock() = None;
                return Ok(());
            }
            FromWorker::Hello(_) | FromWorker::Progress(_) | FromWorker::LoadFailed { .. } | FromWorker::Ready(_) => {
                return Err("it spoke of loading after it had been ready".into());
            }
        };
        if id > self.last_call.load(Ordering::Relaxed) {
            return Err(format!("it answered call {id}, which was never made"));
        }
        let call = self.calls.lock().open.get(&id).map(|(call, _)| Arc::clone(call));
        // An answer to a call that was given up crossed its cancellation on the way.
        let Some(call) = call else { return Ok(()) };
        if !matches!(message, FromWorker::Failed { .. }) && !self.has_answered() {
            self.answered.store(true, Ordering::Relaxed);
        }
        match call.receive(message)? {
            Progress::Open => {}
            Progress::Over => {
                self.calls.lock().open.remove(&id);
            }
            Progress::Refused => self.give_up(id),
        }
        Ok(())
    }
}

async fn write_all(
    mut frames: mpsc::UnboundedReceiver<Outgoing>,
    mut writer: OwnedWriteHalf,
    closing: CancellationToken,
) {
    let writing = async {
        while let Some(outgoing) = frames.recv().await {
            // A failed write means a dead worker, of which the reader hears too and the process says more.
            if writer.write_all(&outgoing.bytes).await.is_err() {
                return;
            }
        }
    };
    let _ = closing.run_until_cancelled(writing).await;
    // The writing half closes when it is dropped here: the worker reads the end of its input.
}

/// A call that is waited for. Dropping it cancels the call at the worker, unless it is over.
#[derive(Debug)]
pub(super) struct OpenCall {
    link: Arc<Link>,
    call: Arc<Call>,
}

/// What was waited for.
#[derive(Debug)]
pub(super) enum Waited {
    /// More is to come.
    Part(Output),
    /// That was all.
    Last(Output),
}

impl OpenCall {
    /// Waits for a part of the answer, or for the whole where no stream was asked for.
    ///
    /// Nothing is lost when the future is dropped; the call goes on until the `OpenCall` is dropped.
    pub(super) async fn wait(&self, context: &RequestContext, info: &GraphInfo) -> Result<Waited, InferenceError> {
        let soft = tokio::time::sleep_until(context.deadlines.soft.into());
        tokio::pin!(soft);
        loop {
            tokio::select! {
                biased;
                () = context.cancel.cancelled() => return Err(InferenceError::cancelled()),
                () = &mut soft => return Err(deadline_exceeded(info)),
                () = std::future::ready(()) => {}
            }
            let credit = match self.call.take(info) {
                Taken::Last(output) => return Ok(Waited::Last(output)),
                Taken::Failed(error) => return Err(error),
                Taken::Part { output, credit } => {
                    self.give_credit(credit);
                    return Ok(Waited::Part(output));
                }
                Taken::Nothing { credit } => credit,
            };
            self.give_credit(credit);
            tokio::select! {
                () = self.call.changed() => {}
                () = context.cancel.cancelled() => {}
                () = &mut soft => return Err(deadline_exceeded(info)),
            }
        }
    }

    fn give_credit(&self, tokens: u32) {
        if tokens > 0 {
            self.link.send_small(&ToWorker::Credit { call: self.call.id(), tokens });
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.link.give_up(self.call.id());
    }
}

fn worker_lost(reason: impl AsRef<str>) -> InferenceError {
    let text = format!("{}; what it was computing is lost, send the request again", reason.as_ref());
    InferenceError::new(Reason::WorkerLost, text)
}

fn deadline_exceeded(info: &GraphInfo) -> InferenceError {
    InferenceError::new(
        Reason::DeadlineExceeded,
        format!(
            "the request's deadline passed while {} was computing; ask for fewer tokens or allow more time",
            info.bundle
        ),
    )
}
