//! What happened lately, version by version: the numbers of the metrics, cut into equal steps of time, for charts.
//!
//! Two rings of fixed length hold them: fine steps for what happens now, coarse ones for the last hours. A step holds the
//! versions that answered in it, and no more of them than there is room for. Nothing of it outlives the host: whoever wants
//! months scrapes `/metrics`.

use crate::admin::written;
use crate::admission::Admission;
use crate::metrics::{FIRST_TOKEN_SECONDS, Metrics, NO_BUNDLE};
use bobbin_inference::InferenceRecord;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// A fine step.
pub(crate) const STEP: Duration = Duration::from_secs(5);

/// Fine steps in a coarse one, which so is a minute.
const COARSE: u64 = 12;

/// Fine steps that are remembered: half an hour.
const FINE_STEPS: usize = 360;

/// Coarse steps that are remembered: twelve hours.
const COARSE_STEPS: usize = 720;

/// Versions of one step; more than a host that is well has in a whole day. Further ones are counted together.
const VERSIONS: usize = 32;

/// What those are counted as, and versions whose totals found no room.
const OTHERS: &str = "others";

/// Versions whose totals are kept.
const TOTALS: usize = 1024;

/// Buckets of the time to first token: one for each bound, and one for what is above all of them.
const BUCKETS: usize = FIRST_TOKEN_SECONDS.len() + 1;

/// Which ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Half an hour in fine steps.
    Live,
    /// Twelve hours in coarse ones.
    Hours,
}

/// What a version did in a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Counts {
    /// Requests whose answer used it.
    requests: u64,
    /// Those of them that were answered with 5xx, or broke off other than by their client.
    failed: u64,
    #[serde(flatten)]
    totals: Totals,
    /// Sessions by their time to first token, bucket by bucket.
    first_token: [u64; BUCKETS],
}

/// What a version's sessions came to: in a step, or since the host started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    /// Sessions that ended.
    sessions: u64,
    /// Those of them that ended in an error, other than by their client.
    errors: u64,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    /// Counts up from 1 in its ring.
    number: u64,
    /// Its end.
    at: SystemTime,
    /// The most requests in flight that were seen in it.
    in_flight: usize,
    versions: BTreeMap<Arc<str>, Counts>,
}

/// Steps of one length, the oldest first.
#[derive(Debug, Default)]
struct Ring {
    last: u64,
    steps: VecDeque<Arc<Step>>,
}

/// The rings, and the step that is going on.
#[derive(Debug, Default)]
pub(crate) struct Series(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    now: BTreeMap<Arc<str>, Counts>,
    /// The coarse step that is going on.
    coarse: BTreeMap<Arc<str>, Counts>,
    coarse_in_flight: usize,
    totals: BTreeMap<Arc<str>, Totals>,
    live: Ring,
    hours: Ring,
}

/// The rings as the API shows them.
#[derive(Debug, Serialize)]
pub(crate) struct SeriesView {
    /// Seconds of a step.
    step_seconds: u64,
    /// Upper bounds of the buckets of the time to first token, in seconds; the last bucket has none.
    first_token_bounds: &'static [f64],
    /// The oldest first.
    samples: Vec<StepView>,
}

#[derive(Debug, Serialize)]
struct StepView {
    number: u64,
    at: String,
    in_flight: usize,
    versions: BTreeMap<Arc<str>, Counts>,
}

impl Span {
    /// What a query calls it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "live" => Some(Self::Live),
            "hours" => Some(Self::Hours),
            _ => None,
        }
    }
}

impl Totals {
    fn of(record: &InferenceRecord) -> Self {
        let failed = record.error.is_some_and(|reason| !reason.is_the_callers());
        Self {
            sessions: 1,
            errors: u64::from(failed),
            input_tokens: u64::from(record.usage.input_tokens),
            cached_tokens: u64::from(record.usage.cached_tokens),
            output_tokens: u64::from(record.usage.output_tokens),
        }
    }

    fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.errors += other.errors;
        self.input_tokens += other.input_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.totals.add(&other.totals);
        for (sum, count) in self.first_token.iter_mut().zip(other.first_token) {
            *sum += count;
        }
    }
}

impl Ring {
    fn push(&mut self, most: usize, at: SystemTime, in_flight: usize, versions: BTreeMap<Arc<str>, Counts>) {
        self.last += 1;
        if self.steps.len() == most {
            self.steps.pop_front();
        }
        self.steps.push_back(Arc::new(Step { number: self.last, at, in_flight, versions }));
    }
}

