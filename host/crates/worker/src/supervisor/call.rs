//! One compute in flight: what its worker has sent and nobody has taken yet.
//!
//! The link's reader puts in, the session takes out. What lies between is charged to the request's account
//! and bounded by the credit that the worker was given: a slow reader never makes the host grow.

use bobbin_inference::wire::{CallId, FromWorker};
use bobbin_inference::{
    Account, Charge, Embeddings, FinishReason, Generated, GraphInfo, InferenceError, Metadata, Output, OverAccount,
    Reason, TokenLogprob, ToolCall, Usage, Values, Work,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// Tokens that a worker may be ahead of the reader of a stream. Enough that a reader which comes every few
/// steps never pauses its sequence; little enough that a reader which stopped holds some hundred bytes.
pub(super) const STREAM_CREDIT: u32 = 64;

/// What a compute is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Text, part by part or as a whole, and whether log-probabilities belong to it.
    Text { parts: bool, logprobs: bool },
    /// Raw logits.
    Logits,
    /// Log-probabilities.
    Scores,
    /// Vectors.
    Embeddings,
}

/// What a message made of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come.
    Open,
    /// That was the last.
    Over,
    /// The request's account cannot hold it: the worker must be told to stop.
    Refused,
}

/// What there is to take.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// Nothing that could be shown. The worker gets back credit for so many tokens, which may be 0.
    Nothing { credit: u32 },
    /// A part with more to come, and the credit for it.
    Part { output: Output, credit: u32 },
    /// The last part, or the whole.
    Last(Output),
    /// The compute failed.
    Failed(InferenceError),
}

/// A compute that a worker was asked for.
#[derive(Debug)]
pub(super) struct Call {
    id: CallId,
    expected: Expected,
    account: Account,
    inbox: Mutex<Inbox>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    text: String,
    logprobs: Vec<TokenLogprob>,
    tool_calls: Vec<ToolCall>,
    values: Vec<f32>,
    dimensions: u32,
    usage: Usage,
    finish: Option<FinishReason>,
    /// Tokens received and not taken.
    untaken: u32,
    /// Tokens that the worker may have sent by now, since the call began.
    allowed: u32,
    charge: Option<Charge>,
    /// Values or vectors came.
    answered: bool,
    failure: Option<InferenceError>,
}

impl Call {
    /// A call for this work, which charges `account` for what waits in it.
    pub(super) fn new(id: CallId, work: &Work, account: Account) -> Arc<Self> {
        let expected = match work {
            Work::Generate { options, .. } => {
                Expected::Text { parts: options.stream, logprobs: options.logprobs.is_some() }
            }
            Work::Logits { .. } => Expected::Logits,
            Work::Score { .. } => Expected::Scores,
            Work::Embed { .. } => Expected::Embeddings,
        };
        let inbox = Inbox { allowed: credit(work), ..Inbox::default() };
        Arc::new(Self { id, expected, account, inbox: Mutex::new(inbox), changed: Notify::new() })
    }

    pub(super) fn id(&self) -> CallId {
        self.id
    }

    /// Waits until something may have changed since the last look.
    pub(super) async fn changed(&self) {
        // There is one reader, so a change between two looks is kept as a permit and not missed.
        self.changed.notified().await;
    }

    /// Takes in what the worker says of this call.
    ///
    /// # Errors
    /// What is wrong with the worker, where no sound one says that.
    pub(super) fn receive(&self, message: FromWorker) -> Result<Progress, String> {
        let mut inbox = self.inbox.lock();
        let progress = match (message, self.expected) {
            (FromWorker::Piece { text, usage, logprobs, tool_calls, finish, .. }, Expected::Text { .. }) => {
                if usage.output_tokens > inbox.allowed {
                    let (sent, allowed) = (usage.output_tokens, inbox.allowed);
                    return Err(format!("it sent {sent} tokens of call {} on a credit of {allowed}", self.id));
                }
                let piece = Piece { text, usage, logprobs, tool_calls, finish };
                inbox.hold(&self.account, piece.bytes()).map(|()| inbox.add(piece))
            }
            (FromWorker::Values { values, usage, .. }, Expected::Logits | Expected::Scores) => {
                inbox.hold(&self.account, size_of_val(values.as_slice())).map(|()| inbox.answer(values, 0, usage))
            }
            (FromWorker::Embeddings { values, dimensions, usage, .. }, Expected::Embeddings) => inbox
                .hold(&self.account, size_of_val(values.as_slice()))
                .map(|()| inbox.answer(values, dimensions, usage)),
            (FromWorker::Failed { error, .. }, _) => {
                inbox.fail(error);
                Ok(Progress::Over)
            }
            _ => return Err(format!("it answered call {} with something of another kind", self.id)),
        };
        let progress = progress.unwrap_or_else(|over| {
            inbox.fail(InferenceError::new(Reason::LimitExceeded, format!("the answer does not fit: {over}")));
            Progress::Refused
        });
        drop(inbox);
        self.changed.notify_one();
        Ok(progress)
    }

