//! The table of releases: one immutable value.

use crate::record::Record;
use crate::shadow::Shadowing;
use crate::spec::Weight;
use crate::tenure::Tenure;
use crate::version::{Hold, Version};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

/// Names a release: a trigger's id and a graph's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseId {
    /// Id of the trigger.
    pub trigger: Arc<str>,
    /// Name by which the component loads the graph.
    pub graph: Arc<str>,
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.trigger, self.graph)
    }
}

impl Serialize for ReleaseId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a trigger's graph name resolves to, in one generation.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// The generation: what it was set to, when, by whom, and why.
    pub record: Arc<Record>,
    /// The version that serves.
    pub stable: Arc<Tenure>,
    /// The version that takes a share.
    pub candidate: Option<(Arc<Tenure>, Weight)>,
    pub(crate) shadow: Option<Arc<Shadowing>>,
    pub(crate) warm: Option<Arc<Warm>>,
    /// The version that is kept warm, in the service of those who ask for it by its exact name.
    pub(crate) exact: Option<Arc<Tenure>>,
    /// Counts requests, for splits that nothing sticks to.
    pub(crate) tickets: Arc<AtomicU64>,
}

/// The previous stable version, kept loaded for a rollback.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) hold: Hold,
    pub(crate) since: SystemTime,
    pub(crate) until: SystemTime,
}

impl Release {
    /// What answers requests: stable, the candidate where there is one, and what may be asked for by its exact name.
    pub(crate) fn tenures(&self) -> impl Iterator<Item = &Arc<Tenure>> {
        let candidate = self.candidate.as_ref().map(|(tenure, _)| tenure);
        std::iter::once(&self.stable).chain(candidate).chain(&self.exact)
    }

    /// When the version of a tenure stops answering, where that is decided: with the release, or when nobody keeps it
    /// warm any more. Seconds since 1970.
    pub(crate) fn retires(&self, tenure: &Arc<Tenure>) -> Option<u64> {
        let exact = self.exact.as_ref().is_some_and(|exact| Arc::ptr_eq(exact, tenure));
        let cools = self.warm.as_ref().filter(|_| exact).map(|warm| warm.until);
        let cools = cools.and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
        self.record.spec.retires.into_iter().chain(cools).min()
    }

    /// Every version with a role in it, the kept one included.
    pub(crate) fn versions(&self) -> impl Iterator<Item = Arc<Version>> {
        let serving = self.tenures().filter_map(|tenure| tenure.version());
        let shadow = self.shadow.as_ref().map(|shadow| Arc::clone(shadow.version()));
        let warm = self.warm.as_ref().map(|warm| Arc::clone(warm.hold.version()));
        serving.chain(shadow).chain(warm)
    }
}

/// All releases.
#[derive(Debug, Clone, Default)]
pub struct Table {
    releases: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Release>>>,
}

impl Table {
    /// This table with one release in its new form.
    pub(crate) fn with(&self, release: Release) -> Self {
        let mut releases = self.releases.clone();
        let trigger = releases.entry(Arc::clone(&release.id.trigger)).or_default();
        trigger.insert(Arc::clone(&release.id.graph), Arc::new(release));
        Self { releases }
    }

    /// One release.
    #[must_use]
    pub fn get(&self, id: &ReleaseId) -> Option<&Arc<Release>> {
        self.releases.get(&id.trigger)?.get(&id.graph)
    }

    /// The releases of one trigger.
    pub fn of_trigger(&self, trigger: &str) -> impl Iterator<Item = &Arc<Release>> {
        self.releases.get(trigger).into_iter().flat_map(BTreeMap::values)
    }

    /// Every release.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Release>> {
        self.releases.values().flat_map(BTreeMap::values)
    }
}
