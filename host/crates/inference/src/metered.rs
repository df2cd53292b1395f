//! Metering: wraps a session, and leaves one record when it ends, however it ends.

use crate::{
    FinishReason, Generated, InferenceError, InferenceRecord, Output, Reason, Recorder, RequestContext, Session,
    Timings, Usage, Work,
};
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;

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
    last_part: Option<Instant>,
    computes: u32,
    finished: Usage,
    current: Usage,
    first_token: Option<std::time::Duration>,
    inter_token: Vec<f32>,
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
}

impl Progress {
    fn begin(&mut self) {
        self.started.get_or_insert_with(Instant::now);
        self.computes += 1;
        self.finished = sum(self.finished, std::mem::take(&mut self.current));
        self.last_part = None;
        self.finish = None;
        self.error = None;
        self.open = true;
    }

    fn end(&mut self, result: &Result<Output, InferenceError>) {
        match result {
            Ok(Output::Generated(generated)) => self.part(generated),
            Ok(Output::Embeddings(embeddings)) => {
                self.current = embeddings.metadata.usage;
                self.finish = Some(FinishReason::Stop);
                self.open = false;
            }
            Ok(Output::Logits(_) | Output::Scores(_)) => {
                self.finish = Some(FinishReason::Stop);
                self.open = false;
            }
            Err(error) => {
                self.error = Some(error.reason);
                self.open = false;
            }
        }
    }

    fn part(&mut self, generated: &Generated) {
        let now = Instant::now();
        let tokens = generated.metadata.usage.output_tokens.saturating_sub(self.current.output_tokens);
        if self.first_token.is_none() {
            self.first_token = self.started.map(|started| now.duration_since(started));
        }
        if let Some(last) = self.last_part
            && tokens > 0
        {
            self.inter_token.push(now.duration_since(last).as_secs_f32() / tokens as f32);
        }
        self.last_part = Some(now);
        self.current = generated.metadata.usage;
        self.finish = generated.metadata.finish_reason;
        self.open = self.finish.is_none();
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
            self.progress.begin();
            self.context.bundles.note(&self.meter.bundle);
            let result = self.inner.compute(work).await;
            self.progress.end(&result);
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
        let error = progress.error.or(progress.open.then_some(Reason::Cancelled));
        self.recorder.record(InferenceRecord {
            request: self.context.id.clone(),
            trigger: Arc::clone(&self.context.trigger),
            graph: Arc::clone(&self.meter.graph),
            bundle: Arc::clone(&self.meter.bundle),
            digest: Arc::clone(&self.meter.digest),
            generation: self.meter.generation,
            computes: progress.computes,
            usage: sum(progress.finished, progress.current),
            timings: Timings {
                total: started.elapsed(),
                first_token: progress.first_token,
                inter_token: std::mem::take(&mut progress.inter_token),
            },
            finish: progress.finish,
            error,
        });
    }
}
