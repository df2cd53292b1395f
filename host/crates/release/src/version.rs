//! A bundle version on this host: its worker, its state, and how long it lives.
//!
//! A version lives as long as anybody owns it: releases in which it has a role, changes that wait for it, requests
//! that it answers. When the last owner is gone, its worker ends and its memory is free.

use crate::background::Interest;
use crate::events::{Happening, Hub};
use crate::live::{Live, Progress, Urgency, Verified, Workshop};
use crate::releases::Releases;
use crate::status::{State, Status};
use crate::store::Store;
use arc_swap::ArcSwap;
use bobbin_inference::Class;
use futures::StreamExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a worker may take to end that nobody needs any more; nothing computes in it.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Progress of hashing is told no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// One bundle version, shared by all releases in which it has a role of the same class.
pub struct Version {
    bundle: Arc<str>,
    class: Class,
    hub: Arc<Hub>,
    /// Roles that keep it, beyond requests that it still answers.
    holds: AtomicUsize,
    leases: AtomicUsize,
    before: ArcSwap<Status>,
    /// How far its way to life is; held while a step of it is being made.
    stage: tokio::sync::Mutex<Stage>,
    live: OnceLock<Arc<dyn Live>>,
    need_bytes: AtomicU64,
    digest: OnceLock<String>,
    gone: CancellationToken,
}

/// How far a version's way to life is.
enum Stage {
    New,
    Verified(Arc<dyn Verified>),
    Launched(Arc<dyn Verified>),
    Failed(String),
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bundle, class) = (&self.bundle, self.class);
        f.debug_struct("Version").field("bundle", bundle).field("class", &class).finish_non_exhaustive()
    }
}

