//! `bobbin up`: check everything, bring the models to life, serve, and stop without cutting an answer.

use crate::banner;
use crate::cli::{Serve, Up};
use crate::hosts;
use crate::kept::Keeper;
use crate::launcher::Workers;
use crate::open_files;
use crate::releases;
use crate::source;
use crate::variables;
use anyhow::{Context, Result};
use bobbin_loader::{Mount, Size, Unit};
use bobbin_manifest::{App, Handler as Answers, Route, RuntimeConfigFile, Trigger};
use bobbin_runtime::{ComponentSpec, Folder, Handler, InstanceSize, OutboundConfig, Runtime, RuntimeConfig};
use bobbin_server::{Answerer, AppInfo, FixedAnswer, Limits, Listeners, Metrics, RouteEntry, RoutePath, Server};
use bobbin_stores::variables::Variables;
use bobbin_worker::supervisor::{Gpu, Search, Supervisor, SupervisorConfig};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a worker may take to end once nothing needs it any more.
const WORKER_GRACE: Duration = Duration::from_secs(2);

/// Calls between components at once, of all requests: as many as requests, but enough on a small node, and not so many
/// that their instances would not fit into the address space.
const CALLS: RangeInclusive<usize> = 32..=1024;

pub(crate) fn run(args: &Up) -> Result<ExitCode> {
    let app = source::load(args)?;
    start(&args.serve, &app, Again::AnySignal)
}

/// Serves an application until a signal stops it.
pub(crate) fn start(args: &Serve, app: &App, again: Again) -> Result<ExitCode> {
    app.check_supported()?;
    for warning in &app.warnings {
        eprintln!("warning: {warning}");
    }
    let config = args.runtime_config_file.as_deref().map(RuntimeConfigFile::load).transpose()?.unwrap_or_default();
    let variables = variables::resolve(args, app, &config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args, app, &config, variables, again));
    // A bundle that is still being hashed is no reason to stay.
    runtime.shutdown_background();
    result
}

