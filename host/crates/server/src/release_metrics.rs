//! What releases are set to, and how their changes went, read when somebody asks.
//!
//! Labels are bounded: a release is a declared one, and a bundle is one that it names now.

use bobbin_release::ReleaseView;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReleaseLabels {
    release: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    release: String,
    bundle: Arc<str>,
}

type Numbers<L> = Family<L, Gauge<f64, AtomicU64>>;

/// Writes the releases in the OpenMetrics text format, without its end mark. The families are made anew each time,
/// so that a canary that is over leaves no stale numbers. `flips` is how often the table was swapped after a commit,
/// and how long that took in all.
pub(crate) fn encode(text: &mut String, views: &[ReleaseView], flips: (u64, Duration)) -> fmt::Result {
    let mut registry = Registry::with_prefix("bobbin");
    generations(&mut registry, views);
    shares(&mut registry, views);
    shadows(&mut registry, views);
    swaps(&mut registry, flips);
    encode_registry(text, &registry)
}

fn generations(registry: &mut Registry, views: &[ReleaseView]) {
    let (generations, pending) = (Family::<ReleaseLabels, Gauge>::default(), Family::<ReleaseLabels, Gauge>::default());
    for view in views {
        let labels = ReleaseLabels { release: view.id.to_string() };
        generations.get_or_create(&labels).set(i64::try_from(view.generation).unwrap_or(i64::MAX));
        pending.get_or_create(&labels).set(view.pending.is_some().into());
    }
    registry.register("release_generation", "The generation of a release", generations);
    registry.register("release_pending", "1 while a change of the release is under way", pending);
}

fn shares(registry: &mut Registry, views: &[ReleaseView]) {
    let (weights, draining) = (Numbers::<RoleLabels>::default(), Family::<RoleLabels, Gauge>::default());
    for view in views {
        if let Some(candidate) = &view.candidate {
            let labels = role(view, &candidate.version.bundle);
            weights.get_or_create(&labels).set(candidate.weight.as_percent());
        }
        for drain in &view.draining {
            // A version can leave twice before it is gone.
            let leases = i64::try_from(drain.leases).unwrap_or(i64::MAX);
            draining.get_or_create(&role(view, &drain.bundle)).inc_by(leases);
        }
    }
    registry.register("release_candidate_weight", "Percent of requests that the candidate takes", weights);
    let help = "Requests that a version which was replaced still answers";
    registry.register("release_draining_leases", help, draining);
}

fn shadows(registry: &mut Registry, views: &[ReleaseView]) {
    let counters = Family::<RoleLabels, Counter>::default;
    let (samples, dropped, failed) = (counters(), counters(), counters());
    let numbers = Numbers::<RoleLabels>::default;
    let (difference, finish, length) = (numbers(), numbers(), numbers());
    for view in views {
        let Some(agreement) = &view.agreement else { continue };
        let labels = role(view, &agreement.shadow);
        samples.get_or_create(&labels).inc_by(agreement.samples);
        dropped.get_or_create(&labels).inc_by(agreement.dropped);
        failed.get_or_create(&labels).inc_by(agreement.failed);
        let means = [
            (&difference, agreement.mean_logprob_difference),
            (&finish, agreement.same_finish),
            (&length, agreement.mean_length_ratio),
        ];
        for (family, mean) in means {
            if let Some(mean) = mean {
                family.get_or_create(&labels).set(mean);
            }
        }
    }
    registry.register("shadow_samples", "Answers that the shadow scored", samples);
    registry.register("shadow_dropped", "Answers that it did not score, for want of time", dropped);
    registry.register("shadow_failed", "Answers that it could not score", failed);
    let help = "Mean difference of log-probability per token, where the vocabularies agree";
    registry.register("shadow_mean_logprob_difference", help, difference);
    registry.register("shadow_same_finish", "Share of answers that the shadow would have ended alike", finish);
    registry.register("shadow_mean_length_ratio", "Mean of the shadow's length over the answer's", length);
}

fn swaps(registry: &mut Registry, (count, took): (u64, Duration)) {
    let (flips, seconds) = (Counter::<u64>::default(), Counter::<f64, AtomicU64>::default());
    flips.inc_by(count);
    seconds.inc_by(took.as_secs_f64());
    registry.register("release_flips", "How often a committed change became visible", flips);
    let help = "From commit to visible, in all";
    registry.register_with_unit("release_flip", help, Unit::Seconds, seconds);
}

fn role(view: &ReleaseView, bundle: &Arc<str>) -> RoleLabels {
    RoleLabels { release: view.id.to_string(), bundle: Arc::clone(bundle) }
}
