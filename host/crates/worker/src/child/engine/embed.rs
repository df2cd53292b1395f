//! Embedding: texts of several computes in one batch, one text of each in turn.

use super::super::event::Event;
use super::super::link::Outbox;
use super::super::model::Embedder;
use super::super::prepare::{Preparer, Text};
use super::super::schedule::Token;
use super::super::vocabulary::Vocabulary;
use super::{Machine, past_deadline, send, send_values, too_many, unsupported};
use bobbin_inference::wire::{CallContext, CallId, FromWorker, LoadSpec, SessionId, ToWorker, WorkerStats};
use bobbin_inference::{InferenceError, Priority, Reason, Usage, Work};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// Computes in the worker.
const MOST_CALLS: usize = 1024;

struct Job {
    call: CallId,
    session: SessionId,
    deadline: Instant,
    account: u64,
    priority: Priority,
    dimensions: Option<u32>,
    /// `None` until they are tokens.
    texts: Option<Vec<Vec<Token>>>,
    next: usize,
    /// Rows that are done, in order.
    values: Vec<f32>,
}

/// The engine of a model that embeds.
pub(in super::super) struct EmbedEngine {
    embedder: Embedder,
    preparer: Preparer,
    context: u32,
    dimensions: u32,
    jobs: Vec<Job>,
    steps: u64,
    cancelled: u64,
}

impl EmbedEngine {
    /// Puts the engine together.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(in super::super) fn new(
        embedder: Embedder,
        vocabulary: Arc<Vocabulary>,
        dimensions: u32,
        spec: &LoadSpec,
        events: SyncSender<Event>,
    ) -> io::Result<Self> {
        let preparer = Preparer::start(vocabulary, None, spec.context, events)?;
        let context = spec.context;
        Ok(Self { embedder, preparer, context, dimensions, jobs: Vec::new(), steps: 0, cancelled: 0 })
    }

    fn compute(
        &mut self,
        session: SessionId,
        call: CallId,
        context: &CallContext,
        work: Work,
    ) -> Result<(), InferenceError> {
        let Work::Embed { texts, dimensions } = work else {
            return Err(unsupported("generating", "makes embeddings"));
        };
        if self.jobs.len() >= MOST_CALLS {
            return Err(too_many(MOST_CALLS));
        }
        if texts.is_empty() {
            return Err(InferenceError::new(Reason::InvalidInput, "there is no text to embed; pass at least one"));
        }
        if let Some(asked) = dimensions.filter(|asked| !(1..=self.dimensions).contains(asked)) {
            return Err(InferenceError::new(
                Reason::InvalidOption,
                format!("option \"dimensions\" is {asked}; it must be from 1 to {}", self.dimensions),
            ));
        }
        let deadline = Instant::now() + Duration::from_millis(context.remaining_ms.min(u64::from(u32::MAX)));
        let (account, priority) = (context.account, context.priority);
        let (next, values) = (0, Vec::new());
        self.jobs.push(Job { call, session, deadline, account, priority, dimensions, texts: None, next, values });
        self.preparer.submit(call, Text::Documents(texts));
        Ok(())
    }

    fn prepared(&mut self, call: CallId, texts: Vec<Vec<Token>>, out: &mut Outbox) {
        let most = self.embedder.rows().min(self.context as usize);
        let unsound = texts.iter().enumerate().find(|(_, text)| text.is_empty() || text.len() > most);
        if let Some((at, text)) = unsound {
            let error = if text.is_empty() {
                InferenceError::new(Reason::InvalidInput, format!("text {at} is empty; leave it out"))
            } else {
                InferenceError::new(
                    Reason::ContextExceeded,
                    format!("text {at} has {} tokens; the model's context is {most} tokens; shorten it", text.len()),
                )
            };
            return self.fail(call, error, out);
        }
        if let Some(job) = self.jobs.iter_mut().find(|job| job.call == call) {
            job.texts = Some(texts);
        }
    }

    fn fail(&mut self, call: CallId, error: InferenceError, out: &mut Outbox) {
        if let Some(at) = self.jobs.iter().position(|job| job.call == call) {
            self.jobs.remove(at);
            send(out, &FromWorker::Failed { call, error });
        }
    }

    fn cancel(&mut self, given_up: impl Fn(&Job) -> bool) {
        let before = self.jobs.len();
        self.jobs.retain(|job| !given_up(job));
        self.cancelled += u64::try_from(before - self.jobs.len()).unwrap_or(0);
    }

    /// Texts of the next batch, as indices of jobs and texts: one of each job in turn, requests before
    /// shadows.
    fn plan(&self) -> Vec<(usize, usize)> {
        let mut order: Vec<usize> = (0..self.jobs.len()).collect();
        order.sort_by_key(|at| self.jobs.get(*at).map(|job| std::cmp::Reverse(job.priority)));
        let mut plan = Vec::new();
        let mut room = self.embedder.rows();
        for turn in 0.. {
            let before = plan.len();
            for at in &order {
                let Some((job, texts)) = self.jobs.get(*at).and_then(|job| Some((job, job.texts.as_ref()?))) else {
                    continue;
                };
                let Some(text) = texts.get(job.next + turn) else { continue };
                // A job's texts stay in order: where one did not fit, no later one goes before it.
                let in_order = plan.iter().filter(|(planned, _)| planned == at).count() == turn;
                if in_order && text.len() <= room && plan.len() < self.embedder.texts() {
                    room -= text.len();
                    plan.push((*at, job.next + turn));
                }
            }
            if plan.len() == before {
                break;
            }
        }
        plan
    }

    fn done(&mut self, out: &mut Outbox) {
        let finished = |job: &Job| job.texts.as_ref().is_some_and(|texts| job.next >= texts.len());
        while let Some(at) = self.jobs.iter().position(finished) {
            let job = self.jobs.remove(at);
            let tokens: usize = job.texts.iter().flatten().map(Vec::len).sum();
            let usage = Usage { input_tokens: u32::try_from(tokens).unwrap_or(u32::MAX), ..Usage::default() };
            let bytes = size_of_val(job.values.as_slice());
            let dimensions = job.dimensions.unwrap_or(self.dimensions);
            let message = FromWorker::Embeddings { call: job.call, values: job.values, dimensions, usage };
            send_values(out, job.call, job.account, bytes, &message);
        }
    }
}