/// Adds to what is kept of a version, or of all those that find no room beside the first `most`. Nearly always it is known:
/// every request comes by here.
fn count<T: Default>(versions: &mut BTreeMap<Arc<str>, T>, most: usize, bundle: &str, add: impl FnOnce(&mut T)) {
    if let Some(known) = versions.get_mut(bundle) {
        return add(known);
    }
    let name = if versions.len() < most { bundle } else { OTHERS };
    add(versions.entry(name.into()).or_default());
}

impl Series {
    /// A session is over.
    pub(crate) fn record(&self, record: &InferenceRecord) {
        let session = Totals::of(record);
        let bucket = record.timings.first_token.map(|first| {
            let seconds = first.as_secs_f64();
            FIRST_TOKEN_SECONDS.iter().take_while(|bound| seconds > **bound).count()
        });
        let mut kept = self.0.lock();
        count(&mut kept.now, VERSIONS, &record.bundle, |counts| {
            counts.totals.add(&session);
            if let Some(bucket) = bucket.and_then(|bucket| counts.first_token.get_mut(bucket)) {
                *bucket += 1;
            }
        });
        count(&mut kept.totals, TOTALS, &record.bundle, |totals| totals.add(&session));
    }

    /// A request is over. `bundles` are those that it used, as its answer's header lists them.
    pub(crate) fn answered(&self, bundles: Option<&str>, failed: bool) {
        let mut kept = self.0.lock();
        for bundle in bundles.unwrap_or(NO_BUNDLE).split(", ") {
            count(&mut kept.now, VERSIONS, bundle, |counts| {
                counts.requests += 1;
                counts.failed += u64::from(failed);
            });
        }
    }

    /// What a version did since the host started.
    pub(crate) fn totals(&self, bundle: &str) -> Totals {
        self.0.lock().totals.get(bundle).copied().unwrap_or_default()
    }

    /// Ends the step that is going on.
    fn end_step(&self, at: SystemTime, in_flight: usize) {
        let mut kept = self.0.lock();
        let versions = std::mem::take(&mut kept.now);
        for (bundle, counts) in &versions {
            count(&mut kept.coarse, VERSIONS, bundle, |sum| sum.add(counts));
        }
        kept.coarse_in_flight = kept.coarse_in_flight.max(in_flight);
        kept.live.push(FINE_STEPS, at, in_flight, versions);
        if kept.live.last.is_multiple_of(COARSE) {
            let (versions, in_flight) = (std::mem::take(&mut kept.coarse), std::mem::take(&mut kept.coarse_in_flight));
            kept.hours.push(COARSE_STEPS, at, in_flight, versions);
        }
    }

    /// The steps that came after the one of this number; all that are remembered for 0, and for a number that is not there
    /// yet: it is another host's.
    pub(crate) fn view(&self, span: Span, after: u64) -> SeriesView {
        let kept = self.0.lock();
        let (ring, seconds) = match span {
            Span::Live => (&kept.live, STEP.as_secs()),
            Span::Hours => (&kept.hours, STEP.as_secs() * COARSE),
        };
        let after = if after > ring.last { 0 } else { after };
        let steps: Vec<Arc<Step>> = ring.steps.iter().filter(|step| step.number > after).cloned().collect();
        // Written without the lock, which every request takes.
        drop(kept);
        let view = |step: &Arc<Step>| StepView {
            number: step.number,
            at: written(step.at),
            in_flight: step.in_flight,
            versions: step.versions.clone(),
        };
        SeriesView {
            step_seconds: seconds,
            first_token_bounds: &FIRST_TOKEN_SECONDS,
            samples: steps.iter().map(view).collect(),
        }
    }
}

