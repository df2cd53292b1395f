//! The server: both listeners from start to a bounded stop.

use crate::accept::accept;
use crate::admin::application::ApplicationView;
use crate::admin::{Admin, Outside, playground, written};
use crate::admission::Admission;
use crate::app::App;
use crate::connection::Ends;
use crate::exchange::InFlight;
use crate::fresh_keys::FreshKeys;
use crate::handle::Handle;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::listen::Listeners;
use crate::messages::{Brokers, Subscribed, Subscriber, keep_subscribed};
use crate::routes::{RouteEntry, RouteError, RouteTable};
use crate::series;
use arc_swap::ArcSwap;
use bobbin_inference::{Cause, TraceParent};
use bobbin_keys::Known;
use bobbin_release::Releases;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections may take to end once their requests were cut.
const CUT: Duration = Duration::from_secs(2);

/// What `/.well-known/spin/info` says of the application.
#[derive(Debug, Clone, Serialize)]
pub struct AppInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Requests that were still in flight when the drain's time was over, and were cut.
    pub cut: usize,
}

/// What is served of an application.
#[derive(Debug)]
pub struct Served<H> {
    /// What the application says of itself.
    pub info: AppInfo,
    /// Who answers requests.
    pub routes: Vec<RouteEntry<H>>,
    /// Who takes messages.
    pub subscribers: Vec<Subscriber>,
}

/// An application as requests and messages find it.
type Tables<H> = (AppInfo, RouteTable<H>, Vec<Arc<Subscribed>>);

impl<H> Served<H> {
    fn tables(self) -> Result<Tables<H>, RouteError> {
        let Self { info, routes, subscribers } = self;
        let nodes: Vec<_> = routes.iter().filter_map(RouteEntry::node).collect();
        let subscribed = subscribers.into_iter().map(|one| Subscribed::new(one, &nodes)).collect();
        drop(nodes);
        Ok((info, RouteTable::build(routes)?, subscribed))
    }
}

/// A checked application, ready to be served.
pub struct Server<H> {
    app: Current<H>,
    replaced: Arc<Notify>,
}

/// What requests are answered with from now on. One that has begun keeps what it began with.
type Current<H> = Arc<ArcSwap<App<H>>>;

/// Replaces the application of a server that is serving.
pub struct Replacer<H> {
    app: Current<H>,
    replaced: Arc<Notify>,
}

impl<H> std::fmt::Debug for Replacer<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replacer").field("info", &self.app.load().info).finish_non_exhaustive()
    }
}

impl<H: Handle> Replacer<H> {
    /// Answers the next requests, and takes the next messages, with these routes and components. Those in flight keep
    /// theirs; all share the bounds, the releases and the metrics that the server began with. Connections to servers whose
    /// channels stay the same stay.
    ///
    /// # Errors
    /// [`RouteError`], and then nothing changes.
    pub fn replace(&self, served: Served<H>) -> Result<(), RouteError> {
        let (info, table, subscribed) = served.tables()?;
        let old = self.app.load();
        self.app.store(Arc::new(App {
            info,
            table,
            subscribed,
            releases: Arc::clone(&old.releases),
            metrics: Arc::clone(&old.metrics),
            keys: Arc::clone(&old.keys),
            loopback: Arc::clone(&old.loopback),
            admission: Arc::clone(&old.admission),
            calls: Arc::clone(&old.calls),
            limits: old.limits.clone(),
            in_flight: Arc::clone(&old.in_flight),
            cancel: old.cancel.clone(),
            tasks: old.tasks.clone(),
        }));
        self.replaced.notify_one();
        Ok(())
    }
}

impl<H> std::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let app = self.app.load();
        f.debug_struct("Server").field("info", &app.info).field("limits", &app.limits).finish_non_exhaustive()
    }
}

