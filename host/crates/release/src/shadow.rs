//! A shadow: a version that never answers anybody. It is shown what others were asked and answered, scores the real
//! answer, and gives one of its own to compare lengths and endings with.
//!
//! Nothing of it can delay or fail a request: a session's first answer is copied as it passes, jobs wait in a short
//! queue that drops what does not fit, and the shadow's worker runs at the lowest priority of the machine.

use crate::table::ReleaseId;
use crate::version::{Hold, Version};
use bobbin_inference::{
    Deadlines, FinishReason, Generated, Graph, InferenceError, Options, Output, Priority, Prompt, RequestContext,
    Scope, Work,
};
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// Answers that wait to be scored.
const QUEUE: usize = 32;
/// What the host may hold for one job, in bytes.
const JOB_BYTES: u64 = 32 << 20;
/// How long a job may take: beyond it the shadow is too slow to follow.
const JOB_TIME: Duration = Duration::from_secs(60);
/// What watching takes from a request's account for each token that waits, at the most.
const WATCHED_TOKEN_BYTES: u64 = 256;

/// How far a shadow agrees with the versions that answer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Agreement {
    /// Answers compared.
    pub(crate) samples: u64,
    /// Answers that came while the queue was full, or for which there was no room.
    pub(crate) dropped: u64,
    /// Answers that the shadow failed on.
    pub(crate) failed: u64,
    /// Answers scored token by token: both versions have the same vocabulary.
    scored: u64,
    difference: f64,
    same_finish: u64,
    length_ratio: f64,
}

/// [`Agreement`] as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreementView {
    /// `name@version` of the shadow.
    pub shadow: Arc<str>,
    /// Answers compared.
    pub samples: u64,
    /// Answers left out, since the shadow could not follow.
    pub dropped: u64,
    /// Answers that the shadow failed on.
    pub failed: u64,
    /// Whether token ids mean the same to both; `None` before the first sample.
    pub same_vocabulary: Option<bool>,
    /// Mean over answers of the mean over tokens: how much more likely the answering version found its own tokens,
    /// as a difference of natural logarithms. `None` where nothing was scored.
    pub mean_logprob_difference: Option<f64>,
    /// Share of answers that the shadow ends for the same reason.
    pub same_finish: Option<f64>,
    /// Mean of the shadow's tokens over the real answer's.
    pub mean_length_ratio: Option<f64>,
}

impl Agreement {
    fn add(&mut self, comparison: &Comparison) {
        self.samples += 1;
        if let Some(difference) = comparison.difference {
            self.scored += 1;
            self.difference += difference;
        }
        self.same_finish += u64::from(comparison.same_finish);
        self.length_ratio += comparison.length_ratio;
    }

    pub(crate) fn view(&self, shadow: &Arc<str>) -> AgreementView {
        let mean = |sum: f64, of: u64| (of > 0).then(|| sum / of as f64);
        AgreementView {
            shadow: Arc::clone(shadow),
            samples: self.samples,
            dropped: self.dropped,
            failed: self.failed,
            same_vocabulary: (self.samples > 0).then_some(self.scored > 0),
            mean_logprob_difference: mean(self.difference, self.scored),
            same_finish: mean(self.same_finish as f64, self.samples),
            mean_length_ratio: mean(self.length_ratio, self.samples),
        }
    }
}

/// One answer, and what the shadow makes of it.
struct Comparison {
    difference: Option<f64>,
    same_finish: bool,
    length_ratio: f64,
}

/// A shadow version in the service of a release.
pub(crate) struct Shadowing {
    hold: Hold,
    jobs: mpsc::Sender<Job>,
    agreement: Arc<Mutex<Agreement>>,
}

impl std::fmt::Debug for Shadowing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shadowing").field("version", self.version()).finish_non_exhaustive()
    }
}

