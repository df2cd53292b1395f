//! The computes in hand, and what becomes of them: everything of generation but the context itself.

use super::super::constraint::{Constrained, Constraints};
use super::super::generate::{Generation, Verdict, usage_of};
use super::super::link::Outbox;
use super::super::sampler::{self, Sampler, Scratch};
use super::super::schedule::{Key, Outputs, Placement, Request, Row, Schedule, Token};
use super::super::vocabulary::Vocabulary;
use super::score::Scoring;
use super::{past_deadline, send, send_values};
use bobbin_inference::wire::{CallId, FromWorker, SessionId};
use bobbin_inference::{FinishReason, InferenceError, Options, Priority, Reason, Scope};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// One compute.
pub(super) struct Call {
    /// The request's id, for the log.
    pub(super) request: String,
    pub(super) session: SessionId,
    pub(super) deadline: Instant,
    pub(super) account: u64,
    pub(super) scope: Arc<Scope>,
    pub(super) priority: Priority,
    pub(super) credit: u32,
    pub(super) stage: Stage,
}

/// How far a compute is.
pub(super) enum Stage {
    /// Its prompt is becoming tokens.
    Preparing(Box<Options>, Placement),
    /// The prompt before this answer is becoming tokens.
    PreparingScore(Vec<Token>),
    /// Its grammar is compiling.
    Compiling(Box<Generating>, Vec<Token>, Placement),
    /// It waits for cells, or generates.
    Generating(Box<Generating>),
    /// It wants the logits after its tokens.
    Logits(Vec<Token>),
    /// It wants the log-probability of each token of an answer.
    Score(Scoring),
}

/// A generation.
pub(super) struct Generating {
    generation: Generation,
    most: u32,
    chooser: Chooser,
}

enum Chooser {
    Here(Sampler),
    There(Constrained),
}

/// All computes.
pub(super) struct Desk {
    pub(super) schedule: Schedule,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) constraints: Constraints,
    pub(super) context: u32,
    pub(super) calls: HashMap<CallId, Call>,
    pub(super) cancelled: u64,
    pub(super) scratch: Scratch,
    pub(super) bytes: Vec<u8>,
}

impl Desk {
    /// Whether a session has a compute in hand.
    pub(super) fn is_busy(&self, session: SessionId) -> bool {
        self.calls.values().any(|call| call.session == session)
    }

    /// Ends a compute with an error.
    pub(super) fn fail(&mut self, call: CallId, error: InferenceError, out: &mut Outbox) {
        self.schedule.end(call);
        if self.calls.remove(&call).is_some() {
            send(out, &FromWorker::Failed { call, error });
        }
    }

    /// Ends a compute that nobody waits for.
    pub(super) fn cancel(&mut self, call: CallId) {
        self.schedule.end(call);
        if self.calls.remove(&call).is_some() {
            self.cancelled += 1;
        }
    }

    /// Takes a running compute off its cells; it starts again when there is room.
    pub(super) fn requeue(&mut self, call: CallId) {
        self.schedule.requeue(call);
        // All of its logits are computed again.
        if let Some(Call { stage: Stage::Score(scoring), .. }) = self.calls.get_mut(&call) {
            scoring.restart();
        }
    }

