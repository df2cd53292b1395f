//! Pins: the versions that one request uses, decided once.

use crate::releases::Releases;
use crate::session::PinnedSession;
use crate::shadow::Shadowing;
use crate::spec::Sticky;
use crate::split::{Side, counted, keyed};
use crate::status::{State, Status};
use crate::table::{Release, ReleaseId};
use crate::tenure::{Lease, Tenure};
use crate::version::Version;
use bobbin_inference::{Graph, GraphInfo, InferenceError, Reason, RequestContext, Session};
use parking_lot::Mutex;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// How much of a name that a component made up is shown in the log, in characters.
const SHOWN: usize = 100;

/// What a request shows of itself to whoever splits.
pub trait Asker {
    /// The first header of this name, in lower case.
    fn header(&self, name: &str) -> Option<&str>;

    /// The first cookie of this name.
    fn cookie(&self, name: &str) -> Option<&str>;

    /// The client's address.
    fn client(&self) -> &str;

    /// The models that it may use are fewer than those of the component.
    fn is_restricted(&self) -> bool {
        false
    }

    /// Whether it may use the graph of this name, where the component is granted it.
    fn may_use(&self, graph: &str) -> bool {
        let _ = graph;
        true
    }
}

/// The graphs that a request may load, each with the version decided for it.
#[derive(Clone, Default)]
pub struct Pins {
    pinned: Arc<[Pinned]>,
    /// Whoever asks may use fewer models than the component.
    restricted: bool,
    /// `None` where nobody decided: such pins grant nothing.
    releases: Option<Arc<Releases>>,
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pinned.iter().map(|pin| (pin.name(), pin.bundle()))).finish()
    }
}

/// One graph name, and what serves it for this request.
#[derive(Clone)]
pub struct Pinned(Arc<Pin>);

/// A pin, shared by everything in a request that uses the graph.
pub(crate) struct Pin {
    /// What loads it: the graph's name, or the version's own.
    pub(crate) name: Arc<str>,
    /// It was asked for by its exact name, and is never another version.
    pub(crate) exact: bool,
    /// When its version stops answering, in seconds since 1970.
    pub(crate) retires: Option<u64>,
    pub(crate) id: ReleaseId,
    pub(crate) releases: Arc<Releases>,
    pub(crate) held: Mutex<Held>,
}

/// What a pin holds. It changes at most when its version retires before anything of it was returned.
pub(crate) struct Held {
    pub(crate) lease: Arc<Lease>,
    pub(crate) generation: u64,
    /// Of a shadow no request keeps more than the knowledge that there was one.
    pub(crate) shadow: Weak<Shadowing>,
    /// Something of this graph has reached the guest: it can move to no other version any more.
    pub(crate) returned: bool,
}

/// The version of a pin, to compute with.
pub(crate) struct Serving {
    pub(crate) lease: Arc<Lease>,
    pub(crate) generation: u64,
    pub(crate) shadow: Weak<Shadowing>,
    pub(crate) graph: Arc<dyn Graph>,
}

impl Pins {
    /// Decides the version of every release of the trigger, and takes a lease on each.
    pub(crate) fn decide(releases: &Arc<Releases>, trigger: &str, asker: &dyn Asker) -> Self {
        let table = releases.current();
        // What may not be used takes no lease, and looks like what there is not.
        let may_use = |release: &&Arc<Release>| asker.may_use(&release.id.graph);
        let pin = |release: &Arc<Release>| Pinned::of_graph(releases, release, choose(release, asker));
        let mut pinned: Vec<Pinned> = table.of_trigger(trigger).filter(may_use).map(pin).collect();
        for release in table.of_trigger(trigger).filter(may_use).filter(|release| release.record.spec.exact_versions) {
            for tenure in release.tenures() {
                // The same version may answer for several graphs; what loads it is one name.
                if pinned.iter().all(|known| known.name() != tenure.bundle()) {
                    pinned.extend(Pinned::of_version(releases, release, tenure));
                }
            }
        }
        Self { pinned: pinned.into(), restricted: asker.is_restricted(), releases: Some(Arc::clone(releases)) }
    }

    /// The models that the request may use, by name: those that are loaded, or being loaded.
    #[must_use]
    pub fn catalog(&self) -> Vec<Listed> {
        let mut listed: Vec<Listed> = self.pinned.iter().filter_map(Pinned::listed).collect();
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        listed
    }

    /// The versions of which it is decided when they stop answering, with that second since 1970.
    #[must_use]
    pub fn retirements(&self) -> Vec<(Arc<str>, u64)> {
        self.pinned.iter().filter_map(|pin| Some((pin.bundle(), pin.0.retires?))).collect()
    }

    /// The pin of a graph name; `None` where the name is unknown or not granted, which look the same.
    #[must_use]
    pub fn graph(&self, name: &str) -> Option<&Pinned> {
        self.pinned.iter().find(|pin| &**pin.name() == name)
    }

