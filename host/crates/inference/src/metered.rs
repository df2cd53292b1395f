//! Metering: wraps a session, and leaves one record when it ends, however it ends.

use crate::{
    FinishReason, Generated, InferenceError, InferenceRecord, Output, Reason, Recorder, RequestContext, Session,
    Timings, Usage, Work,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names what is metered.
#[derive(Debug, Clone)]
pub struct Meter {
    /// The graph's name in the component.
    pub graph: Arc<str>,
    /// `name@version`.
    pub bundle: Arc<str>,
    /// `sha256:<hex>`.
    pub digest: Arc<str>,
    /// The release's generation.
    pub generation: u64,
}

/// A session that is metered.
pub struct Metered {
    inner: Box<dyn Session>,
    context: Arc<RequestContext>,
    recorder: Arc<dyn Recorder>,
    meter: Meter,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    started: Option<Instant>,
    computes: u32,
    /// Tokens of the computes before the last one.
    finished: Usage,
    last: Answer,
    first_token: Option<Duration>,
    inter_token: Vec<f32>,
}

/// The answer of the last compute, as far as it is.
#[derive(Default)]
struct Answer {
    usage: Usage,
    last_part: Option<Instant>,
    finish: Option<FinishReason>,
    error: Option<Reason>,
    open: bool,
}

impl Metered {
    /// Meters `inner` for the request.
    pub fn new(
        inner: Box<dyn Session>,
        context: Arc<RequestContext>,
        recorder: Arc<dyn Recorder>,
        meter: Meter,
    ) -> Self {
        Self { inner, context, recorder, meter, progress: Progress::default() }
    }

    /// Goes on with another version's session, as if it had been that one from the start: for a compute of which
    /// nothing has come. False, and nothing has changed, where the client was already told which version answers.
    #[must_use]
    pub fn move_to(&mut self, inner: Box<dyn Session>, meter: Meter) -> bool {
        if self.progress.last.open && !self.context.bundles.withdraw(&self.meter.bundle) {
            return false;
        }
        if self.progress.last.open {
            // The compute that is made again is the same one.
            self.progress.computes = self.progress.computes.saturating_sub(1);
            self.progress.last = Answer::default();
        }
        self.inner = inner;
        self.meter = meter;
        true
    }

    /// The answer ended in an error that the inner session does not know of.
    pub fn fail(&mut self, reason: Reason) {
        self.progress.last.error = Some(reason);
        self.progress.last.open = false;
    }
}

impl Progress {
    /// Begins a compute, and returns the answer before it.
    fn begin(&mut self) -> Answer {
        self.started.get_or_insert_with(Instant::now);
        self.computes += 1;
        let before = std::mem::replace(&mut self.last, Answer { open: true, ..Answer::default() });
        self.finished = sum(self.finished, before.usage);
        before
    }

    /// As if the compute had never begun: the answer before it goes on, and its tokens are still being counted.
    fn refused(&mut self, before: Answer, finished: Usage) {
        self.computes -= 1;
        self.finished = finished;
        self.last = before;
    }

    fn end(&mut self, result: &Result<Output, InferenceError>) {
        match result {
            Ok(Output::Generated(generated)) => self.part(generated),
            Ok(Output::Embeddings(embeddings)) => self.last.whole(embeddings.metadata.usage),
            Ok(Output::Logits(values) | Output::Scores(values)) => self.last.whole(values.usage),
            Err(error) => {
                self.last.error = Some(error.reason);
                self.last.open = false;
            }
        }
    }

    fn part(&mut self, generated: &Generated) {
        let (now, usage) = (Instant::now(), generated.metadata.usage);
        let tokens = usage.output_tokens.saturating_sub(self.last.usage.output_tokens);
        if self.first_token.is_none() {
            self.first_token = self.started.map(|started| now.duration_since(started));
        }
        if let Some(last) = self.last.last_part
            && tokens > 0
        {
            self.inter_token.push(now.duration_since(last).as_secs_f32() / tokens as f32);
        }
        self.last.last_part = Some(now);
        self.last.usage = usage;
        self.last.finish = generated.metadata.finish_reason;
        self.last.open = self.last.finish.is_none();
    }
}

impl Answer {
    fn whole(&mut self, usage: Usage) {
        self.usage = usage;
        self.finish = Some(FinishReason::Stop);
        self.open = false;
    }
}

fn sum(a: Usage, b: Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens + b.input_tokens,
        output_tokens: a.output_tokens + b.output_tokens,
        cached_tokens: a.cached_tokens + b.cached_tokens,
    }
}