    /// Ends a session, and what it computes.
    pub(super) fn close(&mut self, session: SessionId) {
        let calls: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| call.session == session).map(|(id, _)| *id).collect();
        calls.into_iter().for_each(|call| self.cancel(call));
        self.schedule.close(Key::Session(session));
    }

    /// The reader took tokens.
    pub(super) fn credit(&mut self, call: CallId, tokens: u32) {
        self.schedule.credit(call, tokens);
        // Before it is scheduled, its credit is here.
        if let Some(call) = self.calls.get_mut(&call) {
            call.credit = call.credit.saturating_add(tokens);
        }
    }

    /// Fails what is past its deadline; returns the next one.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Outbox) -> Option<Instant> {
        let late: Vec<CallId> = self.calls.iter().filter(|(_, call)| call.deadline <= now).map(|(id, _)| *id).collect();
        for call in late {
            let doing = match self.calls.get(&call).map(|call| &call.stage) {
                Some(Stage::Preparing(..) | Stage::PreparingScore(_)) => "being tokenised",
                Some(Stage::Compiling(..)) => "waiting for its grammar to compile",
                _ if self.schedule.running().any(|running| running == call) => "running",
                _ => "waiting for room in the model's worker",
            };
            self.fail(call, past_deadline(doing), out);
        }
        self.calls.values().map(|call| call.deadline).min()
    }

    /// A prompt's tokens are there.
    pub(super) fn prepared(&mut self, id: CallId, tokens: Vec<Token>, out: &mut Outbox) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Stage::PreparingScore(answer) = &call.stage else { return self.prepared_prompt(id, tokens, out) };
        match Scoring::new(tokens, answer) {
            Ok(scoring) => {
                call.stage = Stage::Score(scoring);
                self.enqueue_values(id, out);
            }
            Err(error) => self.fail(id, error, out),
        }
    }

    /// The compute gets its sampler, and waits for cells or for its grammar.
    fn prepared_prompt(&mut self, id: CallId, tokens: Vec<Token>, out: &mut Outbox) {
        let Some(call) = self.calls.get(&id) else { return };
        let Stage::Preparing(options, placement) = &call.stage else { return };
        let (placement, key) = (*placement, Key::Session(call.session));
        let mut seen = match placement {
            Placement::Append => self.schedule.history(key).to_vec(),
            Placement::Replace => Vec::new(),
        };
        seen.extend_from_slice(&tokens);
        let input = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        let generation = Generation::new(options, input, self.constraints.writing());
        let sampler = Sampler::new(&options.sampling, self.vocabulary.size(), self.context, &seen);
        let compiling = options.constraint.is_some();
        let chooser = sampler.and_then(|sampler| match options.constraint.clone() {
            None => Ok(Chooser::Here(sampler)),
            Some(constraint) => self.constraints.start(id, constraint, sampler).map(Chooser::There),
        });
        let generating = match chooser {
            Ok(chooser) => Box::new(Generating { generation, most: options.max_tokens, chooser }),
            Err(error) => return self.fail(id, error, out),
        };
        if compiling {
            if let Some(call) = self.calls.get_mut(&id) {
                call.stage = Stage::Compiling(generating, tokens, placement);
            }
        } else {
            self.enqueue(id, generating, tokens, placement, out);
        }
    }

    /// A grammar compiled: the compute waits for cells.
    pub(super) fn compiled(&mut self, id: CallId, out: &mut Outbox) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        // The stage is put back by `enqueue`; between the two nothing looks at it.
        let stage = std::mem::replace(&mut call.stage, Stage::Logits(Vec::new()));
        match stage {
            Stage::Compiling(generating, tokens, placement) => self.enqueue(id, generating, tokens, placement, out),
            other => call.stage = other,
        }
    }

    fn enqueue(
        &mut self,
        id: CallId,
        generating: Box<Generating>,
        tokens: Vec<Token>,
        placement: Placement,
        out: &mut Outbox,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let extra = generating.most;
        let (key, credit) = (Key::Session(call.session), call.credit);
        call.stage = Stage::Generating(generating);
        self.submit(id, key, tokens, placement, extra, Outputs::Last, credit, out);
    }

    /// Puts a compute without text into the queue.
    pub(super) fn enqueue_values(&mut self, id: CallId, out: &mut Outbox) {
        let Some(call) = self.calls.get(&id) else { return };
        match &call.stage {
            Stage::Logits(tokens) => {
                let (key, tokens) = (Key::Session(call.session), tokens.clone());
                self.submit(id, key, tokens, Placement::Append, 0, Outputs::Last, 1, out);
            }
            Stage::Score(scoring) => {
                let (given, outputs) = (scoring.given(), Outputs::From(scoring.first_output()));
                self.submit(id, Key::Score(id), given, Placement::Append, 0, outputs, 1, out);
            }
            Stage::Preparing(..) | Stage::PreparingScore(_) | Stage::Compiling(..) | Stage::Generating(_) => {}
        }
    }

    #[allow(clippy::too_many_arguments, reason = "each is one field of the request, and named there")]
    fn submit(
        &mut self,
        call: CallId,
        key: Key,
        tokens: Vec<Token>,
        placement: Placement,
        extra: u32,
        outputs: Outputs,
        credit: u32,
        out: &mut Outbox,
    ) {
        let Some(in_hand) = self.calls.get(&call) else { return };
        let (scope, priority) = (Arc::clone(&in_hand.scope), in_hand.priority);
        let request = Request { call, key, tokens, placement, extra, outputs, scope, priority, credit };
        if let Err(error) = self.schedule.submit(request)
            && self.calls.remove(&call).is_some()
        {
            send(out, &FromWorker::Failed { call, error });
        }
    }

    /// A compute runs now; so many of its tokens were computed before.
    pub(super) fn admitted(&mut self, id: CallId, cached: u32) {
        if let Some(Call { stage: Stage::Generating(generating), .. }) = self.calls.get_mut(&id) {
            generating.generation.cached(cached);
        }
    }

    /// Logits of a row that wanted them.
    pub(super) fn output(&mut self, row: &Row, logits: &[f32], out: &mut Outbox) {
        let Some(call) = self.calls.get_mut(&row.call) else { return };
        match &mut call.stage {
            Stage::Generating(generating) => match &mut generating.chooser {
                Chooser::Here(sampler) => {
                    let chosen = sampler.choose(logits, &mut self.scratch);
                    if let Ok(token) = &chosen {
                        sampler.accept(*token);
                    }
                    self.chosen(row.call, chosen.map(Some), logits, out);
                }
                Chooser::There(constrained) => constrained.choose(logits),
            },
            Stage::Logits(tokens) => {
                let (usage, account) = (usage_of(tokens), call.account);
                let message = FromWorker::Values { call: row.call, values: logits.to_vec(), usage };
                send_values(out, row.call, account, size_of_val(logits), &message);
                self.calls.remove(&row.call);
                self.schedule.end(row.call);
            }
            Stage::Score(scoring) => {
                scoring.take(row.pos, logits);
                if let Some((values, usage)) = scoring.finish() {
                    let account = call.account;
                    let bytes = size_of_val(values.as_slice());
                    let message = FromWorker::Values { call: row.call, values, usage };
                    send_values(out, row.call, account, bytes, &message);
                    self.calls.remove(&row.call);
                    self.schedule.end(row.call);
                }
            }
            Stage::Preparing(..) | Stage::PreparingScore(_) | Stage::Compiling(..) => {}
        }
    }

    /// A choice was made on another thread, among these logits.
    pub(super) fn chosen_there(
        &mut self,
        id: CallId,
        chosen: Result<Option<Token>, InferenceError>,
        logits: Vec<f32>,
        out: &mut Outbox,
    ) {
        let Some(Call { stage: Stage::Generating(_), .. }) = self.calls.get(&id) else { return };
        self.chosen(id, chosen, &logits, out);
        if let Some(Call { stage: Stage::Generating(generating), .. }) = self.calls.get_mut(&id)
            && let Chooser::There(constrained) = &mut generating.chooser
        {
            constrained.take_back(logits);
        }
    }

    /// The next token of an answer is known; `None` where nothing may follow.
    fn chosen(&mut self, id: CallId, chosen: Result<Option<Token>, InferenceError>, logits: &[f32], out: &mut Outbox) {
        let token = match chosen {
            Ok(Some(token)) if !self.vocabulary.is_end(token) => token,
            Ok(_) => return self.finish(id, FinishReason::Stop, out),
            Err(error) => return self.fail(id, error, out),
        };
        let Some(Call { stage: Stage::Generating(generating), account, .. }) = self.calls.get_mut(&id) else { return };
        let generation = &mut generating.generation;
        self.bytes.clear();
        self.vocabulary.bytes(token, &mut self.bytes);
        let logprob = generation.logprobs().map(|top| {
            let bytes = |token| {
                let mut bytes = Vec::new();
                self.vocabulary.bytes(token, &mut bytes);
                bytes
            };
            sampler::logprob(logits, token, top, bytes)
        });
        let verdict = generation.push(token, &self.bytes, logprob);
        let held = generation.bytes();
        if held > *account {
            let error = InferenceError::new(
                Reason::LimitExceeded,
                format!("the answer has {held} bytes so far, more than the request may hold; ask for fewer tokens"),
            );
            return self.fail(id, error, out);
        }
        if generation.calls_too_much() {
            let error = InferenceError::new(
                Reason::LimitExceeded,
                "the calls of tools in the answer have more than 1 MiB; set \"max_tokens\", or bound the schemas",
            );
            return self.fail(id, error, out);
        }
        let full = self.schedule.chosen(id, token);
        match verdict {
            Verdict::Finish(reason) => self.finish(id, reason, out),
            Verdict::Continue if full => self.finish(id, FinishReason::Length, out),
            Verdict::Continue => {
                let credit_is_out = self.schedule.credit_left(id) <= 0;
                if let Some(Call { stage: Stage::Generating(generating), .. }) = self.calls.get_mut(&id)
                    && generating.generation.has_piece(credit_is_out)
                {
                    generating.generation.piece(id, None, |piece| send(out, piece));
                }
            }
        }
    }

    fn finish(&mut self, id: CallId, reason: FinishReason, out: &mut Outbox) {
        self.schedule.end(id);
        if let Some(Call { stage: Stage::Generating(mut generating), .. }) = self.calls.remove(&id) {
            generating.generation.piece(id, Some(reason), |piece| send(out, piece));
        }
    }
}
