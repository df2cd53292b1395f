//! What a change needs before it can be made: versions that were verified, fit, load and answer. None of it is on the
//! way of a request, and a stable version that was retired for it comes back where it fails.

use crate::drain::Until;
use crate::error::ChangeError;
use crate::live::Urgency;
use crate::pending::{Debt, Pending};
use crate::policy::{DoesNotFit, Plan, Room, plan};
use crate::releases::Releases;
use crate::spec::{Policy, Spec};
use crate::table::{Release, ReleaseId, Warm};
use crate::version::{Hold, Version};
use bobbin_inference::Class;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long a worker's process may take to be gone after nobody needs it any more.
const GONE: Duration = Duration::from_secs(20);

/// The preparation of one change.
pub(crate) struct Preparation {
    releases: Arc<Releases>,
    pending: Arc<Pending>,
    next: Spec,
}

impl Preparation {
    pub(crate) fn new(releases: Arc<Releases>, pending: Arc<Pending>, next: Spec) -> Self {
        Self { releases, pending, next }
    }

    /// Makes every version ready, one after another.
    ///
    /// # Errors
    /// `version_failed`, `does_not_fit`.
    pub(crate) async fn run(&mut self, needed: &[Hold]) -> Result<(), ChangeError> {
        for hold in needed {
            let version = hold.version();
            if version.is_ready() {
                continue;
            }
            let failed = |reason| self.failed(version, reason);
            self.pending.step("verifying", version);
            version.verify(&self.releases, Urgency::Background).await.map_err(failed)?;
            let releases = Arc::clone(&self.releases);
            let Ok(_turn) = releases.loads.acquire().await else { return Err(ChangeError::Stopping) };
            if version.live().is_none() {
                self.make_room(version).await?;
            }
            self.pending.step("loading", version);
            version.load(&self.releases.store).await.map_err(|reason| self.failed(version, reason))?;
        }
        Ok(())
    }

    fn failed(&self, version: &Version, reason: String) -> ChangeError {
        let (id, bundle) = (self.pending.release.clone(), Arc::clone(version.bundle()));
        ChangeError::VersionFailed { id, bundle, reason }
    }

    async fn make_room(&mut self, version: &Arc<Version>) -> Result<(), ChangeError> {
        let id = self.pending.release.clone();
        let release = || self.releases.current().get(&id).cloned();
        let replaces = *version.bundle() == self.next.stable && version.class() == Class::Serving;
        let replaced = release().filter(|_| replaces).and_then(|release| own_bytes(&release));
        let plan = self.releases.plan(self.next.policy, version, replaced);
        let plan = plan.map_err(|reason| self.does_not_fit(version, &reason))?;
        // Nobody has the release in hand meanwhile: what it keeps warm may be what has to go.
        self.releases.cool_for(plan.cool).await;
        let retires = if plan.retire { release() } else { None };
        if let Some(release) = retires {
            self.retire(release).await;
        }
        if plan == Plan::default() {
            return Ok(());
        }
        // What left may have held less than was thought, or may still hold it.
        let fits = self.releases.plan(Policy::Availability, version, None);
        fits.map(drop).map_err(|reason| self.does_not_fit(version, &reason))
    }

    fn does_not_fit(&self, version: &Version, reason: &DoesNotFit) -> ChangeError {
        let (id, bundle) = (self.pending.release.clone(), Arc::clone(version.bundle()));
        ChangeError::DoesNotFit { id, bundle, reason: reason.to_string() }
    }

    /// Retires the stable version, and returns when its memory is free. New requests are refused from here on.
    async fn retire(&mut self, release: Arc<Release>) {
        let Some(version) = release.stable.active() else { return };
        self.pending.step("draining", &version);
        let departing = Departing::of(&version);
        self.pending.owe(Debt { bundle: Arc::clone(version.bundle()), from: version.launched_from().await });
        drop(version);
        let patience = Duration::from_secs(self.next.drain_seconds);
        let drain = self.releases.drain(&release.stable, patience, Until::Unused);
        drop(release);
        if drain.await.is_err() || !departing.gone().await {
            tracing::warn!(release = %self.pending.release, "a retired worker did not end in time");
        }
    }
}

/// A version that may be about to leave.
pub(crate) struct Departing {
    version: Weak<Version>,
    gone: CancellationToken,
}

impl Departing {
    pub(crate) fn of(version: &Arc<Version>) -> Self {
        Self { version: Arc::downgrade(version), gone: version.gone() }
    }

    /// Waits for the end of a version that has no role any more; false where it takes too long. Whoever has just looked
    /// at it may own it for a moment yet. One that has a role is not waited for.
    pub(crate) async fn gone(&self) -> bool {
        let has_role = self.version.upgrade().is_some_and(|version| version.holds() > 0);
        has_role || timeout(GONE, self.gone.cancelled()).await.is_ok()
    }
}

/// What a release's stable version holds, where nobody else holds it too.
fn own_bytes(release: &Release) -> Option<u64> {
    let version = release.stable.active()?;
    // One role: this release's. A change that is under way may be the second.
    (version.holds() == 1).then(|| bytes(&version))
}

/// Memory that is free again when a version goes: what it holds, or what was set aside for it because it may yet.
fn bytes(version: &Version) -> u64 {
    if version.has_failed() {
        return 0;
    }
    let resident = version.live().and_then(|live| live.vitals().resident_bytes).unwrap_or(0);
    resident.max(version.need_bytes())
}

