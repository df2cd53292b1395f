//! A drain: what a tenure took on is finished, or ended when its time is over. It always ends.

use crate::events::{Happening, timestamp};
use crate::releases::Releases;
use crate::status::State;
use crate::table::ReleaseId;
use crate::tenure::Tenure;
use crate::view::DrainingView;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a guest has to tell its client that the version has retired, before its request is cut; and how long a
/// request that was cut has to be gone.
const GRACE: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(5) };

/// What a drain waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every request that the tenure took on is over.
    Idle,
    /// No request computes with it. One that has not begun to gets the version that serves then: nobody is refused for
    /// longer because somebody uploads slowly.
    Unused,
}

/// A tenure on its way out.
#[derive(Debug)]
pub(crate) struct Drain {
    tenure: Arc<Tenure>,
    since: SystemTime,
    patience: watch::Sender<Patience>,
    reason: Mutex<Option<String>>,
}

/// How long a drain may take before the rest is ended.
#[derive(Debug, Clone, Copy)]
struct Patience {
    from: SystemTime,
    lasts: Duration,
}

impl Patience {
    fn deadline(self) -> SystemTime {
        self.from + self.lasts
    }
}

impl Drain {
    fn begin(tenure: &Arc<Tenure>, patience: Duration) -> Arc<Self> {
        let since = SystemTime::now();
        let patience = watch::Sender::new(Patience { from: since, lasts: patience });
        Arc::new(Self { tenure: Arc::clone(tenure), since, patience, reason: Mutex::default() })
    }

    pub(crate) fn tenure(&self) -> &Arc<Tenure> {
        &self.tenure
    }

    pub(crate) fn view(&self) -> DrainingView {
        DrainingView {
            bundle: Arc::clone(self.tenure.bundle()),
            state: State::Draining,
            since: timestamp(self.since),
            reason: self.reason.lock().clone(),
            leases: self.tenure.leases(),
            deadline: timestamp(self.patience.borrow().deadline()),
        }
    }

    /// Waits until the deadline, wherever it is moved meanwhile.
    async fn deadline(&self) {
        let mut patience = self.patience.subscribe();
        loop {
            let deadline = patience.borrow_and_update().deadline();
            let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
            // The sender lives as long as this drain.
            if timeout(left, patience.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Releases {
    /// Ends a tenure: it finishes what it took on within `patience`, and lets go of its version. The task returns when
    /// that is done.
    pub(crate) fn drain(self: &Arc<Self>, tenure: &Arc<Tenure>, patience: Duration, until: Until) -> JoinHandle<()> {
        let drain = Drain::begin(tenure, patience);
        self.drains.lock().push(Arc::clone(&drain));
        // Listed before it ends, so that nobody sees it neither serving nor draining.
        tenure.end();
        let releases = Arc::clone(self);
        tokio::spawn(async move {
            releases.see_out(&drain, until).await;
            drain.tenure.evict();
            // One that is stuck stays listed, with its reason, for as long as it is; nobody else waits for that.
            tokio::spawn(async move {
                drain.tenure.quiet().await;
                releases.drains.lock().retain(|other| !Arc::ptr_eq(other, &drain));
            });
        })
    }

    /// Gives drains that have begun, and whose deadline has not passed, the patience that their release has now, counted
    /// from their beginning.
    pub(crate) fn hasten(&self, id: &ReleaseId, patience: Duration) {
        let runs = |drain: &&Arc<Drain>| drain.tenure.release() == id && !drain.tenure.retired().is_cancelled();
        for drain in self.drains.lock().iter().filter(runs) {
            drain.patience.send_replace(Patience { from: drain.since, lasts: patience });
        }
    }

    async fn see_out(&self, drain: &Drain, until: Until) {
        let tenure = &drain.tenure;
        if tenure.leases() == 0 {
            return;
        }
        self.tell(drain, "started");
        let over = async || match until {
            Until::Idle => tenure.idle().await,
            Until::Unused => tenure.unused().await,
        };
        loop {
            tokio::select! {
                biased;
                () = over() => return self.tell(drain, "ended"),
                () = drain.deadline() => {}
            }
            if !self.serves_again(tenure) {
                return self.end_the_rest(drain).await;
            }
            // Nothing is gained by ending answers of a version that is back: they have as long again.
            let lasts = drain.patience.borrow().lasts.max(GRACE);
            drain.patience.send_replace(Patience { from: SystemTime::now(), lasts });
        }
    }

    /// The deadline has passed.
    async fn end_the_rest(&self, drain: &Drain) {
        let tenure = &drain.tenure;
        self.tell(drain, "deadline");
        tenure.retire();
        if timeout(GRACE, tenure.quiet()).await.is_ok() {
            return self.tell(drain, "ended");
        }
        let cut = tenure.cut();
        tracing::warn!(release = %tenure.release(), bundle = %tenure.bundle(), requests = cut,
            "the drain is over: answers that would not end are cut");
        self.tell(drain, "cut");
        if timeout(GRACE, tenure.quiet()).await.is_err() {
            let reason = format!(
                "{} requests did not end although they were cut; the worker is ended under them",
                tenure.leases()
            );
            tracing::error!(release = %tenure.release(), bundle = %tenure.bundle(), "a drain is stuck: {reason}");
            *drain.reason.lock() = Some(reason);
            self.tell(drain, "stuck");
        }
        self.tell(drain, "ended");
    }

    /// Whether the tenure's version has a place in the release again, after a rollback for example.
    fn serves_again(&self, tenure: &Tenure) -> bool {
        let (Some(version), table) = (tenure.version(), self.current()) else { return false };
        let Some(release) = table.get(tenure.release()) else { return false };
        let mut active = release.tenures().filter_map(|tenure| tenure.active());
        active.any(|serving| Arc::ptr_eq(&serving, &version))
    }

    fn tell(&self, drain: &Drain, event: &'static str) {
        let release = drain.tenure.release().to_string();
        let (bundle, leases) = (drain.tenure.bundle(), drain.tenure.leases());
        self.hub.tell(&Happening::Drain { release, bundle, event, leases });
    }
}
