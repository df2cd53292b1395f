//! The releases of a host: one table, one writer, free readers.

use crate::drain::Drain;
use crate::error::ChangeError;
use crate::events::{Hub, Subscription};
use crate::live::{Urgency, Workshop};
use crate::pending::Pending;
use crate::pins::{Asker, Pinned, Pins};
use crate::record::Record;
use crate::shadow::Shadowing;
use crate::spec::Spec;
use crate::status::State;
use crate::store::Store;
use crate::table::{Release, ReleaseId, Table};
use crate::tenure::Tenure;
use crate::version::{Hold, Version};
use crate::view::FailureView;
use arc_swap::ArcSwap;
use bobbin_inference::{Class, Recorder, RequestContext};
use futures::future::join_all;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The host's releases.
pub struct Releases {
    /// One swap for all of them: a request that reads two releases never sees half of a change.
    table: ArcSwap<Table>,
    recorder: Arc<dyn Recorder>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) store: Store,
    pub(crate) workshop: Arc<dyn Workshop>,
    /// Versions that somebody owns, so that two releases share one.
    fleet: Mutex<Fleet>,
    pub(crate) writer: Arc<tokio::sync::Mutex<Writer>>,
    /// What is kept of each release beyond the table. Locked for moments only, and never while the disk works, so that
    /// whoever looks is not held up by whoever writes.
    pub(crate) books: Mutex<BTreeMap<ReleaseId, Book>>,
    pub(crate) drains: Mutex<Vec<Arc<Drain>>>,
    /// One version is loaded at a time: each measures the memory that the one before it left.
    pub(crate) loads: Semaphore,
    /// One bundle is hashed at a time, at one pace.
    pub(crate) hashing: Arc<Semaphore>,
    pub(crate) checks: crate::repository::Checks,
    pub(crate) flips: Flips,
    /// Cancelled once the host stops.
    pub(crate) stop: CancellationToken,
}

/// Versions by bundle and class.
type Fleet = HashMap<(Arc<str>, Class), Weak<Version>>;

/// Whoever holds its lock may change the table and the books: there is one writer at a time.
#[derive(Default)]
pub(crate) struct Writer;

/// What is kept of one release beyond the table.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) declaration: String,
    /// The change that is under way.
    pub(crate) pending: Option<Arc<Pending>>,
    /// The last one that was given up, until what it took away is given back. The next one waits for that.
    pub(crate) leaving: Option<Arc<Pending>>,
    pub(crate) failure: Option<FailureView>,
}

impl Book {
    /// Gives up the change that is under way.
    pub(crate) fn give_up(&mut self) -> Option<Arc<Pending>> {
        let pending = self.pending.take()?;
        pending.cancel.cancel();
        self.leaving = Some(Arc::clone(&pending));
        Some(pending)
    }

    /// Forgets a change that is over.
    pub(crate) fn forget(&mut self, pending: &Arc<Pending>) {
        for held in [&mut self.pending, &mut self.leaving] {
            if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, pending)) {
                *held = None;
            }
        }
    }
}

