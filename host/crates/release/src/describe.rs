//! Releases as they are now, for people and programs.

use crate::commit::unknown;
use crate::error::ChangeError;
use crate::events::timestamp;
use crate::releases::Releases;
use crate::table::{Release, ReleaseId};
use crate::version::Version;
use crate::view::{CandidateView, ChangedView, PreviousView, ReleaseView, VersionView};
use bobbin_inference::Class;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl Releases {
    /// One release.
    ///
    /// # Errors
    /// `unknown_release`.
    pub fn view(&self, id: &ReleaseId) -> Result<ReleaseView, ChangeError> {
        let table = self.current();
        let release = table.get(id).ok_or_else(|| unknown(id))?;
        let books = self.books.lock();
        let book = books.get(id).ok_or_else(|| unknown(id))?;
        let spec = release.record.spec.clone();
        let shadow = release.shadow.as_ref();
        Ok(ReleaseView {
            id: id.clone(),
            trigger: Arc::clone(&id.trigger),
            graph: Arc::clone(&id.graph),
            generation: release.record.generation,
            stable: VersionView::of_tenure(&release.stable),
            candidate: release
                .candidate
                .as_ref()
                .map(|(tenure, weight)| CandidateView { weight: *weight, version: VersionView::of_tenure(tenure) }),
            shadow: shadow.map(|s| VersionView::of(s.version().bundle(), Some(s.version()), s.version().leases())),
            previous: spec.previous.as_ref().map(|bundle| self.previous(bundle, release)),
            draining: self.draining(id),
            drain_seconds: spec.drain_seconds,
            keep_warm_seconds: spec.keep_warm_seconds,
            policy: spec.policy,
            sticky: spec.sticky,
            version_header: spec.version_header,
            exact_versions: spec.exact_versions,
            retires: spec.retires.map(|at| timestamp(UNIX_EPOCH + Duration::from_secs(at))),
            changed: ChangedView::of(&release.record),
            pending: book.pending.as_ref().map(|pending| pending.view()),
            failure: book.failure.clone(),
            agreement: shadow.map(|shadow| shadow.agreement().view(shadow.version().bundle())),
        })
    }

    /// Every release, by id.
    pub fn views(&self) -> Vec<ReleaseView> {
        let ids: Vec<ReleaseId> = self.current().iter().map(|release| release.id.clone()).collect();
        ids.iter().filter_map(|id| self.view(id).ok()).collect()
    }

    fn previous(&self, bundle: &Arc<str>, release: &Release) -> PreviousView {
        let warm = release.warm.as_ref().filter(|warm| warm.until > SystemTime::now());
        // Not kept for this release, it may be there for another one.
        let kept = warm.map(|warm| Arc::clone(warm.hold.version()));
        let version = kept.or_else(|| self.serving(bundle));
        PreviousView {
            warm_until: warm.map(|warm| timestamp(warm.until)),
            version: VersionView::of(bundle, version.as_ref(), 0),
        }
    }

    fn draining(&self, id: &ReleaseId) -> Vec<crate::view::DrainingView> {
        let drains = self.drains.lock();
        let of_release = drains.iter().filter(|drain| drain.tenure().release() == id && drain.tenure().leases() > 0);
        of_release.map(|drain| drain.view()).collect()
    }

    /// The version of a bundle that serves somewhere on this host.
    pub(crate) fn serving(&self, bundle: &str) -> Option<Arc<Version>> {
        let versions = self.versions();
        let known = |class| versions.iter().find(|version| &**version.bundle() == bundle && version.class() == class);
        known(Class::Serving).or_else(|| known(Class::Shadow)).cloned()
    }
}
