//! Generation: the context, and the steps that the scheduler plans.

#[cfg(test)]
mod quiet;
#[cfg(test)]
mod tests;

use super::super::chat::ChatTemplate;
use super::super::constraint::Constraints;
use super::super::event::Event;
use super::super::link::Outbox;
use super::super::model::{Decoder, Model, StepError};
use super::super::prepare::{Preparer, Text};
use super::super::sampler;
use super::super::schedule::{Key, Limits, Op, Placement, Row, Schedule, Token};
use super::super::tools::{Form, Writing};
use super::desk::{Call, Desk, Stage};
use super::pace::Pace;
use super::score::Scoring;
use super::{Machine, send, too_many, unsupported};
use bobbin_inference::wire::{CallContext, CallId, FromWorker, LoadSpec, SessionId, ToWorker, WorkerStats};
use bobbin_inference::{InferenceError, Prompt, Reason, Work};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Computes in the worker, in whatever state.
const MOST_CALLS: usize = 1024;
/// Computes that wait for cells.
const QUEUE: usize = 512;
/// Sessions whose history is kept.
const SESSIONS: usize = 4096;
/// Tokens that are worth sharing: below, a prompt computes its own in the step that it needs anyway.
const ALIKE: u32 = 32;

/// The engine of a model that generates.
pub(in super::super) struct Generator {
    decoder: Decoder,
    desk: Desk,
    preparer: Preparer,
    pace: Pace,
    /// Of the latest step.
    rows: Vec<Row>,
    steps: u64,
    overcommits: u64,
}

impl Generator {
    /// Puts the engine together. `prefix` is computed in its sequence already.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(in super::super) fn new(
        model: &Model,
        decoder: Decoder,
        spec: &LoadSpec,
        prefix: Vec<Token>,
        template: Option<ChatTemplate>,
        events: SyncSender<Event>,
    ) -> io::Result<Self> {
        let vocabulary = Arc::clone(&model.vocabulary);
        let limits = Limits {
            cells: decoder.cells(),
            cached: model.cached_cells(spec.context),
            alike: ALIKE,
            context: spec.context,
            parallel: decoder.parallel(),
            slots: decoder.slots(),
            batch: decoder.batch_rows(),
            outputs: decoder.outputs(),
            queue: QUEUE,
            sessions: SESSIONS,
        };
        let form = template.as_ref().map_or(Form::Tagged, ChatTemplate::form);
        let writing = Writing::of(form, vocabulary.specials());
        let preparer = Preparer::start(Arc::clone(&vocabulary), template, spec.context, events.clone())?;
        let desk = Desk {
            schedule: Schedule::new(limits, prefix),
            vocabulary,
            constraints: Constraints::new(model.model, writing, events),
            context: spec.context,
            calls: HashMap::new(),
            cancelled: 0,
            scratch: sampler::scratch(),
            bytes: Vec::new(),
        };
        let pace = Pace::new(decoder.batch_rows());
        Ok(Self { decoder, desk, preparer, pace, rows: Vec::new(), steps: 0, overcommits: 0 })
    }

    fn compute(
        &mut self,
        session: SessionId,
        call: CallId,
        context: CallContext,
        credit: u32,
        work: Work,
        out: &mut Outbox,
    ) {
        match self.accept(session, call, context, credit, work) {
            Ok(None) => {}
            Ok(Some(text)) => self.preparer.submit(call, text),
            Err(error) => send(out, &FromWorker::Failed { call, error }),
        }
        self.desk.enqueue_values(call, out);
    }

    /// Takes a compute in hand; what it says in text is to be prepared.
    fn accept(
        &mut self,
        session: SessionId,
        id: CallId,
        context: CallContext,
        credit: u32,
        work: Work,
    ) -> Result<Option<Text>, InferenceError> {
        if self.desk.calls.len() >= MOST_CALLS {
            return Err(too_many(MOST_CALLS));
        }
        if self.desk.calls.contains_key(&id) || self.desk.is_busy(session) {
            return Err(InferenceError::new(
                Reason::InvalidState,
                "the session is computing already; wait for the end of that answer",
            ));
        }
        let mut account = context.account;
        let (stage, text) = match work {
            Work::Generate { prompt, options } => {
                if options.stream {
                    // The reader's window bounds what is held of a stream; the account counts what it takes.
                    account = u64::MAX;
                }
                let start = !self.desk.schedule.has_history(Key::Session(session));
                let placement = match &prompt {
                    Prompt::Chat { .. } => Placement::Replace,
                    Prompt::Text(_) | Prompt::Tokens(_) => Placement::Append,
                };
                (Stage::Preparing(Box::new(options), placement), Some(Text::Prompt { prompt, start }))
            }
            Work::Logits { tokens } => {
                self.desk.vocabulary.check(&tokens)?;
                (Stage::Logits(tokens), None)
            }
            Work::Score { prompt, answer } => {
                self.desk.vocabulary.check(&answer)?;
                match prompt {
                    // What is tokens already needs no other thread.
                    Prompt::Tokens(prompt) => {
                        self.desk.vocabulary.check(&prompt)?;
                        (Stage::Score(Scoring::new(prompt, &answer)?), None)
                    }
                    prompt => (Stage::PreparingScore(answer), Some(Text::Prompt { prompt, start: true })),
                }
            }
            Work::Embed { .. } => return Err(unsupported("embedding", "generates text")),
        };
        let deadline = Instant::now() + Duration::from_millis(context.remaining_ms.min(MOST_MILLISECONDS));
        let scope = Arc::new(context.scope);
        let request = context.request;
        let call = Call { request, session, deadline, account, scope, priority: context.priority, credit, stage };
        self.desk.calls.insert(id, call);
        Ok(text)
    }

    /// Lets waiting computes start, and brings the cache in the state that the scheduler assumes.
    fn admit(&mut self) {
        loop {
            let admission = self.desk.schedule.admit();
            for (call, cached) in admission.admitted {
                self.desk.admitted(call, cached);
            }
            let mut lost = false;
            for op in admission.ops {
                let (slot, done) = match op {
                    Op::Trim { slot, keep } => (slot, self.decoder.trim(slot, keep)),
                    Op::Share { from, slot, len } => (slot, self.decoder.share(from, slot, len)),
                };
                if !done {
                    lost = true;
                    self.desk.schedule.lost(slot);
                    if matches!(op, Op::Share { .. }) {
                        self.desk.schedule.cannot_share();
                    }
                }
            }
            // Whoever has lost cells begins again, with none.
            if !lost {
                return;
            }
        }
    }

    /// Computes these rows, and sees to what they give.
    fn step_of(&mut self, rows: &[Row], out: &mut Outbox) {
        let started = Instant::now();
        self.steps += 1;
        if let Err(error) = self.decoder.step(rows) {
            return self.failed(rows, &error, out);
        }
        self.pace.measured(rows.len(), started.elapsed());
        self.desk.schedule.commit(rows);
        for (at, row) in rows.iter().enumerate() {
            if let Some(logits) = self.decoder.logits(at) {
                self.desk.output(row, logits, out);
            }
        }
    }

    /// A step failed: what it was for fails, or waits again; everybody else goes on.
    fn failed(&mut self, rows: &[Row], error: &StepError, out: &mut Outbox) {
        let calls: HashSet<CallId> = rows.iter().map(|row| row.call).collect();
        let requests: Vec<&str> =
            calls.iter().filter_map(|call| self.desk.calls.get(call)).map(|call| call.request.as_str()).collect();
        tracing::error!("a step for the requests {} failed: {error}", requests.join(", "));
        if *error == StepError::NoRoom {
            self.overcommits += 1;
            let running: Vec<CallId> = self.desk.schedule.running().collect();
            if let [_, .., newest] = running.as_slice() {
                self.desk.requeue(*newest);
                return;
            }
        }
        let slots: HashSet<u32> = rows.iter().map(|row| row.slot).collect();
        for slot in slots {
            self.decoder.trim(slot, 0);
            self.desk.schedule.lost(slot);
        }
        for call in calls {
            let message = format!("the model's backend failed: {error}; the session may be used again");
            self.desk.fail(call, InferenceError::new(Reason::BackendFailed, message), out);
        }
    }
}

