//! `bobbin up`: check everything, bring the models to life, serve, and stop without cutting an answer.

use crate::banner;
use crate::bundles::chain;
use crate::cli::Up;
use crate::launcher::WorkerLauncher;
use crate::source::RepositorySource;
use anyhow::{Context, Result};
use bobbin_bundle::{BlobStore, Repository};
use bobbin_manifest::{App, Problem, ProblemKind, Route, Trigger};
use bobbin_release::{Declared, ReleaseId, Releases, Source, Table};
use bobbin_runtime::{ComponentSpec, Handler, Runtime, RuntimeConfig};
use bobbin_server::{AppInfo, Limits, Listeners, Metrics, RouteEntry, RoutePath, Server};
use bobbin_worker::supervisor::{Supervisor, SupervisorConfig};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a worker may take to end once nothing needs it any more.
const WORKER_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &Up) -> Result<ExitCode> {
    let app = bobbin_manifest::load(&args.file)?;
    app.check_supported()?;
    for warning in &app.warnings {
        eprintln!("warning: {warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args, app));
    // A bundle that is still being hashed is no reason to stay.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Up, app: App) -> Result<ExitCode> {
    let limits = limits(&app, args);
    let state_dir = args.state_dir.clone().unwrap_or_else(|| app.root.join(".bobbin"));
    let source = source(&app, &state_dir)?;
    let runtime = Runtime::new(RuntimeConfig {
        instances: u32::try_from(limits.max_in_flight)?,
        guest_memory: app.bobbin.limits.guest_memory_bytes,
        guest_cpu: app.bobbin.limits.guest_cpu,
        cache: Some(cache_dir(&state_dir)),
    })?;
    let handlers = tokio::task::block_in_place(|| load_components(&runtime, &app))?;

    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let releases = Arc::new(Releases::new(Table::declared(&declared(&app)), Arc::clone(&metrics) as _));
    let info = AppInfo { name: app.name.clone(), version: Some(app.version.clone()) };
    let server = Server::new(info, routes(&app, &handlers), Arc::clone(&releases), metrics, limits)?;

    let listeners = Listeners::bind(args.listen, args.admin_listen, args.admin_token.clone()).await?;
    let (listen, admin) = (listeners.app_addr(), listeners.admin_addr());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(listeners, stop.clone()));
    let supervisor = Supervisor::new(SupervisorConfig::default()).context("no thread to start workers from")?;
    let launcher = WorkerLauncher(supervisor);
    tokio::spawn(stop_on_signal(stop.clone())?);
    tokio::select! {
        () = bring_to_life(&releases, source, &launcher) => {
            let banner = banner::render(&app, &releases, listen, admin);
            // A closed standard output is no reason not to serve.
            let _ = std::io::stdout().lock().write_all(banner.as_bytes());
        }
        () = stop.cancelled() => {}
    }
    let drained = serving.await?;
    join_all(releases.versions().iter().filter_map(|version| version.live()).map(|live| async move {
        live.stop(WORKER_GRACE).await;
    }))
    .await;
    tracing::info!(?drained, "stopped");
    Ok(ExitCode::SUCCESS)
}

fn limits(app: &App, args: &Up) -> Limits {
    let declared = &app.bobbin.limits;
    Limits {
        max_in_flight: args.max_in_flight.unwrap_or(declared.max_in_flight) as usize,
        body_bytes: declared.body_bytes,
        request_timeout: declared.request,
        timeout_grace: declared.grace,
        account_bytes: declared.account_bytes,
        drain: declared.drain,
        ..Limits::default()
    }
}

/// The bundles that releases name: a misspelt one is found before a port is bound, not by the first request.
fn source(app: &App, state_dir: &Path) -> Result<Arc<dyn Source>> {
    let repository = Repository::open(&app.bobbin.repository)?;
    let mut bundles = BTreeMap::new();
    for release in app.triggers.iter().flat_map(|trigger| app.releases_of(trigger).into_values()) {
        let stable = &release.stable;
        let bundle = repository.find(&stable.name, &stable.version).map_err(|error| {
            let what = format!("the release names {stable}, which cannot be had: {}", chain(&error));
            let help = "correct the release; `bobbin bundle list` shows what the repository has";
            app.problem_at(release.place, Problem::new(ProblemKind::Release, what, help))
        })?;
        bundles.insert(stable.to_string(), bundle);
    }
    let blobs = BlobStore::open(state_dir)?;
    Ok(Arc::new(RepositorySource { bundles, blobs }))
}

/// Compiled components belong to the user, not to one application's state: two applications share them.
fn cache_dir(state_dir: &Path) -> PathBuf {
    let user = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .filter(|path| path.is_absolute());
    user.map_or_else(|| state_dir.join("components"), |user| user.join("bobbin").join("components"))
}

fn load_components(runtime: &Runtime, app: &App) -> Result<BTreeMap<String, Handler>> {
    let load = |component: &bobbin_manifest::Component| {
        let spec = ComponentSpec {
            id: component.id.to_string(),
            source: component.source.clone(),
            environment: component.environment.clone(),
        };
        Ok((spec.id.clone(), runtime.load(&spec)?))
    };
    app.components.values().map(load).collect()
}

fn routes(app: &App, handlers: &BTreeMap<String, Handler>) -> Vec<RouteEntry<Handler>> {
    let entry = |trigger: &Trigger| {
        let component = trigger.component()?.as_str();
        let handler = handlers.get(component)?.clone();
        let route = match &trigger.route {
            Route::Path(path) => RoutePath::Public(path.clone()),
            Route::Private => RoutePath::Private,
        };
        Some(RouteEntry { trigger_id: trigger.id.as_str().into(), route, component: component.into(), handler })
    };
    app.triggers.iter().filter_map(entry).collect()
}

fn declared(app: &App) -> Vec<Declared> {
    let of_trigger = |trigger: &Trigger| {
        let id: Arc<str> = trigger.id.as_str().into();
        app.releases_of(trigger).into_iter().map(move |(graph, release)| Declared {
            id: ReleaseId { trigger: Arc::clone(&id), graph: graph.as_str().into() },
            stable: release.stable.to_string().into(),
        })
    };
    app.triggers.iter().flat_map(of_trigger).collect()
}

/// Every declared version at once; one that fails says so in its status and holds up no other.
async fn bring_to_life(releases: &Releases, source: Arc<dyn Source>, launcher: &WorkerLauncher) {
    let versions = releases.versions();
    join_all(versions.iter().map(|version| bobbin_release::serve(version, Arc::clone(&source), launcher))).await;
}

/// The first signal drains; workers sit in process groups of their own, so ctrl-C does not reach them first.
fn stop_on_signal(stop: CancellationToken) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping: requests in flight may finish; again to stop at once");
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopped at once");
        std::process::exit(130);
    })
}