    /// All pins, by graph name.
    pub fn iter(&self) -> impl Iterator<Item = &Pinned> {
        self.pinned.iter()
    }

    /// Whether whoever asks may use fewer models than the component: then a name that is missing may be theirs to ask for.
    #[must_use]
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// A component asked for a graph that has no pin: said in the log, under the target `security`, and counted.
    pub fn refuse(&self, context: &RequestContext, graph: &str) {
        let shown = shown(graph);
        let principal = context.principal.as_deref();
        let what = match self.restricted {
            false => "a component asked for a model that it is not granted",
            true => "a component asked for a model that it, or the key of its request, is not granted",
        };
        tracing::warn!(target: "security", request = %context.id, trigger = %context.trigger, principal, graph = %shown,
            "{what}");
        if let Some(releases) = &self.releases {
            releases.recorder().refused(&context.trigger, graph);
        }
    }
}

/// The side of a request. A candidate that does not answer gets none: what asks for it is answered by stable.
fn choose<'a>(release: &'a Release, asker: &dyn Asker) -> &'a Arc<Tenure> {
    let stable = &release.stable;
    let Some((candidate, weight)) = &release.candidate else { return stable };
    let spec = &release.record.spec;
    let asked = asker.header("bobbin-version").filter(|_| spec.version_header).map(str::trim);
    let side = match asked {
        Some(asked) if names(asked, "candidate", candidate.bundle()) => Side::Candidate,
        Some(asked) if names(asked, "stable", stable.bundle()) => Side::Stable,
        _ => {
            let key = match &spec.sticky {
                Sticky::Request => None,
                Sticky::Client => Some(asker.client()),
                Sticky::Header(name) => asker.header(name),
                Sticky::Cookie(name) => asker.cookie(name),
            };
            match key {
                Some(key) => keyed(&release.id.to_string(), key, *weight),
                None => counted(release.tickets.fetch_add(1, Ordering::Relaxed), *weight),
            }
        }
    };
    if side == Side::Candidate && candidate.is_ready() { candidate } else { stable }
}

/// Whether a tester's word names this version: its role, `name@version`, or the version alone.
fn names(asked: &str, role: &str, bundle: &str) -> bool {
    asked == role || asked == bundle || bundle.split_once('@').is_some_and(|(_, version)| version == asked)
}

/// A name as the log may hold it: a component chose it, so it may be long, or hold a line break.
fn shown(name: &str) -> String {
    let mut escaped = name.escape_debug();
    let mut shown: String = escaped.by_ref().take(SHOWN).collect();
    if escaped.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A model that a request may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// What loads it.
    pub name: Arc<str>,
    /// What is known of it.
    pub info: GraphInfo,
    /// When its version stops answering, where that is decided: seconds since 1970.
    pub retires: Option<u64>,
}

impl Pinned {
    /// A pin on one version of a release, which whoever asks for it must have by its name. What is kept warm gets a tenure
    /// for this request alone: the lease keeps the version loaded to the request's end.
    pub(crate) fn exactly(releases: &Arc<Releases>, id: &ReleaseId, bundle: &str) -> Option<Self> {
        let table = releases.current();
        let release = table.get(id)?;
        let serving = release.tenures().find(|tenure| &**tenure.bundle() == bundle).cloned();
        let kept = || {
            let warm = release.warm.as_ref().filter(|warm| &**warm.hold.version().bundle() == bundle)?;
            Some(Tenure::new(id.clone(), warm.hold.clone()))
        };
        Self::of_version(releases, release, &serving.or_else(kept)?)
    }

    /// A graph, and the version that was chosen for it.
    fn of_graph(releases: &Arc<Releases>, release: &Release, tenure: &Arc<Tenure>) -> Self {
        Self::new(releases, release, tenure, Held::of(release, tenure), false)
    }

    /// A version by its exact name; `None` where it takes on no request any more.
    fn of_version(releases: &Arc<Releases>, release: &Release, tenure: &Arc<Tenure>) -> Option<Self> {
        // A shadow compares itself with what the release answers, and nobody asked the release.
        let held = Held { shadow: Weak::new(), ..Held::of(release, tenure) };
        held.lease.counts().then(|| Self::new(releases, release, tenure, held, true))
    }

    fn new(releases: &Arc<Releases>, release: &Release, tenure: &Arc<Tenure>, held: Held, exact: bool) -> Self {
        Self(Arc::new(Pin {
            name: Arc::clone(if exact { tenure.bundle() } else { &release.id.graph }),
            exact,
            retires: release.retires(tenure),
            id: release.id.clone(),
            releases: Arc::clone(releases),
            held: Mutex::new(held),
        }))
    }

    /// Its entry in the catalog; `None` where nothing is known of its version, which has failed or is not loaded.
    fn listed(&self) -> Option<Listed> {
        let version = self.0.held.lock().lease.tenure().version()?;
        let live = version.live().filter(|_| !version.has_failed())?;
        let info = live.graph().info().clone();
        Some(Listed { name: Arc::clone(&self.0.name), info, retires: self.0.retires })
    }

