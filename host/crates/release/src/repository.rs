//! The bundles of this host's repository: what is there, what was found out about it, and what to do when it changes.

use crate::background::Interest;
use crate::events::{Happening, timestamp};
use crate::live::{Listing, Urgency};
use crate::releases::Releases;
use crate::status::{State, Status};
use crate::table::{Release, ReleaseId};
use crate::version::unchanged;
use crate::view::BundleView;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the watcher of a repository saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sighting {
    /// A version's folder appeared.
    Appeared,
    /// Something in it changed.
    Changed,
    /// It is gone.
    Removed,
}

/// Bundles that were looked at because their folder changed.
#[derive(Default)]
pub(crate) struct Checks {
    found: Mutex<BTreeMap<String, Status>>,
}

impl Releases {
    /// The folder of `name@version` changed. A new or changed one is verified, so that people learn what is wrong with
    /// it before they release it, and releases that waited for it get it.
    pub async fn repository_changed(self: &Arc<Self>, bundle: String, sighting: Sighting) {
        let event = match sighting {
            Sighting::Appeared => "appeared",
            Sighting::Changed => "changed",
            Sighting::Removed => "removed",
        };
        self.hub.tell(&Happening::Bundle { bundle: &bundle, event, reason: None });
        if sighting == Sighting::Removed {
            self.checks.found.lock().remove(&bundle);
            return self.collect().await;
        }
        let turn = Arc::clone(&self.hashing).acquire_owned().await.ok();
        self.found(&bundle, State::Verifying, None);
        let (workshop, store, name) = (Arc::clone(&self.workshop), self.store.clone(), bundle.clone());
        let verify = move |interest: &Interest| {
            let verified = workshop.verify(&name, Urgency::Background, &mut |_| interest.goes_on())?;
            drop(turn);
            unchanged(&store, &name, &verified.digest())
        };
        match crate::background::run(Urgency::Background, verify).await {
            Ok(()) => {
                self.found(&bundle, State::Available, None);
                self.hub.tell(&Happening::Bundle { bundle: &bundle, event: "verified", reason: None });
                for id in self.waiting_for(&bundle) {
                    // Said in the log, and in the version's status.
                    let _ = self.restore(&id, None).await;
                }
            }
            Err(reason) => {
                tracing::warn!(%bundle, %reason, "a bundle of the repository does not verify");
                self.hub.tell(&Happening::Bundle { bundle: &bundle, event: "refused", reason: Some(&reason) });
                self.found(&bundle, State::Failed, Some(reason));
            }
        }
    }

    /// Removes the stored bytes of versions that left the repository, once none of them lives here any more.
    async fn collect(self: &Arc<Self>) {
        let turn = Arc::clone(&self.hashing).acquire_owned().await.ok();
        let releases = Arc::clone(self);
        let collect = move |_: &Interest| {
            let _turn = turn;
            let workshop = &releases.workshop;
            let table = releases.table();
            // One that is retired to make room has a place, and may come back.
            let places = table.iter().map(|release| Arc::clone(release.stable.bundle()));
            let mut needed = releases.versions().into_iter().map(|version| Arc::clone(version.bundle())).chain(places);
            if needed.any(|bundle| workshop.kind(&bundle).is_err()) {
                return Ok(());
            }
            workshop.collect()
        };
        if let Err(reason) = crate::background::run(Urgency::Background, collect).await {
            tracing::info!(%reason, "bytes of bundles that are gone stay in the state folder");
        }
    }

    fn found(&self, bundle: &str, state: State, reason: Option<String>) {
        self.checks.found.lock().insert(bundle.to_owned(), Status::now(state, reason));
    }

    /// Releases in which the bundle has a role and has failed.
    fn waiting_for(&self, bundle: &str) -> Vec<ReleaseId> {
        let waits = |release: &&Arc<Release>| {
            release.versions().any(|version| &**version.bundle() == bundle && version.has_failed())
        };
        self.current().iter().filter(waits).map(|release| release.id.clone()).collect()
    }

    /// Every bundle of the repository, and every other that has a role here.
    ///
    /// # Errors
    /// When the repository cannot be listed.
    pub async fn bundles(&self) -> Result<Vec<BundleView>, String> {
        let workshop = Arc::clone(&self.workshop);
        let listed = tokio::task::spawn_blocking(move || workshop.list()).await;
        let listed = listed.unwrap_or_else(|error| Err(format!("the repository was not listed: {error}")))?;
        let mut views: BTreeMap<String, BundleView> =
            listed.into_iter().map(|listing| (listing.bundle.clone(), self.listed(listing))).collect();
        for version in self.versions() {
            let bundle = version.bundle().to_string();
            let missing = || {
                self.listed(Listing {
                    described: Err(
                        "it is no longer in the repository; what is loaded goes on, but cannot be loaded again".into(),
                    ),
                    bundle: bundle.clone(),
                })
            };
            views.entry(bundle.clone()).or_insert_with(missing);
        }
        Ok(views.into_values().collect())
    }

    fn listed(&self, Listing { bundle, described }: Listing) -> BundleView {
        let unreadable = described.as_ref().err().cloned();
        let described = described.ok();
        let running = self.serving(&bundle).map(|version| version.status());
        let known = running.or_else(|| self.checks.found.lock().get(&bundle).cloned());
        let state = match (&known, &unreadable) {
            (Some(status), _) => status.state,
            (None, Some(_)) => State::Failed,
            (None, None) => State::Available,
        };
        let reason = known.as_ref().and_then(|status| status.reason.clone()).or(unreadable);
        let named = |release: &&Arc<Release>| release.versions().any(|version| **version.bundle() == *bundle);
        BundleView {
            digest: described.as_ref().map(|described| described.digest.clone()),
            kind: described.as_ref().map(|described| described.kind.clone()),
            size: described.as_ref().map(|described| described.size),
            licence: described.as_ref().map(|described| described.licence.clone()),
            card: described.map(|described| described.card),
            state,
            since: known.map(|status| timestamp(status.since)),
            reason,
            releases: self.current().iter().filter(named).map(|release| release.id.clone()).collect(),
            bundle,
        }
    }
}