/// A version that releases keep warm, and that has no other role.
struct Kept {
    version: Arc<Version>,
    by: Vec<(ReleaseId, Arc<Warm>)>,
    /// Roles that it has because it is kept warm.
    holds: usize,
}

impl Kept {
    /// Since when the last of its releases does not use it any more.
    fn since(&self) -> Option<SystemTime> {
        self.by.iter().map(|(_, warm)| warm.since).max()
    }
}

impl Releases {
    /// What has to happen before a version is loaded, by what is free and what others hold.
    pub(crate) fn plan(&self, policy: Policy, version: &Version, replaced: Option<u64>) -> Result<Plan, DoesNotFit> {
        let warm = self.only_warm().iter().map(|kept| bytes(&kept.version)).sum();
        plan(policy, Room { need: version.need_bytes(), free: self.workshop.free_memory(), warm, replaced })
    }

    /// Versions that are only kept warm, the one first that was used last longest ago.
    fn only_warm(&self) -> Vec<Kept> {
        let mut kept: Vec<Kept> = Vec::new();
        let table = self.current();
        for (release, warm) in table.iter().filter_map(|release| Some((release, release.warm.as_ref()?))) {
            let (version, by) = (warm.hold.version(), (release.id.clone(), Arc::clone(warm)));
            // Who may ask for it by its exact name is one role more.
            let holds = 1 + usize::from(release.exact.is_some());
            match kept.iter_mut().find(|kept| Arc::ptr_eq(&kept.version, version)) {
                Some(known) => {
                    known.by.push(by);
                    known.holds += holds;
                }
                None => kept.push(Kept { version: Arc::clone(version), by: vec![by], holds }),
            }
        }
        kept.retain(|kept| kept.version.holds() == kept.holds);
        kept.sort_by_key(Kept::since);
        kept
    }

    /// Lets go of versions that nobody uses, until so many bytes are free.
    async fn cool_for(self: &Arc<Self>, wanted: u64) {
        let (mut freed, mut leaving) = (0, Vec::new());
        let writer = self.writer.lock().await;
        for kept in self.only_warm() {
            if freed >= wanted {
                break;
            }
            freed += bytes(&kept.version);
            leaving.push(Departing::of(&kept.version));
            for (id, warm) in &kept.by {
                self.cool(&writer, id, warm);
            }
        }
        drop(writer);
        for departing in leaving {
            if !departing.gone().await {
                tracing::warn!("a worker that was kept warm did not end in time");
            }
        }
    }

    /// Makes room for a version that replaces nothing.
    ///
    /// # Errors
    /// Why it does not fit.
    async fn make_room_beside(self: &Arc<Self>, version: &Version) -> Result<(), String> {
        let fits = |room: &Self| room.plan(Policy::Availability, version, None).map_err(|reason| reason.to_string());
        let missing = fits(self)?.cool;
        if missing > 0 {
            self.cool_for(missing).await;
            fits(self)?;
        }
        Ok(())
    }

    /// Brings the versions of a release back, in the generation that it has: after they were retired for a change
    /// that was not made, or when a bundle that could not be verified has been repaired.
    ///
    /// # Errors
    /// Why a version does not serve; the others may.
    pub(crate) async fn restore(self: &Arc<Self>, id: &ReleaseId, debt: Option<Debt>) -> Result<(), String> {
        let writer = self.writer.lock().await;
        let Some(release) = self.current().get(id).cloned() else { return Err("the release is gone".into()) };
        let roles = self.roles(&release.record.spec);
        // In their places before they are ready: readers see where they are.
        self.refill(&writer, &release, roles.clone());
        drop((writer, release));
        // It comes back as it was, whatever has become of its folder.
        if let Some(Debt { from: Some(from), .. }) = debt.filter(|debt| debt.bundle == *roles.stable.version().bundle())
        {
            roles.stable.version().inherit(from).await;
        }
        let mut result = Ok(());
        for hold in [Some(roles.stable), roles.candidate, roles.shadow].into_iter().flatten() {
            let version = hold.version();
            let brought = self.bring_up(version, Urgency::Background, || self.has_role(id, version)).await;
            if let Err(reason) = brought {
                tracing::error!(release = %id, bundle = %version.bundle(), %reason, "a version could not be brought back");
                result = Err(reason);
            }
        }
        result
    }

    /// Whether a release still has the version in a role: another change may have come.
    fn has_role(&self, id: &ReleaseId, version: &Arc<Version>) -> bool {
        let table = self.current();
        table.get(id).is_some_and(|release| release.versions().any(|held| Arc::ptr_eq(&held, version)))
    }

    /// Verifies a version, and loads it if it fits and is still wanted then.
    ///
    /// # Errors
    /// Why it does not serve; its status says the same.
    pub(crate) async fn bring_up(
        self: &Arc<Self>,
        version: &Arc<Version>,
        urgency: Urgency,
        wanted: impl Fn() -> bool,
    ) -> Result<(), String> {
        version.verify(self, urgency).await?;
        let turn = self.loads.acquire().await;
        if turn.is_err() || self.stop.is_cancelled() {
            return Err("the host is stopping".into());
        }
        if !wanted() {
            return Ok(());
        }
        if version.live().is_none()
            && let Err(reason) = self.make_room_beside(version).await
        {
            return Err(version.refuse(reason).await);
        }
        version.launch().await?;
        // What it will take is counted from here on, so the next one may measure, unless others serve: then they load
        // one after another.
        let turn = turn.ok().filter(|_turn| urgency == Urgency::Background);
        let loaded = version.load(&self.store).await;
        drop(turn);
        loaded
    }
}