    /// What loads it: the graph's name in the component, or `name@version`.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// `name@version`.
    #[must_use]
    pub fn bundle(&self) -> Arc<str> {
        Arc::clone(self.0.held.lock().lease.tenure().bundle())
    }

    /// The graph behind the pin.
    ///
    /// # Errors
    /// `worker_unavailable` while the version is not ready yet, `version_failed` where it cannot serve,
    /// `version_retired` where its drain is over and the request has used it already; with why.
    pub fn load(&self) -> Result<Arc<dyn Graph>, InferenceError> {
        self.0.serving().map(|serving| serving.graph)
    }

    /// Opens a session for the request: metered, and keeping the version alive. Returned with what is known of its
    /// graph.
    ///
    /// # Errors
    /// As [`Pinned::load`].
    pub fn open(&self, context: &Arc<RequestContext>) -> Result<(Box<dyn Session>, GraphInfo), InferenceError> {
        let serving = self.0.serving()?;
        let info = serving.graph.info().clone();
        Ok((Box::new(PinnedSession::open(Arc::clone(&self.0), serving, context)), info))
    }
}

impl Held {
    fn of(release: &Release, tenure: &Arc<Tenure>) -> Self {
        Self {
            lease: Arc::new(Lease::take(tenure)),
            generation: release.record.generation,
            shadow: release.shadow.as_ref().map(Arc::downgrade).unwrap_or_default(),
            returned: false,
        }
    }
}

impl Pin {
    /// The version to compute with, decided anew where the one that was decided has retired and nothing of it was
    /// returned.
    pub(crate) fn serving(&self) -> Result<Serving, InferenceError> {
        let mut held = self.held.lock();
        let retired = held.lease.tenure().retired().is_cancelled();
        let version = held.lease.tenure().version().filter(|_| held.lease.counts() && !retired);
        let version = match version {
            Some(version) => version,
            None => self.remake(&mut held)?,
        };
        let graph = graph(&version, &self.id)?;
        let (lease, shadow) = (Arc::clone(&held.lease), Weak::clone(&held.shadow));
        Ok(Serving { lease, generation: held.generation, shadow, graph })
    }

    /// Decides again: for the stable version as it is now.
    fn remake(&self, held: &mut Held) -> Result<Arc<Version>, InferenceError> {
        let bundle = held.lease.tenure().bundle();
        if held.returned || self.exact {
            return Err(retired(bundle));
        }
        let fresh = self.releases.current().get(&self.id).map(|release| Held::of(release, &release.stable));
        let serving = fresh.and_then(|fresh| {
            let version = fresh.lease.tenure().version().filter(|_| fresh.lease.counts())?;
            Some((fresh, version))
        });
        let Some((fresh, version)) = serving else {
            let message = format!("{bundle} behind \"{}\" is being replaced; try again soon", self.id.graph);
            return Err(InferenceError::new(Reason::WorkerUnavailable, message));
        };
        *held = fresh;
        Ok(version)
    }
}

/// What a session gets whose version has retired under it.
pub(crate) fn retired(bundle: &str) -> InferenceError {
    let message = format!("{bundle} was retired while it was answering, and its drain is over; send the request again");
    InferenceError::new(Reason::VersionRetired, message)
}

fn graph(version: &Version, id: &ReleaseId) -> Result<Arc<dyn Graph>, InferenceError> {
    let refused = |reason: Reason, what: &str, why: Option<&str>| {
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        InferenceError::new(reason, format!("{} behind \"{}\" {what}{why}", version.bundle(), id.graph))
    };
    // The usual case asks for no reason.
    if let Some(live) = version.live().filter(|live| live.is_ready()) {
        return Ok(live.graph());
    }
    let Status { state, reason, told, .. } = version.status();
    let reason = told.or(reason);
    match (state, version.live()) {
        (State::Failed, _) => Err(refused(Reason::VersionFailed, "cannot serve", reason.as_deref())),
        (state, None) => {
            let what = format!("is not ready yet ({}); try again soon", state.as_str());
            Err(refused(Reason::WorkerUnavailable, &what, reason.as_deref()))
        }
        (_, Some(live)) => Ok(live.graph()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_log_is_short_and_on_one_line() {
        assert_eq!(shown("story"), "story");
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(100)), "x".repeat(100));
        assert_eq!(shown(&"x".repeat(1 << 20)), format!("{}…", "x".repeat(100)));
    }

    #[test]
    fn a_tester_names_a_version_by_role_bundle_or_number() {
        for asked in ["candidate", "s@1.1.0", "1.1.0"] {
            assert!(names(asked, "candidate", "s@1.1.0"), "{asked}");
        }
        for asked in ["stable", "s", "1.1", "s@1.1.0 "] {
            assert!(!names(asked, "candidate", "s@1.1.0"), "{asked}");
        }
    }
}
