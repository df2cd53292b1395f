//! The releases of a host: one table, one writer, free readers.

use crate::pins::Pins;
use crate::status::State;
use crate::table::{ReleaseId, Table};
use crate::version::Version;
use arc_swap::ArcSwap;
use bobbin_inference::Recorder;
use std::sync::Arc;

/// The host's releases.
pub struct Releases {
    /// One swap for all of them: a request that reads two releases never sees half of a change.
    table: ArcSwap<Table>,
    recorder: Arc<dyn Recorder>,
}

/// Whether every declared release answers.
#[derive(Debug, Clone)]
pub struct Readiness(
    /// The releases that do not.
    pub Vec<Unready>,
);

/// A release that does not answer.
#[derive(Debug, Clone)]
pub struct Unready {
    /// Which.
    pub release: ReleaseId,
    /// `name@version`.
    pub bundle: Arc<str>,
    /// Where its version is.
    pub state: State,
    /// Why, where that is known.
    pub reason: Option<String>,
}

impl Readiness {
    /// True when every declared release answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.is_empty()
    }
}

impl Releases {
    /// Releases of this table; sessions opened on them leave their records with `recorder`.
    #[must_use]
    pub fn new(table: Table, recorder: Arc<dyn Recorder>) -> Self {
        Self { table: ArcSwap::from_pointee(table), recorder }
    }

    /// Decides, once per request, which version serves each graph name of a trigger's component.
    #[must_use]
    pub fn pin(&self, trigger: &str) -> Pins {
        Pins::decide(&self.table.load(), trigger, &self.recorder)
    }

    /// The table as it is now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Every version that some release names, once.
    #[must_use]
    pub fn versions(&self) -> Vec<Arc<Version>> {
        let mut versions: Vec<Arc<Version>> = Vec::new();
        for release in self.table.load().iter() {
            if !versions.iter().any(|version| Arc::ptr_eq(version, &release.stable)) {
                versions.push(Arc::clone(&release.stable));
            }
        }
        versions
    }

    /// Which releases do not answer, and why.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let table = self.table.load();
        let unready = table.iter().filter_map(|release| {
            let status = release.stable.status();
            (status.state != State::Ready).then(|| Unready {
                release: release.id.clone(),
                bundle: Arc::clone(release.stable.bundle()),
                state: status.state,
                reason: status.reason,
            })
        });
        Readiness(unready.collect())
    }
}