/// How often, and how fast, the table was swapped after a commit.
#[derive(Debug, Default)]
pub(crate) struct Flips {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Flips {
    pub(crate) fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A release as the manifest declares it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Which.
    pub id: ReleaseId,
    /// Digest of the declaration: a release follows its declaration when this changes, and only then.
    pub digest: String,
    /// What it declares.
    pub spec: Spec,
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

/// The versions of a release's roles, held.
#[derive(Clone)]
pub(crate) struct Roles {
    pub(crate) stable: Hold,
    pub(crate) candidate: Option<Hold>,
    pub(crate) shadow: Option<Hold>,
}

impl Releases {
    /// Releases with nothing in them yet; `open` fills them.
    pub(crate) fn empty(store: Store, workshop: Arc<dyn Workshop>, recorder: Arc<dyn Recorder>) -> Self {
        Self {
            table: ArcSwap::default(),
            recorder,
            hub: Hub::new(),
            store,
            workshop,
            fleet: Mutex::default(),
            writer: Arc::default(),
            books: Mutex::default(),
            drains: Mutex::default(),
            loads: Semaphore::new(1),
            hashing: Arc::new(Semaphore::new(1)),
            checks: crate::repository::Checks::default(),
            flips: Flips::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Decides, once per request, which version serves each graph name of its trigger's component.
    #[must_use]
    pub fn pin(self: &Arc<Self>, context: &Arc<RequestContext>, asker: &dyn Asker) -> Pins {
        Pins::decide(self, &context.trigger, asker)
    }

    /// The same for another trigger, whose component may be called in the request.
    #[must_use]
    pub fn pin_trigger(self: &Arc<Self>, trigger: &str, asker: &dyn Asker) -> Pins {
        Pins::decide(self, trigger, asker)
    }

    /// A pin on exactly this version of a release, where it is stable, the candidate, or the previous one that is kept
    /// warm; `None` otherwise. It moves to no other version.
    #[must_use]
    pub fn pin_version(self: &Arc<Self>, id: &ReleaseId, bundle: &str) -> Option<Pinned> {
        Pinned::exactly(self, id, bundle)
    }

    pub(crate) fn recorder(&self) -> &Arc<dyn Recorder> {
        &self.recorder
    }

    /// The table as it is now.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// The table as it is now, for a look.
    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Puts another table in its place, and returns the old one.
    pub(crate) fn swap(&self, _writer: &Writer, table: Arc<Table>) -> Arc<Table> {
        self.table.swap(table)
    }

    /// Every version that some release names or drains, once.
    #[must_use]
    pub fn versions(&self) -> Vec<Arc<Version>> {
        let mut versions: Vec<_> = self.fleet.lock().values().filter_map(Weak::upgrade).collect();
        versions.sort_by(|a, b| (a.bundle(), a.class()).cmp(&(b.bundle(), b.class())));
        versions
    }

    /// Which releases do not answer, and why.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let unready = |release: &Arc<Release>| {
            let (state, reason) = match release.stable.active() {
                Some(version) if version.is_ready() => return None,
                Some(version) => (version.status().state, version.status().reason),
                None => (State::Draining, Some("it retires before the version that replaces it is loaded".into())),
            };
            let (release, bundle) = (release.id.clone(), Arc::clone(release.stable.bundle()));
            Some(Unready { release, bundle, state, reason })
        };
        Readiness(self.current().iter().filter_map(unready).collect())
    }

    /// What happens from now on; or first what happened after an event, as far as it is remembered.
    #[must_use]
    pub fn subscribe(&self, after: Option<u64>) -> Subscription {
        self.hub.subscribe(after)
    }