impl Session for Metered {
    fn compute(&mut self, work: Work) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            let finished = self.progress.finished;
            let before = self.progress.begin();
            self.context.bundles.note(&self.meter.bundle);
            let result = self.inner.compute(work).await;
            match &result {
                // A compute out of order leaves the open stream as it was.
                Err(error) if error.reason == Reason::InvalidState && before.open => {
                    self.progress.refused(before, finished);
                }
                _ => self.progress.end(&result),
            }
            result
        })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            let result = self.inner.next().await;
            self.progress.end(&result);
            result
        })
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let progress = &mut self.progress;
        let Some(started) = progress.started else { return };
        // Dropped while an answer was still open: nobody waited for its end.
        let error = progress.last.error.or(progress.last.open.then_some(Reason::Cancelled));
        self.recorder.record(InferenceRecord {
            request: self.context.id.clone(),
            trigger: Arc::clone(&self.context.trigger),
            principal: self.context.principal.clone(),
            graph: Arc::clone(&self.meter.graph),
            bundle: Arc::clone(&self.meter.bundle),
            digest: Arc::clone(&self.meter.digest),
            generation: self.meter.generation,
            computes: progress.computes,
            usage: sum(progress.finished, progress.last.usage),
            timings: Timings {
                total: started.elapsed(),
                first_token: progress.first_token,
                inter_token: std::mem::take(&mut progress.inter_token),
            },
            finish: progress.last.finish,
            error,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deadlines, Metadata, OptionsPatch, Prompt, Values};
    use futures::FutureExt;
    use std::sync::Mutex;

    /// Answers with what it was given, in order.
    struct Script(Vec<Result<Output, InferenceError>>);

    impl Session for Script {
        fn compute(&mut self, _work: Work) -> BoxFuture<'_, Result<Output, InferenceError>> {
            self.next()
        }

        fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>> {
            Box::pin(async { self.0.remove(0) })
        }
    }

    #[derive(Default)]
    struct Records(Mutex<Vec<InferenceRecord>>);

    impl Recorder for Records {
        fn record(&self, record: InferenceRecord) {
            self.0.lock().unwrap().push(record);
        }
    }

    impl Records {
        fn only(&self) -> InferenceRecord {
            let mut records = self.0.lock().unwrap();
            assert_eq!(records.len(), 1);
            records.remove(0)
        }
    }

    fn metered(script: Vec<Result<Output, InferenceError>>) -> (Metered, Arc<Records>) {
        let context = Arc::new(RequestContext::new(
            "story".into(),
            Deadlines::after(Duration::from_secs(60), Duration::from_secs(1)),
            1 << 20,
        ));
        let records = Arc::new(Records::default());
        let meter = Meter {
            graph: "story".into(),
            bundle: "storyteller@1.0.0".into(),
            digest: "sha256:00".into(),
            generation: 1,
        };
        let recorder: Arc<Records> = Arc::clone(&records);
        (Metered::new(Box::new(Script(script)), context, recorder, meter), records)
    }

    fn usage(input_tokens: u32, output_tokens: u32) -> Usage {
        Usage { input_tokens, output_tokens, cached_tokens: 0 }
    }

    fn part(tokens: u32, finish_reason: Option<FinishReason>) -> Result<Output, InferenceError> {
        let (bundle, digest) = ("storyteller@1.0.0".into(), "sha256:00".into());
        let metadata =
            Metadata { usage: usage(4, tokens), finish_reason, bundle, digest, logprobs: None, tool_calls: Vec::new() };
        Ok(Output::Generated(Generated { text: "x".into(), metadata }))
    }

    fn out_of_order() -> Result<Output, InferenceError> {
        Err(InferenceError::new(Reason::InvalidState, "a streamed answer is still open"))
    }

    fn generate() -> Work {
        let options = OptionsPatch::default().resolve(&OptionsPatch::default()).unwrap();
        Work::Generate { prompt: Prompt::Text("Once".into()), options }
    }

    #[test]
    fn logits_and_scores_count_their_tokens() {
        let values = |input| Values { values: vec![0.5], usage: usage(input, 0) };
        let (mut session, records) = metered(vec![Ok(Output::Logits(values(3))), Ok(Output::Scores(values(5)))]);
        session.compute(Work::Logits { tokens: vec![1, 2, 3] }).now_or_never().unwrap().unwrap();
        session
            .compute(Work::Score { prompt: Prompt::Tokens(vec![1]), answer: vec![1; 4] })
            .now_or_never()
            .unwrap()
            .unwrap();
        drop(session);
        let record = records.only();
        assert_eq!((record.usage, record.computes), (usage(8, 0), 2));
        assert_eq!((record.finish, record.error), (Some(FinishReason::Stop), None));
    }

    #[test]
    fn a_compute_refused_during_a_stream_changes_nothing_about_the_stream() {
        let script = vec![part(10, None), out_of_order(), part(20, Some(FinishReason::Length))];
        let (mut session, records) = metered(script);
        session.compute(generate()).now_or_never().unwrap().unwrap();
        session.compute(generate()).now_or_never().unwrap().unwrap_err();
        session.next().now_or_never().unwrap().unwrap();
        drop(session);
        let record = records.only();
        assert_eq!((record.usage, record.computes), (usage(4, 20), 1));
        assert_eq!((record.finish, record.error), (Some(FinishReason::Length), None));
        assert_eq!(record.timings.inter_token.len(), 1);
    }

    #[test]
    fn a_stream_that_is_given_up_after_a_refused_compute_is_cancelled() {
        let (mut session, records) = metered(vec![part(10, None), out_of_order()]);
        session.compute(generate()).now_or_never().unwrap().unwrap();
        session.compute(generate()).now_or_never().unwrap().unwrap_err();
        drop(session);
        let record = records.only();
        assert_eq!((record.usage, record.error), (usage(4, 10), Some(Reason::Cancelled)));
    }

    #[test]
    fn computes_one_after_the_other_add_up() {
        let script = vec![part(10, Some(FinishReason::Stop)), part(2, None), part(7, Some(FinishReason::Stop))];
        let (mut session, records) = metered(script);
        session.compute(generate()).now_or_never().unwrap().unwrap();
        session.compute(generate()).now_or_never().unwrap().unwrap();
        session.next().now_or_never().unwrap().unwrap();
        drop(session);
        let record = records.only();
        assert_eq!((record.usage, record.computes), (usage(8, 17), 2));
    }
}