impl Shadowing {
    /// Begins to follow. Must be called within a runtime.
    pub(crate) fn new(hold: Hold, release: &ReleaseId) -> Arc<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let agreement = Arc::<Mutex<Agreement>>::default();
        let (version, trigger) = (Arc::downgrade(hold.version()), Arc::clone(&release.trigger));
        tokio::spawn(follow(version, trigger, queue, Arc::clone(&agreement)));
        Arc::new(Self { hold, jobs, agreement })
    }

    pub(crate) fn version(&self) -> &Arc<Version> {
        self.hold.version()
    }

    pub(crate) fn agreement(&self) -> Agreement {
        *self.agreement.lock()
    }

    /// Whether it is there, and token ids mean to it what they mean to a graph of this vocabulary.
    fn speaks(&self, vocabulary: Option<&Arc<str>>) -> bool {
        let live = self.version().live().filter(|live| live.is_ready());
        live.and_then(|live| live.graph().vocabulary()).is_some_and(|own| Some(&own) == vocabulary)
    }

    fn drop_one(&self) {
        self.agreement.lock().dropped += 1;
    }
}

/// An answer, and what was asked.
struct Job {
    prompt: Prompt,
    options: Options,
    answer: Answer,
    vocabulary: Option<Arc<str>>,
}

#[derive(Default)]
struct Answer {
    tokens: Vec<i32>,
    logprobs: Vec<f32>,
    output_tokens: u32,
    finish: Option<FinishReason>,
}

/// Copies the first answer of a session as it passes.
pub(crate) struct Tee {
    shadow: Weak<Shadowing>,
    vocabulary: Option<Arc<str>>,
    watching: Watching,
}

enum Watching {
    Nothing,
    First { job: Box<Job>, strip: bool },
    Over,
}

impl Tee {
    /// A tee for a session; `None` where the release has no shadow.
    pub(crate) fn new(shadow: &Weak<Shadowing>, graph: &dyn Graph) -> Option<Self> {
        let watched = shadow.strong_count() > 0;
        let tee = || Self { shadow: Weak::clone(shadow), vocabulary: graph.vocabulary(), watching: Watching::Nothing };
        watched.then(tee)
    }

    /// Looks at what is asked; the work may report more than the guest asked for, which is taken out again.
    pub(crate) fn watch(&mut self, work: Work, context: &RequestContext) -> Work {
        let first = matches!(self.watching, Watching::Nothing);
        self.watching = Watching::Over;
        let Work::Generate { prompt, mut options } = work else { return work };
        if !first {
            return Work::Generate { prompt, options };
        }
        let account = &context.account;
        let room = account.limit().saturating_sub(account.held()) / 2;
        if u64::from(options.max_tokens).saturating_mul(WATCHED_TOKEN_BYTES) > room {
            if let Some(shadow) = self.shadow.upgrade() {
                shadow.drop_one();
            }
            return Work::Generate { prompt, options };
        }
        let job = Job {
            prompt: prompt.clone(),
            options: Options { stream: false, logprobs: None, ..options.clone() },
            answer: Answer::default(),
            vocabulary: self.vocabulary.clone(),
        };
        // Only what will be scored is asked for.
        let scores = self.shadow.upgrade().is_some_and(|shadow| shadow.speaks(self.vocabulary.as_ref()));
        let strip = scores && options.logprobs.is_none();
        if strip {
            options.logprobs = Some(0);
        }
        self.watching = Watching::First { job: Box::new(job), strip };
        Work::Generate { prompt, options }
    }

    /// Sees a part of the answer on its way to the guest.
    pub(crate) fn see(&mut self, result: &mut Result<Output, InferenceError>) {
        let Watching::First { job, strip } = &mut self.watching else { return };
        let Ok(Output::Generated(part)) = result else {
            self.watching = Watching::Over;
            return;
        };
        job.answer.add(part);
        if *strip {
            part.metadata.logprobs = None;
        }
        if part.metadata.finish_reason.is_some()
            && let Watching::First { job, .. } = std::mem::replace(&mut self.watching, Watching::Over)
            && let Some(shadow) = self.shadow.upgrade()
            && shadow.jobs.try_send(*job).is_err()
        {
            shadow.drop_one();
        }
    }
}

impl Answer {
    fn add(&mut self, part: &Generated) {
        for token in part.metadata.logprobs.iter().flatten() {
            self.tokens.push(token.id);
            self.logprobs.push(token.logprob);
        }
        self.output_tokens = part.metadata.usage.output_tokens;
        self.finish = part.metadata.finish_reason;
    }
}