    /// How often the table was swapped after a commit, and how long that took in all.
    #[must_use]
    pub fn flips(&self) -> (u64, Duration) {
        let nanos = self.flips.nanos.load(Ordering::Relaxed);
        (self.flips.count.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }

    /// The release that a text names: by its whole id, or by a graph name that only one has.
    ///
    /// # Errors
    /// `unknown_release`, with those that there are.
    pub fn find(&self, text: &str) -> Result<ReleaseId, ChangeError> {
        let table = self.current();
        if let Some(release) = table.iter().find(|release| release.id.to_string() == text) {
            return Ok(release.id.clone());
        }
        let named: Vec<&ReleaseId> = table.iter().map(|release| &release.id).filter(|id| &*id.graph == text).collect();
        if let [only] = *named {
            return Ok(only.clone());
        }
        let listed = |ids: &[&ReleaseId]| ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ");
        let known = match named.as_slice() {
            [] => format!("there are {}", listed(&table.iter().map(|release| &release.id).collect::<Vec<_>>())),
            several => format!("several have this graph: {}", listed(several)),
        };
        Err(ChangeError::UnknownRelease { asked: text.to_owned(), known })
    }

    /// A version to use: the one that is there, unless it has failed.
    pub(crate) fn want(&self, bundle: &Arc<str>, class: Class) -> Hold {
        let mut fleet = self.fleet.lock();
        fleet.retain(|_, version| version.strong_count() > 0);
        let key = (Arc::clone(bundle), class);
        let known = fleet.get(&key).and_then(Weak::upgrade).filter(|version| !version.has_failed());
        let version = known.unwrap_or_else(|| {
            let version = Version::new(Arc::clone(bundle), class, Arc::clone(&self.hub));
            fleet.insert(key, Arc::downgrade(&version));
            version
        });
        Hold::new(version)
    }

    /// Versions for every role of a spec, fresh ones in the place of those that have failed.
    pub(crate) fn roles(&self, spec: &Spec) -> Roles {
        Roles {
            stable: self.want(&spec.stable, Class::Serving),
            candidate: spec.candidate.as_ref().map(|candidate| self.want(&candidate.bundle, Class::Serving)),
            shadow: spec.shadow.as_ref().map(|shadow| self.want(shadow, Class::Shadow)),
        }
    }

    /// The same, but what goes on in its role stays the version that it is, however it fares: a change of settings
    /// must not put a version in its place that nobody loads.
    pub(crate) fn roles_after(&self, spec: &Spec, release: &Release) -> Roles {
        let keeps = |tenure: &Arc<Tenure>, bundle: &Arc<str>| {
            tenure.active().filter(|_| tenure.bundle() == bundle).map(Hold::new)
        };
        let candidate = |bundle: &Arc<str>| {
            let kept = release.candidate.as_ref().and_then(|(tenure, _)| keeps(tenure, bundle));
            kept.unwrap_or_else(|| self.want(bundle, Class::Serving))
        };
        let shadow = |bundle: &Arc<str>| {
            let kept =
                release.shadow.as_ref().map(|shadow| shadow.version()).filter(|version| version.bundle() == bundle);
            kept.map_or_else(|| self.want(bundle, Class::Shadow), |version| Hold::new(Arc::clone(version)))
        };
        Roles {
            stable: keeps(&release.stable, &spec.stable).unwrap_or_else(|| self.want(&spec.stable, Class::Serving)),
            candidate: spec.candidate.as_ref().map(|spec| candidate(&spec.bundle)),
            shadow: spec.shadow.as_ref().map(shadow),
        }
    }

    /// A release in a generation. What serves in the old one and goes on in the new one keeps its tenure.
    pub(crate) fn assemble(
        &self,
        id: &ReleaseId,
        record: Arc<Record>,
        roles: Roles,
        old: Option<&Arc<Release>>,
    ) -> Release {
        let tenure = |hold: Hold| {
            let same = |tenure: &&Arc<Tenure>| tenure.active().is_some_and(|v| Arc::ptr_eq(&v, hold.version()));
            let kept = old.and_then(|old| old.tenures().find(same)).cloned();
            kept.unwrap_or_else(|| Tenure::new(id.clone(), hold.clone()))
        };
        let weight = record.spec.candidate.as_ref().map(|candidate| candidate.weight);
        let shadow = roles.shadow.map(|hold| {
            let same = |shadow: &&Arc<Shadowing>| Arc::ptr_eq(shadow.version(), hold.version());
            let old = old.and_then(|old| old.shadow.as_ref()).filter(same).cloned();
            old.unwrap_or_else(|| Shadowing::new(hold.clone(), id))
        });
        let warm = self.warm(&record.spec, old);
        let exact = warm.as_ref().filter(|_| record.spec.exact_versions).map(|warm| tenure(warm.hold.clone()));
        Release {
            id: id.clone(),
            stable: tenure(roles.stable),
            candidate: roles.candidate.map(tenure).zip(weight),
            shadow,
            warm,
            exact,
            tickets: old.map(|old| Arc::clone(&old.tickets)).unwrap_or_default(),
            record,
        }
    }

    /// Brings every version of the table to life, all at once; one that fails says so in its status and holds up no
    /// other. One that does not fit beside those before it is not loaded.
    pub async fn bring_to_life(self: &Arc<Self>) {
        let table = self.table();
        let mut versions: Vec<Arc<Version>> = Vec::new();
        for version in table.iter().flat_map(|release| release.versions()) {
            if !versions.iter().any(|known| Arc::ptr_eq(known, &version)) {
                versions.push(version);
            }
        }
        // Its status says what is wrong, and the log too.
        join_all(versions.iter().map(|version| self.bring_up(version, Urgency::Startup, || true))).await;
    }

    /// The host stops: no change is made any more, and every worker ends; what one computes after `grace` is lost.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        join_all(self.versions().iter().filter_map(|version| version.live()).map(|live| live.stop(grace))).await;
    }
}