async fn serve(
    args: &Serve,
    app: &App,
    config: &RuntimeConfigFile,
    variables: Variables,
    again: Again,
) -> Result<ExitCode> {
    let limits = limits(app, args);
    let state_dir = args.state_dir.as_ref().or(config.state_dir.as_ref()).cloned();
    let state_dir = state_dir.unwrap_or_else(|| app.root.join(".bobbin"));
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let search = gpu(args).await;
    let supervised = SupervisorConfig { gpu: search.gpu.clone(), ..SupervisorConfig::default() };
    let supervisor = Supervisor::new(supervised).context("no thread to start workers from")?;
    let workers = Workers::new(supervisor, args.model_memory);
    // Before anything is built: another host may have the state.
    let releases = tokio::task::block_in_place(|| releases::open(app, &state_dir, workers, Arc::clone(&metrics) as _))?;
    let config_file = args.runtime_config_file.as_deref();
    let keeper = tokio::task::block_in_place(|| Keeper::open(app, config, config_file, variables, &state_dir))?;
    let units = tokio::task::block_in_place(|| bobbin_loader::load(app, &state_dir))?;
    open_files::allow(&units, &limits);
    let runtime = Runtime::new(RuntimeConfig {
        instances: u32::try_from(limits.max_in_flight)?,
        chained: u32::try_from(limits.calls)?,
        reusing: u32::try_from(units.iter().filter(|unit| reuses(app, unit)).count())?,
        guest_memory: app.bobbin.limits.guest_memory_bytes,
        guest_cpu: app.bobbin.limits.guest_cpu,
        greatest: greatest(&units),
        cache: Some(cache_dir(&state_dir)),
        outbound: OutboundConfig::default(),
    })?;
    let routes = tokio::task::block_in_place(|| {
        let handlers = load_components(&runtime, app, &units, &args.env, &keeper)?;
        routes(app, &units, &handlers)
    })?;
    // Compiled, nobody needs the bytes any more.
    drop(units);
    let info = AppInfo { name: app.name.clone(), version: Some(app.version.clone()) };
    let server = Server::new(info, routes, Arc::clone(&releases), metrics, limits)?;

    let listeners = Listeners::bind(args.listen, args.admin_listen, args.admin_token.clone()).await?;
    let (listen, admin) = (listeners.app_addr(), listeners.admin_addr());
    runtime.keep_from(admin);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(listeners, stop.clone()));
    tokio::spawn(stop_on_signal(stop.clone(), again)?);
    let _watch = releases::watch(app, &state_dir, &releases)?;
    tokio::select! {
        () = releases.bring_to_life() => {
            let banner = banner::render(app, &releases, &search, listen, admin);
            // A closed standard output is no reason not to serve.
            let _ = std::io::stdout().lock().write_all(banner.as_bytes());
        }
        () = stop.cancelled() => {}
    }
    let drained = serving.await?;
    releases.stop(WORKER_GRACE).await;
    tracing::info!(?drained, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// The worker for a GPU that is installed beside this executable.
async fn gpu(args: &Serve) -> Search {
    if args.gpu_layers == Some(0) {
        return Search::default();
    }
    let search = Gpu::search(args.gpu_layers).await;
    for unusable in &search.unusable {
        tracing::error!("{unusable}; the processor computes");
    }
    search
}

fn limits(app: &App, args: &Serve) -> Limits {
    let declared = &app.bobbin.limits;
    let max_in_flight = args.max_in_flight.unwrap_or(declared.max_in_flight) as usize;
    // Who may ask nobody calls no other component.
    let may_call = app.components.values().any(|component| !component.allowed_outbound_hosts.is_empty());
    Limits {
        max_in_flight,
        calls: if may_call { max_in_flight.clamp(*CALLS.start(), *CALLS.end()) } else { 0 },
        body_bytes: declared.body_bytes,
        request_timeout: declared.request,
        timeout_grace: declared.grace,
        account_bytes: declared.account_bytes,
        drain: declared.drain,
        ..Limits::default()
    }
}

/// Compiled components belong to the user, not to one application's state: two applications share them.
fn cache_dir(state_dir: &Path) -> PathBuf {
    source::user_cache().map_or_else(|| state_dir.join("components"), |cache| cache.join("components"))
}

fn reuses(app: &App, unit: &Unit) -> bool {
    app.bobbin.reuse_instances.contains(&unit.component)
}

fn greatest(units: &[Unit]) -> InstanceSize {
    let Size { core_instances, memories, tables } =
        units.iter().map(|unit| Size::of(&unit.bytes)).fold(Size::default(), Size::max);
    InstanceSize { core_instances, memories, tables }
}

/// `given` are environment variables for all of them.
fn load_components(
    runtime: &Runtime,
    app: &App,
    units: &[Unit],
    given: &[(String, String)],
    keeper: &Keeper,
) -> Result<BTreeMap<String, Handler>> {
    let folder = |mount: &Mount| Folder { host: mount.host.clone(), guest: mount.guest.clone() };
    let load = |unit: &Unit| {
        let component = app.components.get(&unit.component).context("every unit has a component")?;
        let spec = ComponentSpec {
            id: component.id.to_string(),
            source: component.source.clone(),
            environment: component.environment.clone().into_iter().chain(given.iter().cloned()).collect(),
            allowed_outbound_hosts: hosts::resolve(component, |template| keeper.render(template)),
            kept: keeper.of(component),
            folders: unit.mounts.iter().map(folder).collect(),
            reuse: reuses(app, unit),
        };
        Ok((unit.id.clone(), runtime.load(&spec, &unit.bytes)?))
    };
    units.iter().map(load).collect()
}

fn routes(app: &App, units: &[Unit], handlers: &BTreeMap<String, Handler>) -> Result<Vec<RouteEntry<Handler>>> {
    let entry = |trigger: &Trigger| {
        let answerer = match &trigger.handler {
            Answers::Component(component) => {
                let unit = units.iter().find(|unit| unit.triggers.contains(&trigger.id));
                let handler = unit.and_then(|unit| handlers.get(&unit.id)).context("every trigger has a unit")?;
                let (id, calls) = (component.as_str().into(), handler.calls());
                Answerer::Component { id, handler: handler.clone(), calls }
            }
            Answers::Static(fixed) => {
                let headers = fixed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Answerer::Fixed(FixedAnswer::new(fixed.status, headers, fixed.body.clone().unwrap_or_default())?)
            }
        };
        let route = match &trigger.route {
            Route::Path(path) => RoutePath::Public(path.clone()),
            Route::Private => RoutePath::Private,
        };
        Ok(RouteEntry { trigger_id: trigger.id.as_str().into(), route, answerer })
    };
    app.triggers.iter().map(entry).collect()
}

/// Which signals stop the host at once, after one has begun to drain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Any.
    AnySignal,
    /// Ctrl-C alone, and not what comes with the first: Spin passes each one on as SIGTERM, more than once.
    CtrlC,
}

/// How long one ctrl-C may take to arrive by all the ways that it takes under Spin.
const SAME_STOP: Duration = Duration::from_secs(1);

/// The first signal drains; workers sit in process groups of their own, so ctrl-C does not reach them first.
fn stop_on_signal(stop: CancellationToken, again: Again) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("stopping: requests in flight may finish; again to stop at once");
        stop.cancel();
        match again {
            Again::AnySignal => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            Again::CtrlC => {
                tokio::time::sleep(SAME_STOP).await;
                // What has come until now.
                let _ = interrupt.recv().now_or_never();
                interrupt.recv().await;
            }
        }
        eprintln!("stopped at once");
        std::process::exit(130);
    })
}
