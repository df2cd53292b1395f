//! What a change needs before it can be made: versions that were verified, fit, load and answer. None of it is on the
//! way of a request, and what was taken away for it is given back where it fails.

use crate::drain::Until;
use crate::error::ChangeError;
use crate::live::Urgency;
use crate::pending::Pending;
use crate::policy::{Plan, Room, plan};
use crate::releases::Releases;
use crate::spec::Spec;
use crate::table::{Release, ReleaseId, Warm};
use crate::version::{Hold, Version};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a worker's process may take to be gone after nobody needs it any more.
const GONE: Duration = Duration::from_secs(20);

/// The preparation of one change.
pub(crate) struct Preparation {
    releases: Arc<Releases>,
    pending: Arc<Pending>,
    next: Spec,
    /// Stable was retired to make room.
    retired: bool,
}

impl Preparation {
    pub(crate) fn new(releases: Arc<Releases>, pending: Arc<Pending>, next: Spec) -> Self {
        Self { releases, pending, next, retired: false }
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
        let release = self.releases.current().get(&id).cloned();
        let replaces = *version.bundle() == self.next.stable && version.class() == bobbin_inference::Class::Serving;
        let replaced = release.as_deref().filter(|_| replaces).and_then(own_bytes);
        let room = Room {
            need: version.need_bytes(),
            free: self.releases.workshop.free_memory(),
            warm: warm_bytes(&self.releases.only_warm()),
            replaced,
        };
        match plan(self.next.policy, room) {
            Ok(Plan::Load) => {}
            Ok(Plan::Cool) => self.cool().await,
            Ok(Plan::Retire) => {
                self.cool().await;
                if let Some(release) = release {
                    self.retire(release).await;
                }
            }
            Err(reason) => {
                let bundle = Arc::clone(version.bundle());
                return Err(ChangeError::DoesNotFit { id, bundle, reason: reason.to_string() });
            }
        }
        Ok(())
    }

    /// Lets go of versions that nobody uses.
    async fn cool(&self) {
        let writer = self.releases.writer.lock().await;
        let mut leaving = Vec::new();
        for (id, warm) in self.releases.only_warm() {
            leaving.push(warm.hold.version().gone());
            self.releases.cool(&writer, &id, &warm);
        }
        drop(writer);
        for gone in leaving {
            if timeout(GONE, gone.cancelled()).await.is_err() {
                tracing::warn!("a worker that was kept warm did not end in time; its memory is not counted as free");
            }
        }
    }

    /// Retires the stable version, and returns when its memory is free. New requests are refused from here on.
    async fn retire(&mut self, release: Arc<Release>) {
        let Some(version) = release.stable.active() else { return };
        self.pending.step("draining", &version);
        let gone = version.gone();
        drop(version);
        // From here on, giving up means bringing it back.
        self.retired = true;
        let patience = Duration::from_secs(self.next.drain_seconds);
        let drain = self.releases.drain(&release.stable, patience, Until::Unused);
        drop(release);
        if drain.await.is_err() || timeout(GONE, gone.cancelled()).await.is_err() {
            tracing::warn!("a retired worker did not end in time; its memory may not be free yet");
        }
    }

    /// Gives back what was taken away: a release whose stable version was retired gets it again.
    pub(crate) async fn undo(self) {
        if self.retired {
            // Said in the log, and in the version's status.
            let _ = self.releases.restore(&self.pending.release).await;
        }
    }
}

/// What a release's stable version holds, where nobody else holds it too.
fn own_bytes(release: &Release) -> Option<u64> {
    let version = release.stable.active()?;
    // One role: this release's. A change that is under way may be the second.
    (version.holds() == 1).then(|| bytes(&version))
}

/// What versions hold that are only kept warm, each counted once however many keep it.
fn warm_bytes(kept: &[(ReleaseId, Arc<Warm>)]) -> u64 {
    let mut versions: Vec<&Arc<Version>> = Vec::new();
    for (_, warm) in kept {
        if !versions.iter().any(|known| Arc::ptr_eq(known, warm.hold.version())) {
            versions.push(warm.hold.version());
        }
    }
    versions.into_iter().map(|version| bytes(version)).sum()
}

/// Memory that is free again when a version goes: what it holds, or what was set aside for it because it may yet.
fn bytes(version: &Version) -> u64 {
    if version.has_failed() {
        return 0;
    }
    let resident = version.live().and_then(|live| live.vitals().resident_bytes).unwrap_or(0);
    resident.max(version.need_bytes())
}

impl Releases {
    /// Versions that are kept warm, by one release or several, and have no other role.
    fn only_warm(&self) -> Vec<(ReleaseId, Arc<Warm>)> {
        let table = self.current();
        let kept: Vec<_> = table.iter().filter_map(|r| Some((r.id.clone(), Arc::clone(r.warm.as_ref()?)))).collect();
        let keepers =
            |version: &Arc<Version>| kept.iter().filter(|(_, warm)| Arc::ptr_eq(warm.hold.version(), version)).count();
        let only = |(_, warm): &&(ReleaseId, Arc<Warm>)| warm.hold.version().holds() == keepers(warm.hold.version());
        kept.iter().filter(only).cloned().collect()
    }

    /// Brings the versions of a release back, in the generation that it has: after they were retired for a change
    /// that was not made, or when a bundle that could not be verified has been repaired.
    ///
    /// # Errors
    /// Why a version does not serve; the others may.
    pub(crate) async fn restore(self: &Arc<Self>, id: &ReleaseId) -> Result<(), String> {
        let writer = self.writer.lock().await;
        let Some(book) = writer.books.get(id) else { return Err("the release is gone".into()) };
        let (generation, roles) = (book.record.generation, self.roles(&book.record.spec));
        // In their places before they are ready: readers see where they are.
        self.refill(&writer, id, generation, roles.clone());
        drop(writer);
        let mut result = Ok(());
        for hold in [Some(roles.stable), roles.candidate, roles.shadow].into_iter().flatten() {
            if let Err(reason) = self.bring_back(hold.version()).await {
                tracing::error!(release = %id, bundle = %hold.version().bundle(), %reason, "a version could not be brought back");
                result = Err(reason);
            }
        }
        result
    }

    async fn bring_back(&self, version: &Arc<Version>) -> Result<(), String> {
        version.verify(self, Urgency::Background).await?;
        let turn = self.loads.acquire().await;
        if turn.is_err() || self.stop.is_cancelled() {
            return Err("the host is stopping".into());
        }
        version.load(&self.store).await
    }
}