/// Works off the queue, one job at a time, until the shadow's role is over.
async fn follow(
    version: Weak<Version>,
    trigger: Arc<str>,
    mut queue: mpsc::Receiver<Job>,
    agreement: Arc<Mutex<Agreement>>,
) {
    while let Some(job) = queue.recv().await {
        let Some(version) = version.upgrade() else { return };
        let Some(graph) = version.live().filter(|live| live.is_ready()).map(|live| live.graph()) else {
            agreement.lock().dropped += 1;
            continue;
        };
        match compare(&*graph, &trigger, job).await {
            Ok(comparison) => agreement.lock().add(&comparison),
            Err(error) => {
                agreement.lock().failed += 1;
                tracing::debug!(bundle = %version.bundle(), %error, "a shadow failed on an answer");
            }
        }
    }
}

async fn compare(graph: &dyn Graph, trigger: &Arc<str>, job: Job) -> Result<Comparison, InferenceError> {
    let context =
        Arc::new(RequestContext::new(Arc::clone(trigger), Deadlines::after(JOB_TIME, Duration::ZERO), JOB_BYTES));
    let Job { prompt, options, answer, vocabulary } = job;
    // Prefixes are shared with nobody: a shadow learns nothing about who asked.
    let open = || {
        let scope = Scope { route: format!("shadow of {trigger}"), principal: None, adapter: None };
        graph.open(Arc::clone(&context), scope, Priority::Shadow)
    };
    let same_vocabulary = vocabulary.is_some() && vocabulary == graph.vocabulary();
    let difference = if same_vocabulary && !answer.tokens.is_empty() {
        let work = Work::Score { prompt: prompt.clone(), answer: answer.tokens.clone() };
        match open().compute(work).await? {
            Output::Scores(scores) => mean_difference(&answer.logprobs, &scores.values),
            Output::Generated(_) | Output::Logits(_) | Output::Embeddings(_) => None,
        }
    } else {
        None
    };
    let own = match open().compute(Work::Generate { prompt, options }).await? {
        Output::Generated(own) => own.metadata,
        Output::Scores(_) | Output::Logits(_) | Output::Embeddings(_) => {
            return Err(InferenceError::new(bobbin_inference::Reason::Internal, "a shadow generated no text"));
        }
    };
    Ok(Comparison {
        difference,
        same_finish: own.finish_reason == answer.finish,
        length_ratio: f64::from(own.usage.output_tokens) / f64::from(answer.output_tokens.max(1)),
    })
}

fn mean_difference(real: &[f32], shadow: &[f32]) -> Option<f64> {
    let pairs = real.iter().zip(shadow);
    let finite = pairs.map(|(real, shadow)| f64::from(*real) - f64::from(*shadow)).filter(|d| d.is_finite());
    let (count, sum) = finite.fold((0_u32, 0.0), |(count, sum), d| (count + 1, sum + d));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_a_mean_over_answers() {
        let mut agreement = Agreement::default();
        let shadow: Arc<str> = "s@2.0.0".into();
        assert_eq!(agreement.view(&shadow).mean_length_ratio, None);
        agreement.add(&Comparison { difference: Some(0.5), same_finish: true, length_ratio: 2.0 });
        agreement.add(&Comparison { difference: None, same_finish: false, length_ratio: 1.0 });
        let view = agreement.view(&shadow);
        assert_eq!((view.samples, view.same_vocabulary, view.mean_logprob_difference), (2, Some(true), Some(0.5)));
        assert_eq!((view.same_finish, view.mean_length_ratio), (Some(0.5), Some(1.5)));
    }

    #[test]
    fn a_difference_is_how_much_likelier_the_real_version_found_its_tokens() {
        assert_eq!(mean_difference(&[-1.0, -2.0], &[-2.0, -2.0]), Some(0.5));
        assert_eq!(mean_difference(&[f32::NEG_INFINITY, -1.0], &[-1.0, -1.0]), Some(0.0));
        assert_eq!(mean_difference(&[], &[]), None);
    }
}