/// A year: a deadline beyond it is none.
const MOST_MILLISECONDS: u64 = 365 * 24 * 3600 * 1000;

impl Machine for Generator {
    fn receive(&mut self, event: Event, out: &mut Outbox) {
        match event {
            Event::Host(ToWorker::Compute { session, call, context, credit, work }) => {
                self.compute(session, call, context, credit, work, out);
            }
            Event::Host(ToWorker::Credit { call, tokens }) => self.desk.credit(call, tokens),
            Event::Host(ToWorker::Cancel { call }) => self.desk.cancel(call),
            Event::Host(ToWorker::Close { session }) => self.desk.close(session),
            Event::Host(ToWorker::Ping) => send(out, &FromWorker::Pong),
            Event::Host(ToWorker::Threads(threads)) => self.decoder.set_threads(threads),
            // The reader ends the process on these.
            Event::Host(ToWorker::Hello(_) | ToWorker::Load(_)) => {}
            Event::Prepared(call, Ok(mut texts)) => {
                self.desk.prepared(call, texts.pop().unwrap_or_default(), out);
            }
            Event::Compiled(call, Ok(())) => self.desk.compiled(call, out),
            Event::Prepared(call, Err(error)) | Event::Compiled(call, Err(error)) => self.desk.fail(call, error, out),
            Event::Chosen(call, chosen, logits) => self.desk.chosen_there(call, chosen, logits, out),
        }
    }

    fn expire(&mut self, now: Instant, out: &mut Outbox) -> Option<Instant> {
        self.desk.expire(now, out)
    }

    fn step(&mut self, out: &mut Outbox) -> bool {
        self.admit();
        let mut rows = std::mem::take(&mut self.rows);
        self.desk.schedule.plan_into(&mut rows, |demand| self.pace.budget(demand));
        if !rows.is_empty() {
            self.step_of(&rows, out);
        }
        self.rows = rows;
        !self.rows.is_empty()
    }

    fn stats(&mut self) -> WorkerStats {
        let counts = self.desk.schedule.counts();
        WorkerStats {
            sequences: counts.sequences,
            running: counts.running,
            waiting: counts.waiting,
            paused: counts.paused,
            cells_reserved: counts.reserved,
            cells_cached: counts.cached,
            cells: self.decoder.cells(),
            steps: self.steps,
            cancelled: self.desk.cancelled,
            overcommits: self.overcommits,
        }
    }
}
