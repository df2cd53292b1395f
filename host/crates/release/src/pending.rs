//! A change that is under way: accepted, and not yet made.

use crate::events::{Happening, Hub, timestamp};
use crate::live::Verified;
use crate::status::State;
use crate::table::ReleaseId;
use crate::version::Version;
use crate::view::PendingView;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// A change that is under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) release: ReleaseId,
    pub(crate) since: SystemTime,
    pub(crate) who: String,
    pub(crate) why: Option<String>,
    pub(crate) expected: u64,
    at: Mutex<At>,
    /// Fired when the change is given up.
    pub(crate) cancel: CancellationToken,
    /// Fired when it is over, and what it took away is given back or left to the change that came after it.
    pub(crate) over: CancellationToken,
    /// Stable was retired to make room, and must come back if nothing takes its place.
    debt: Mutex<Option<Debt>>,
    hub: Arc<Hub>,
}

/// A stable version that was retired to make room for another.
pub(crate) struct Debt {
    pub(crate) bundle: Arc<str>,
    /// What its worker was started from: its folder may have changed since.
    pub(crate) from: Option<Arc<dyn Verified>>,
}

impl std::fmt::Debug for Debt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Debt").field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct At {
    step: &'static str,
    version: Weak<Version>,
    bundle: Option<Arc<str>>,
}

impl Pending {
    pub(crate) fn new(
        release: ReleaseId,
        who: String,
        why: Option<String>,
        expected: u64,
        hub: &Arc<Hub>,
    ) -> Arc<Self> {
        let at = Mutex::new(At { step: "accepted", version: Weak::new(), bundle: None });
        let (cancel, over, debt) = (CancellationToken::new(), CancellationToken::new(), Mutex::default());
        let (since, hub) = (SystemTime::now(), Arc::clone(hub));
        let pending = Self { release, since, who, why, expected, at, cancel, over, debt, hub };
        pending.tell("accepted", None, None, None);
        Arc::new(pending)
    }

    /// The change makes a step for the sake of a version.
    pub(crate) fn step(&self, step: &'static str, version: &Arc<Version>) {
        let bundle = Arc::clone(version.bundle());
        *self.at.lock() = At { step, version: Arc::downgrade(version), bundle: Some(Arc::clone(&bundle)) };
        self.tell(step, Some(&bundle), None, None);
    }

    /// From here on, giving up means bringing stable back.
    pub(crate) fn owe(&self, debt: Debt) {
        *self.debt.lock() = Some(debt);
    }

    /// What has to be brought back; whoever asks takes that on.
    pub(crate) fn take_debt(&self) -> Option<Debt> {
        self.debt.lock().take()
    }

    /// The change is over without having been made.
    pub(crate) fn failed(&self, code: &'static str, reason: &str) {
        let step = if code == "superseded" { "cancelled" } else { "failed" };
        let bundle = self.at.lock().bundle.clone();
        self.tell(step, bundle.as_ref(), Some(code), Some(reason));
    }

    fn tell(&self, step: &'static str, bundle: Option<&Arc<str>>, code: Option<&'static str>, reason: Option<&str>) {
        self.hub.tell(&Happening::Change {
            release: self.release.to_string(),
            expected_generation: self.expected,
            step,
            bundle: bundle.map(|bundle| &**bundle),
            who: &self.who,
            why: self.why.as_deref(),
            code,
            reason: reason.map(str::to_owned),
            generation: None,
            flip_us: None,
        });
    }

    pub(crate) fn view(&self) -> PendingView {
        let At { mut step, version, bundle } = self.at.lock().clone();
        // The worker itself knows that it is past loading.
        if step == "loading" && version.upgrade().is_some_and(|version| version.status().state == State::Warming) {
            step = "warming";
        }
        PendingView {
            since: timestamp(self.since),
            who: self.who.clone(),
            why: self.why.clone(),
            expected_generation: self.expected,
            bundle,
            step,
        }
    }
}
