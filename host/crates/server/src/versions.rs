//! Metrics that are read when somebody asks: what each bundle version and its worker are doing, and how many
//! requests are in flight.

use crate::admission::Admission;
use bobbin_inference::Class;
use bobbin_release::{State, Version, Vitals};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// One version at one moment.
pub(crate) struct Snapshot {
    pub(crate) bundle: Arc<str>,
    pub(crate) class: Class,
    pub(crate) state: State,
    pub(crate) leases: usize,
    /// `None` while there is no worker.
    pub(crate) vitals: Option<Vitals>,
}

impl Snapshot {
    pub(crate) fn of(version: &Version) -> Self {
        Self {
            bundle: Arc::clone(version.bundle()),
            class: version.class(),
            state: version.status().state,
            leases: version.leases(),
            vitals: version.live().map(|live| live.vitals()),
        }
    }

    /// A bundle can serve in one release and be another's shadow, in a worker of its own.
    fn labels(&self) -> BundleLabels {
        let class = match self.class {
            Class::Serving => "serving",
            Class::Shadow => "shadow",
        };
        BundleLabels { bundle: Arc::clone(&self.bundle), class }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BundleLabels {
    bundle: Arc<str>,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    bundle: Arc<str>,
    class: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CageLabels {
    bundle: Arc<str>,
    class: &'static str,
    rule: String,
    holds: bool,
}

type Gauges = Family<BundleLabels, Gauge>;
type Counters = Family<BundleLabels, Counter>;

/// Writes the versions in the OpenMetrics text format, without its end mark. The families are made anew each
/// time, so that a version that is gone leaves no stale numbers.
pub(crate) fn encode(text: &mut String, admission: &Admission, versions: &[Snapshot]) -> fmt::Result {
    let mut registry = Registry::with_prefix("bobbin");
    in_flight(&mut registry, admission);
    states(&mut registry, versions);
    workers(&mut registry, versions);
    cages(&mut registry, versions);
    gpus(&mut registry, versions);
    encode_registry(text, &registry)
}

fn in_flight(registry: &mut Registry, admission: &Admission) {
    let (held, limit) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    held.set(whole(admission.in_flight()));
    limit.set(whole(admission.limit()));
    registry.register("http_requests_in_flight", "Requests and messages that components work on", held);
    registry.register("http_requests_in_flight_limit", "The bound on them", limit);
}

fn states(registry: &mut Registry, versions: &[Snapshot]) {
    let (states, leases) = (Family::<StateLabels, Gauge>::default(), Gauges::default());
    for version in versions {
        let labels = version.labels();
        leases.get_or_create(&labels).set(whole(version.leases));
        let BundleLabels { bundle, class } = labels;
        states.get_or_create(&StateLabels { bundle, class, state: version.state.as_str() }).set(1);
    }
    registry.register("version_state", "The state of a bundle version: 1 for the one it is in", states);
    registry.register("version_leases", "Leases that requests hold on a bundle version", leases);
}

fn workers(registry: &mut Registry, versions: &[Snapshot]) {
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: fn(&Vitals) -> i64| {
        let family = Gauges::default();
        for (labels, vitals) in with_worker(versions) {
            family.get_or_create(&labels).set(value(vitals));
        }
        registry.register(name, help, family);
    };
    let counter = |registry: &mut Registry, name: &str, help: &str, value: fn(&Vitals) -> u64| {
        let family = Counters::default();
        for (labels, vitals) in with_worker(versions) {
            family.get_or_create(&labels).inc_by(value(vitals));
        }
        registry.register(name, help, family);
    };
    gauge(registry, "worker_sequences", "Sequences that hold cells, running or idle", |v| v.stats.sequences.into());
    gauge(registry, "worker_running", "Sequences being computed", |v| v.stats.running.into());
    gauge(registry, "worker_waiting", "Computes that wait for cells", |v| v.stats.waiting.into());
    gauge(registry, "worker_paused", "Sequences paused for a slow reader", |v| v.stats.paused.into());
    gauge(registry, "worker_cells", "Cells of the key-value cache", |v| v.stats.cells.into());
    gauge(registry, "worker_cells_reserved", "Cells reserved by sequences", |v| v.stats.cells_reserved.into());
    gauge(registry, "worker_cells_cached", "Cells kept of sequences that are over", |v| v.stats.cells_cached.into());
    counter(registry, "worker_steps", "Steps of the scheduler", |v| v.stats.steps);
    counter(registry, "worker_cancelled", "Computes that were given up", |v| v.stats.cancelled);
    counter(registry, "worker_overcommits", "Steps without room in spite of reserved cells: a bug", |v| {
        v.stats.overcommits
    });
    counter(registry, "worker_restarts", "How often the worker was started again", |v| v.restarts);
    let resident = Gauges::default();
    for (labels, vitals) in with_worker(versions) {
        if let Some(bytes) = vitals.resident_bytes {
            resident.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
    registry.register_with_unit("worker_resident", "Resident memory of the worker", Unit::Bytes, resident);
}

fn cages(registry: &mut Registry, versions: &[Snapshot]) {
    let rules = Family::<CageLabels, Gauge>::default();
    for (BundleLabels { bundle, class }, vitals) in with_worker(versions) {
        for (rule, reason) in &vitals.cage {
            let labels = CageLabels { bundle: Arc::clone(&bundle), class, rule: rule.clone(), holds: reason.is_none() };
            rules.get_or_create(&labels).set(1);
        }
    }
    registry.register("worker_cage", "The rules of the worker's cage, and whether they hold on this kernel", rules);
}

fn gpus(registry: &mut Registry, versions: &[Snapshot]) {
    let gpus = Gauges::default();
    for (labels, vitals) in with_worker(versions) {
        if let Some(gpu) = &vitals.gpu {
            gpus.get_or_create(&labels).set(gpu.is_ok().into());
        }
    }
    let help = "Whether a GPU computes: 0 where its worker has failed, nothing where this node has none";
    registry.register("worker_gpu", help, gpus);
}

fn with_worker(versions: &[Snapshot]) -> impl Iterator<Item = (BundleLabels, &Vitals)> {
    versions.iter().filter_map(|version| version.vitals.as_ref().map(|vitals| (version.labels(), vitals)))
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