impl Version {
    pub(crate) fn new(bundle: Arc<str>, class: Class, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self {
            bundle,
            class,
            hub,
            holds: AtomicUsize::new(0),
            leases: AtomicUsize::new(0),
            before: ArcSwap::from_pointee(Status::now(State::Available, None)),
            stage: tokio::sync::Mutex::new(Stage::New),
            live: OnceLock::new(),
            need_bytes: AtomicU64::new(0),
            digest: OnceLock::new(),
            gone: CancellationToken::new(),
        })
    }

    /// `name@version`.
    #[must_use]
    pub fn bundle(&self) -> &Arc<str> {
        &self.bundle
    }

    /// Whether it serves, or is a shadow.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// Requests that hold a lease on it.
    #[must_use]
    pub fn leases(&self) -> usize {
        self.leases.load(Ordering::Acquire)
    }

    /// Its worker, once there is one.
    #[must_use]
    pub fn live(&self) -> Option<&Arc<dyn Live>> {
        self.live.get()
    }

    /// Memory that its worker takes by calculation, in bytes; 0 before it was verified.
    #[must_use]
    pub fn need_bytes(&self) -> u64 {
        self.need_bytes.load(Ordering::Acquire)
    }

    /// Whether it answers now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.live().is_some_and(|live| live.is_ready())
    }

    /// Where it is. With a worker, the worker's own word counts, unless nobody needs it any more.
    #[must_use]
    pub fn status(&self) -> Status {
        let Some(live) = self.live() else { return Status::clone(&self.before.load()) };
        let status = live.status();
        match status.state {
            State::Ready if self.holds() == 0 => {
                Status { state: State::Draining, since: self.before.load().since, reason: None, told: None }
            }
            _ => status,
        }
    }

    /// Whether it will not serve any more, or never has: a new attempt needs a new version.
    pub(crate) fn has_failed(&self) -> bool {
        self.status().state == State::Failed
    }

    /// Roles that keep it.
    pub(crate) fn holds(&self) -> usize {
        self.holds.load(Ordering::Acquire)
    }

    pub(crate) fn lease(&self) {
        self.leases.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn release(&self) {
        self.leases.fetch_sub(1, Ordering::AcqRel);
    }

    /// Fires when its worker's process has ended, or was never started and will not be.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    pub(crate) fn enter(&self, state: State, reason: Option<String>) {
        self.hub.tell(&Happening::Version {
            bundle: &self.bundle,
            class: self.class,
            state,
            reason: reason.as_deref(),
        });
        self.before.store(Arc::new(Status::now(state, reason)));
    }

    /// Hashes its files and checks its weights, once. Who comes while another is at it waits for the same result.
    ///
    /// # Errors
    /// What is wrong with the bundle; the version's status says the same from then on.
    pub(crate) async fn verify(self: &Arc<Self>, releases: &Releases, urgency: Urgency) -> Result<(), String> {
        let mut stage = self.stage.lock().await;
        match &*stage {
            Stage::New => {}
            Stage::Verified(_) | Stage::Launched(_) => return Ok(()),
            Stage::Failed(reason) => return Err(reason.clone()),
        }
        // Hashing that nobody waits for ends with its next chunk, and its turn only then: changes that are given up do not
        // pile up on the disk. Before anything serves there is nobody to give way to.
        let turn = match urgency {
            Urgency::Background => Arc::clone(&releases.hashing).acquire_owned().await.ok(),
            Urgency::Startup => None,
        };
        self.enter(State::Verifying, None);
        let (workshop, store) = (Arc::clone(&releases.workshop), releases.store.clone());
        let (bundle, hub) = (Arc::clone(&self.bundle), Arc::clone(&self.hub));
        let verifying = move |interest: &Interest| {
            let verified = verify(&*workshop, &store, &bundle, urgency, &hub, interest);
            drop(turn);
            verified
        };
        match crate::background::run(urgency, verifying).await {
            Ok(verified) => {
                self.is_verified(&mut stage, verified.into());
                Ok(())
            }
            Err(reason) => Err(self.failed(&mut stage, reason)),
        }
    }

    fn is_verified(&self, stage: &mut Stage, verified: Arc<dyn Verified>) {
        self.need_bytes.store(verified.need_bytes(), Ordering::Release);
        // This happens once, under the stage's lock.
        let _ = self.digest.set(verified.digest());
        *stage = Stage::Verified(verified);
    }

    /// What its worker was started from.
    pub(crate) async fn launched_from(&self) -> Option<Arc<dyn Verified>> {
        match &*self.stage.lock().await {
            Stage::Launched(verified) => Some(Arc::clone(verified)),
            Stage::New | Stage::Verified(_) | Stage::Failed(_) => None,
        }
    }

    /// Takes on what an earlier version of the same bundle was started from: it needs no repository any more.
    pub(crate) async fn inherit(&self, verified: Arc<dyn Verified>) {
        let mut stage = self.stage.lock().await;
        if matches!(*stage, Stage::New) {
            self.is_verified(&mut stage, verified);
        }
    }

    /// Starts its worker, once. What the worker will take counts from here on.
    ///
    /// # Errors
    /// Why it cannot be started; the version's status says the same from then on.
    pub(crate) async fn launch(&self) -> Result<(), String> {
        let mut stage = self.stage.lock().await;
        let verified = match &*stage {
            Stage::New => return Err(format!("{} was not verified before it was loaded", self.bundle)),
            Stage::Failed(reason) => return Err(reason.clone()),
            Stage::Launched(_) => return Ok(()),
            Stage::Verified(verified) => Arc::clone(verified),
        };
        self.enter(State::Loading, None);
        match verified.launch(self.class) {
            Err(reason) => Err(self.failed(&mut stage, reason)),
            Ok(live) => {
                tokio::spawn(follow(Arc::clone(&self.bundle), self.class, Arc::clone(&self.hub), live.follow()));
                // There is one launch, under the stage's lock.
                let _ = self.live.set(live);
                *stage = Stage::Launched(verified);
                Ok(())
            }
        }
    }

    /// Starts its worker, once, and waits until it answers. From then on the version keeps its digest for good.
    ///
    /// # Errors
    /// Why it does not; the version's status says the same from then on.
    pub(crate) async fn load(&self, store: &Store) -> Result<(), String> {
        self.launch().await?;
        let mut stage = self.stage.lock().await;
        if let Stage::Failed(reason) = &*stage {
            return Err(reason.clone());
        }
        let Some(live) = self.live() else { return Err(format!("{} has no worker", self.bundle)) };
        let settled = match live.settled().await {
            Ok(()) => self.remember(store).await,
            Err(reason) => Err(reason),
        };
        settled.map_err(|reason| self.failed(&mut stage, reason))
    }

    /// The host will not load it: it fails, and its status says why.
    pub(crate) async fn refuse(&self, reason: String) -> String {
        let mut stage = self.stage.lock().await;
        self.failed(&mut stage, reason)
    }

    async fn remember(&self, store: &Store) -> Result<(), String> {
        let Some(digest) = self.digest.get().cloned() else { return Ok(()) };
        let (store, bundle) = (store.clone(), Arc::clone(&self.bundle));
        let remembering = tokio::task::spawn_blocking(move || store.remember(&bundle, &digest)).await;
        match remembering {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the digest of {} cannot be remembered: {error}", self.bundle)),
            Err(error) => Err(format!("the digest of {} was not remembered: {error}", self.bundle)),
        }
    }

    fn failed(&self, stage: &mut Stage, reason: String) -> String {
        tracing::error!(bundle = %self.bundle, %reason, "the bundle does not serve");
        // A worker tells of its own failure.
        if self.live().is_none() {
            self.enter(State::Failed, Some(reason.clone()));
        }
        *stage = Stage::Failed(reason.clone());
        reason
    }
}