/// Shortens a vector where asked, and gives it length 1.
fn normalised(mut vector: Vec<f32>, dimensions: Option<u32>) -> Vec<f32> {
    vector.truncate(dimensions.map_or(usize::MAX, |dimensions| dimensions as usize));
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    #[allow(clippy::cast_possible_truncation, reason = "vectors are reported as f32")]
    let scale = if length > 0.0 { (1.0 / length) as f32 } else { 0.0 };
    vector.iter_mut().for_each(|x| *x *= scale);
    vector
}

impl Machine for EmbedEngine {
    fn receive(&mut self, event: Event, out: &mut Outbox) {
        match event {
            Event::Host(ToWorker::Compute { session, call, context, work, .. }) => {
                if let Err(error) = self.compute(session, call, &context, work) {
                    send(out, &FromWorker::Failed { call, error });
                }
            }
            Event::Host(ToWorker::Cancel { call }) => self.cancel(|job| job.call == call),
            Event::Host(ToWorker::Close { session }) => self.cancel(|job| job.session == session),
            Event::Host(ToWorker::Ping) => send(out, &FromWorker::Pong),
            Event::Host(ToWorker::Threads(threads)) => self.embedder.set_threads(threads),
            // Vectors come in one frame, so there is no window; the reader ends the process on the others.
            Event::Host(ToWorker::Credit { .. } | ToWorker::Hello(_) | ToWorker::Load(_)) => {}
            Event::Prepared(call, Ok(texts)) => self.prepared(call, texts, out),
            Event::Prepared(call, Err(error)) => self.fail(call, error, out),
            // Nothing is sampled here.
            Event::Compiled(..) | Event::Chosen(..) => {}
        }
    }

    fn expire(&mut self, now: Instant, out: &mut Outbox) -> Option<Instant> {
        while let Some(late) = self.jobs.iter().find(|job| job.deadline <= now).map(|job| job.call) {
            self.fail(late, past_deadline("embedding or waiting to"), out);
        }
        self.jobs.iter().map(|job| job.deadline).min()
    }

    fn step(&mut self, out: &mut Outbox) -> bool {
        let plan = self.plan();
        let text = |(job, text): &(usize, usize)| {
            self.jobs.get(*job).and_then(|job| job.texts.as_ref()?.get(*text)).map(Vec::as_slice)
        };
        let texts: Vec<&[Token]> = plan.iter().filter_map(text).collect();
        if texts.is_empty() {
            return false;
        }
        self.steps += 1;
        match self.embedder.embed(&texts) {
            Ok(vectors) => {
                for ((at, _), vector) in plan.iter().zip(vectors) {
                    if let Some(job) = self.jobs.get_mut(*at) {
                        job.values.extend(normalised(vector, job.dimensions));
                        job.next += 1;
                    }
                }
                self.done(out);
            }
            Err(error) => {
                tracing::error!("{error}");
                let calls: Vec<CallId> =
                    plan.iter().filter_map(|(at, _)| self.jobs.get(*at)).map(|job| job.call).collect();
                for call in calls {
                    let message = format!("the model's backend failed: {error}");
                    self.fail(call, InferenceError::new(Reason::BackendFailed, message), out);
                }
            }
        }
        true
    }

    fn stats(&mut self) -> WorkerStats {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let running = self.jobs.iter().filter(|job| job.next > 0).count();
        WorkerStats {
            running: count(running),
            waiting: count(self.jobs.len() - running),
            steps: self.steps,
            cancelled: self.cancelled,
            ..WorkerStats::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn a_vector_has_length_one_however_short_it_is_made() {
        assert_eq!(normalised(vec![3.0, 4.0], None), [0.6, 0.8]);
        assert_eq!(normalised(vec![3.0, 4.0], Some(1)), [1.0]);
        assert_eq!(normalised(vec![0.0, 0.0], None), [0.0, 0.0]);
    }
}