    /// Ends the call with an error.
    pub(super) fn fail(&self, error: InferenceError) {
        self.inbox.lock().fail(error);
        self.changed.notify_one();
    }

    /// Takes all that is there, and gives its bytes back to the account.
    pub(super) fn take(&self, info: &GraphInfo) -> Taken {
        let mut inbox = self.inbox.lock();
        if let Some(error) = inbox.failure.take() {
            return Taken::Failed(error);
        }
        match self.expected {
            Expected::Text { parts, logprobs } => inbox.take_text(parts, logprobs, info),
            _ if !inbox.answered => Taken::Nothing { credit: 0 },
            Expected::Logits => Taken::Last(Output::Logits(Values { usage: inbox.usage, values: inbox.take_values() })),
            Expected::Scores => Taken::Last(Output::Scores(Values { usage: inbox.usage, values: inbox.take_values() })),
            Expected::Embeddings => Taken::Last(Output::Embeddings(Embeddings {
                dimensions: inbox.dimensions,
                metadata: metadata(info, inbox.usage, Some(FinishReason::Stop), None),
                values: inbox.take_values(),
            })),
        }
    }
}

/// The credit that a call begins with: a window for a stream, all of it for an answer that is wanted whole.
/// What is not answered in tokens gets one, since a call without any credit is one whose reader is slow.
pub(super) fn credit(work: &Work) -> u32 {
    match work {
        Work::Generate { options, .. } if options.stream => STREAM_CREDIT,
        Work::Generate { options, .. } => options.max_tokens,
        Work::Logits { .. } | Work::Score { .. } | Work::Embed { .. } => 1,
    }
}

struct Piece {
    text: String,
    usage: Usage,
    logprobs: Vec<TokenLogprob>,
    tool_calls: Vec<ToolCall>,
    finish: Option<FinishReason>,
}

impl Piece {
    fn bytes(&self) -> usize {
        let logprobs: usize = self.logprobs.iter().map(held).sum();
        let calls: usize = self.tool_calls.iter().map(ToolCall::bytes).sum();
        self.text.len() + logprobs + calls
    }
}

/// Bytes that the host holds for one token's log-probabilities.
fn held(logprob: &TokenLogprob) -> usize {
    let alternatives: usize = logprob.top.iter().map(|top| size_of_val(top) + top.1.len()).sum();
    size_of::<TokenLogprob>() + logprob.bytes.len() + alternatives
}

impl Inbox {
    fn hold(&mut self, account: &Account, more: usize) -> Result<(), OverAccount> {
        let more = more as u64;
        match &mut self.charge {
            Some(charge) => charge.resize(charge.bytes().saturating_add(more)),
            None => {
                self.charge = Some(account.charge(more)?);
                Ok(())
            }
        }
    }

    fn add(&mut self, piece: Piece) -> Progress {
        self.untaken += piece.usage.output_tokens.saturating_sub(self.usage.output_tokens);
        self.text.push_str(&piece.text);
        self.logprobs.extend(piece.logprobs);
        self.tool_calls.extend(piece.tool_calls);
        self.usage = piece.usage;
        self.finish = piece.finish;
        if piece.finish.is_some() { Progress::Over } else { Progress::Open }
    }

    fn answer(&mut self, values: Vec<f32>, dimensions: u32, usage: Usage) -> Progress {
        self.values = values;
        self.dimensions = dimensions;
        self.usage = usage;
        self.answered = true;
        Progress::Over
    }

    /// What had come is worth nothing any more: its answer can never be whole.
    fn fail(&mut self, error: InferenceError) {
        *self = Self { failure: Some(error), ..Self::default() };
    }

    fn take_text(&mut self, parts: bool, logprobs: bool, info: &GraphInfo) -> Taken {
        let waits = self.finish.is_none() && (!parts || self.text.is_empty());
        if waits && !parts {
            return Taken::Nothing { credit: 0 };
        }
        // Tokens whose text is held back give their credit back too, or a long stop string would stall.
        let credit = std::mem::take(&mut self.untaken);
        self.allowed = self.allowed.saturating_add(credit);
        if waits {
            return Taken::Nothing { credit };
        }
        self.charge = None;
        let taken = std::mem::take(&mut self.logprobs);
        let mut metadata = metadata(info, self.usage, self.finish, logprobs.then_some(taken));
        metadata.tool_calls = std::mem::take(&mut self.tool_calls);
        let output = Output::Generated(Generated { text: std::mem::take(&mut self.text), metadata });
        if self.finish.is_some() { Taken::Last(output) } else { Taken::Part { output, credit } }
    }

    fn take_values(&mut self) -> Vec<f32> {
        self.charge = None;
        std::mem::take(&mut self.values)
    }
}

fn metadata(
    info: &GraphInfo,
    usage: Usage,
    finish_reason: Option<FinishReason>,
    logprobs: Option<Vec<TokenLogprob>>,
) -> Metadata {
    let (bundle, digest) = (Arc::clone(&info.bundle), Arc::clone(&info.digest));
    Metadata { usage, finish_reason, bundle, digest, logprobs, tool_calls: Vec::new() }
}
