//! The table of releases: one immutable value.

use crate::version::Version;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

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
        write!(f, "{} {}", self.trigger, self.graph)
    }
}

/// What a trigger's graph name resolves to.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its name.
    pub id: ReleaseId,
    /// Raised by every change.
    pub generation: u64,
    /// The version that serves.
    pub stable: Arc<Version>,
}

/// All releases.
#[derive(Debug, Clone, Default)]
pub struct Table {
    releases: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Release>>>,
}

impl Table {
    /// A table of these releases; a later one of the same id replaces an earlier one.
    pub fn new(releases: impl IntoIterator<Item = Release>) -> Self {
        let mut table = Self::default();
        for release in releases {
            let trigger = table.releases.entry(Arc::clone(&release.id.trigger)).or_default();
            trigger.insert(Arc::clone(&release.id.graph), Arc::new(release));
        }
        table
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