fn verify(
    workshop: &dyn Workshop,
    store: &Store,
    bundle: &str,
    urgency: Urgency,
    hub: &Hub,
    interest: &Interest,
) -> Result<Box<dyn Verified>, String> {
    let mut told: Option<Instant> = None;
    let mut tell = |Progress { path, done, total }: Progress<'_>| {
        if done == total || told.is_none_or(|told| told.elapsed() >= PROGRESS_EVERY) {
            told = Some(Instant::now());
            hub.tell(&Happening::Progress { bundle, path, done, total });
        }
        interest.goes_on()
    };
    let verified = workshop.verify(bundle, urgency, &mut tell)?;
    unchanged(store, bundle, &verified.digest())?;
    Ok(verified)
}

/// A version that has served here never changes.
pub(crate) fn unchanged(store: &Store, bundle: &str, digest: &str) -> Result<(), String> {
    match store.known(bundle) {
        Ok(Some(known)) if known != digest => Err(format!(
            "{bundle} has digest {digest}, and had {known} when it served on this host; a version never changes: restore \
             its files, or publish them as a new version"
        )),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the digest of {bundle} cannot be compared: {error}")),
    }
}

/// Tells of every state that a worker enters.
async fn follow(
    bundle: Arc<str>,
    class: Class,
    hub: Arc<Hub>,
    mut statuses: futures::stream::BoxStream<'static, Status>,
) {
    let mut last = State::Loading;
    while let Some(Status { state, reason, .. }) = statuses.next().await {
        // Phases of a start within one state are no news; a reason is.
        if state != last || reason.is_some() {
            hub.tell(&Happening::Version { bundle: &bundle, class, state, reason: reason.as_deref() });
        }
        last = state;
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        let gone = self.gone.clone();
        let (bundle, class, hub) = (Arc::clone(&self.bundle), self.class, Arc::clone(&self.hub));
        match (self.live.take(), tokio::runtime::Handle::try_current()) {
            (Some(live), Ok(runtime)) => {
                runtime.spawn(async move {
                    live.stop(STOP_GRACE).await;
                    drop(live);
                    hub.tell(&Happening::Version { bundle: &bundle, class, state: State::Available, reason: None });
                    gone.cancel();
                });
            }
            // Without a runtime the host is ending, and its workers with it.
            (_, _) => gone.cancel(),
        }
    }
}

/// A role that keeps a version.
#[derive(Debug)]
pub(crate) struct Hold(Arc<Version>);

impl Hold {
    pub(crate) fn new(version: Arc<Version>) -> Self {
        version.holds.fetch_add(1, Ordering::AcqRel);
        Self(version)
    }

    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.0
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.0.holds.fetch_sub(1, Ordering::AcqRel) == 1 && self.0.leases() > 0 && self.0.is_ready() {
            self.0.enter(State::Draining, None);
        }
    }
}