/// Ends a step every [`STEP`], until the listener closes.
pub(crate) async fn keep(metrics: Arc<Metrics>, admission: Arc<Admission>, closing: CancellationToken) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + STEP, STEP);
    // A host that was held up has one long step, not several at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled() => return,
            _ = ticks.tick() => metrics.series().end_step(SystemTime::now(), admission.in_flight()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::{FinishReason, Reason, RequestId, Timings, Usage};

    fn record(bundle: &str, first: Option<u64>, error: Option<Reason>) -> InferenceRecord {
        InferenceRecord {
            request: RequestId::new(),
            trigger: "t".into(),
            principal: None,
            graph: "story".into(),
            bundle: bundle.into(),
            digest: "sha256:00".into(),
            generation: 1,
            computes: 1,
            usage: Usage { input_tokens: 7, output_tokens: 30, cached_tokens: 5 },
            timings: Timings { first_token: first.map(Duration::from_millis), ..Timings::default() },
            finish: Some(FinishReason::Stop),
            error,
        }
    }

    fn counted(series: &Series, span: Span, bundle: &str) -> Vec<Counts> {
        series.view(span, 0).samples.iter().filter_map(|step| step.versions.get(bundle).cloned()).collect()
    }

    #[test]
    fn a_step_holds_what_each_version_did_in_it() {
        let series = Series::default();
        series.record(&record("s@1.0.0", Some(20), None));
        series.record(&record("s@1.0.0", Some(31_000), Some(Reason::WorkerLost)));
        for callers in [Reason::Cancelled, Reason::InvalidGrammar, Reason::ContextExceeded] {
            series.record(&record("s@1.1.0", None, Some(callers)));
        }
        series.answered(Some("s@1.0.0, s@1.1.0"), false);
        series.answered(Some("s@1.0.0"), true);
        series.answered(None, false);
        assert!(counted(&series, Span::Live, "s@1.0.0").is_empty(), "the step goes on");
        series.end_step(SystemTime::now(), 3);
        let mut first_token = [0; BUCKETS];
        (first_token[2], first_token[BUCKETS - 1]) = (1, 1);
        let wanted = Counts {
            requests: 2,
            failed: 1,
            totals: Totals { sessions: 2, errors: 1, input_tokens: 14, cached_tokens: 10, output_tokens: 60 },
            first_token,
        };
        assert_eq!(counted(&series, Span::Live, "s@1.0.0"), [wanted]);
        let other = &counted(&series, Span::Live, "s@1.1.0")[0];
        assert_eq!(
            (other.requests, other.totals.sessions, other.totals.errors),
            (1, 3, 0),
            "what clients do wrong, and clients that leave, are no errors of a version"
        );
        assert_eq!(counted(&series, Span::Live, NO_BUNDLE)[0].requests, 1);
        series.end_step(SystemTime::now(), 0);
        assert_eq!(series.view(Span::Live, 0).samples[1].versions.len(), 0, "the next step begins with nothing");
        assert_eq!(series.totals("s@1.0.0").input_tokens, 14);
    }

    #[test]
    fn fine_steps_add_up_to_coarse_ones() {
        let series = Series::default();
        for step in 0..COARSE * 2 {
            series.record(&record("s@1.0.0", Some(20), None));
            series.end_step(SystemTime::now(), usize::try_from(step).unwrap());
        }
        let hours = series.view(Span::Hours, 0);
        let seen: Vec<_> =
            hours.samples.iter().map(|s| (s.number, s.in_flight, s.versions["s@1.0.0"].totals.sessions)).collect();
        assert_eq!(seen, [(1, 11, COARSE), (2, 23, COARSE)]);
        assert_eq!(hours.step_seconds, 60);
    }

    #[test]
    fn rings_and_versions_are_bounded() {
        let series = Series::default();
        let steps = FINE_STEPS + 10;
        for step in 0..steps {
            for version in 0..VERSIONS * 2 {
                series.record(&record(&format!("s@{step}.{version}.0"), None, None));
            }
            series.end_step(SystemTime::now(), 0);
        }
        let live = series.view(Span::Live, 0);
        assert_eq!((live.samples.len(), live.samples[0].number), (FINE_STEPS, 11));
        assert!(live.samples.iter().all(|step| step.versions.len() == VERSIONS + 1));
        assert_eq!(live.samples[0].versions[OTHERS].totals.sessions, VERSIONS as u64);
        assert!(series.view(Span::Hours, 0).samples.iter().all(|step| step.versions.len() <= VERSIONS + 1));
        assert!(series.0.lock().totals.len() <= TOTALS + 1);
    }

    #[test]
    fn whoever_has_some_steps_gets_the_others() {
        let series = Series::default();
        (0..5).for_each(|_| series.end_step(SystemTime::now(), 0));
        let numbers = |after| series.view(Span::Live, after).samples.iter().map(|step| step.number).collect::<Vec<_>>();
        assert_eq!((numbers(0), numbers(3), numbers(5)), (vec![1, 2, 3, 4, 5], vec![4, 5], vec![]));
        assert_eq!(numbers(99), [1, 2, 3, 4, 5], "another host's number");
    }
}