impl<H: Handle> Server<H> {
    /// Builds the route table. `ledger` is the one that the releases record into.
    ///
    /// # Errors
    /// [`RouteError`] for a pattern that is no route, and for two triggers in the same place.
    pub fn new(
        served: Served<H>,
        releases: Arc<Releases>,
        ledger: &Ledger,
        limits: Limits,
    ) -> Result<Self, RouteError> {
        let (info, table, subscribed) = served.tables()?;
        let app = App {
            info,
            table,
            subscribed,
            releases,
            metrics: Arc::clone(ledger.metrics()),
            keys: FreshKeys::new(Arc::clone(ledger.keys())),
            loopback: Arc::default(),
            admission: Admission::new(limits.max_in_flight),
            calls: Admission::new(limits.calls),
            limits,
            in_flight: Arc::default(),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Ok(Self { app: Arc::new(ArcSwap::from_pointee(app)), replaced: Arc::default() })
    }

    /// What can replace the application while it is served.
    #[must_use]
    pub fn replacer(&self) -> Replacer<H> {
        Replacer { app: Arc::clone(&self.app), replaced: Arc::clone(&self.replaced) }
    }

    /// Serves until `stop` is cancelled. Then it takes no further connection and no further message, is no longer
    /// ready, lets the requests and messages in flight finish for as long as [`Limits::drain`], cuts the rest, and
    /// returns. The admin listener answers to the end. Dropping the future cuts everything at once.
    pub async fn serve(self, listeners: Listeners, stop: CancellationToken) -> Drained {
        let Self { app: current, replaced } = self;
        // All that is ever served share what is used of it here.
        let app = current.load_full();
        let loopback = listeners.app_addr().is_some_and(|addr| addr.ip().to_canonical().is_loopback());
        app.loopback.store(loopback, Ordering::Relaxed);
        let ends = Ends { stop: stop.clone(), abort: CancellationToken::new() };
        let admin_ends = Ends { stop: CancellationToken::new(), abort: CancellationToken::new() };
        let _cut_when_dropped =
            [&ends.stop, &ends.abort, &admin_ends.stop, &admin_ends.abort, &app.cancel].map(|t| t.clone().drop_guard());
        let admin_tasks = TaskTracker::new();
        let (tasks, closing) = (admin_tasks.clone(), admin_ends.stop.clone());
        let brokers = Arc::<Brokers>::default();
        let outside = outside(&current, &brokers);
        admin_tasks.spawn(series::keep(Arc::clone(&app.metrics), Arc::clone(&app.admission), closing.clone()));
        let admin = Arc::new(Admin::new(&app, listeners.admin_token, outside, tasks, stop.clone(), closing));
        let answer = move |connection, request| Arc::clone(&admin).answer(connection, request);
        admin_tasks.spawn(accept(listeners.admin, answer, app.limits.clone(), admin_ends.clone(), admin_tasks.clone()));
        app.tasks.spawn(keep_subscribed(Arc::clone(&current), brokers, replaced, stop.clone()));
        let answer = move |connection, request| current.load_full().answer(connection, request);
        match listeners.app {
            Some(listener) => accept(listener, answer, app.limits.clone(), ends.clone(), app.tasks.clone()).await,
            None => stop.cancelled().await,
        }
        let drained = drain(&app.tasks, &app.in_flight, app.limits.drain, &ends.abort).await;
        admin_ends.stop.cancel();
        admin_ends.abort.cancel();
        admin_tasks.close();
        finish(&admin_tasks).await;
        drained
    }
}

/// What the admin listener asks of the application, as that is when it asks.
fn outside<H: Handle>(current: &Current<H>, brokers: &Arc<Brokers>) -> Outside {
    let [routes, shown, contexts, served] = [0; 4].map(|_| Arc::clone(current));
    let since = written(SystemTime::now());
    let application = move || {
        let app = shown.load();
        let subscribers = app.subscribed.iter().map(|one| one.view());
        ApplicationView {
            name: app.info.name.clone(),
            version: app.info.version.clone(),
            host_version: app.metrics.version().to_owned(),
            since: since.clone(),
            routes: app.table.views().iter().cloned().chain(subscribers).collect(),
        }
    };
    let context = move |id| {
        let app = contexts.load();
        app.new_context(id, TraceParent::start(), playground::ROUTE.into(), &app.cancel)
    };
    let known = move || {
        let app = routes.load();
        known(&app.table, &app.releases)
    };
    let standing = Arc::clone(brokers);
    let unsubscribed = move || standing.unsubscribed(&served.load().subscribed);
    Outside {
        known: Box::new(known),
        unsubscribed: Box::new(unsubscribed),
        application: Box::new(application),
        context: Box::new(context),
    }
}

/// The routes and models that a key can be for, as they are now.
fn known<H>(table: &RouteTable<H>, releases: &Releases) -> Known {
    let mut models: Vec<String> = releases.views().iter().map(|view| view.graph.to_string()).collect();
    models.sort();
    models.dedup();
    Known { routes: table.names().to_vec(), models }
}

async fn drain(tasks: &TaskTracker, in_flight: &InFlight, bound: Duration, abort: &CancellationToken) -> Drained {
    tasks.close();
    let waiting = in_flight.count();
    if waiting > 0 {
        tracing::info!(requests = waiting, seconds = bound.as_secs(), "stopping: requests in flight may finish");
    }
    if tokio::time::timeout(bound, tasks.wait()).await.is_ok() {
        return Drained { cut: 0 };
    }
    let cut = in_flight.count();
    tracing::warn!(requests = cut, "the drain is over: requests in flight are cut");
    in_flight.end(&Cause::HostStopping);
    abort.cancel();
    finish(tasks).await;
    Drained { cut }
}

async fn finish(tasks: &TaskTracker) {
    if tokio::time::timeout(CUT, tasks.wait()).await.is_err() {
        tracing::warn!(tasks = tasks.len(), "connections did not end in time and were left behind");
    }
}
