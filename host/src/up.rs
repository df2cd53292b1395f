//! `bobbin up`: check everything, bring the models to life, serve, and stop without cutting an answer.

use crate::banner;
use crate::cli::Up;
use crate::kept::Keeper;
use crate::launcher::Workers;
use crate::releases;
use crate::variables;
use anyhow::{Context, Result};
use bobbin_manifest::{App, Route, RuntimeConfigFile, Trigger};
use bobbin_runtime::{ComponentSpec, Handler, Runtime, RuntimeConfig};
use bobbin_server::{AppInfo, Limits, Listeners, Metrics, RouteEntry, RoutePath, Server};
use bobbin_stores::variables::Variables;
use bobbin_worker::supervisor::{Gpu, Search, Supervisor, SupervisorConfig};
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
    let config = args.runtime_config_file.as_deref().map(RuntimeConfigFile::load).transpose()?.unwrap_or_default();
    let variables = variables::resolve(args, &app, &config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args, app, &config, variables));
    // A bundle that is still being hashed is no reason to stay.
    runtime.shutdown_background();
    result
}

async fn serve(args: &Up, app: App, config: &RuntimeConfigFile, variables: Variables) -> Result<ExitCode> {
    let limits = limits(&app, args);
    let state_dir = args.state_dir.as_ref().or(config.state_dir.as_ref()).cloned();
    let state_dir = state_dir.unwrap_or_else(|| app.root.join(".bobbin"));
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let search = gpu(args).await;
    let supervised = SupervisorConfig { gpu: search.gpu.clone(), ..SupervisorConfig::default() };
    let supervisor = Supervisor::new(supervised).context("no thread to start workers from")?;
    let workers = Workers::new(supervisor, args.model_memory);
    // Before anything is built: another host may have the state.
    let releases =
        tokio::task::block_in_place(|| releases::open(&app, &state_dir, workers, Arc::clone(&metrics) as _))?;
    let config_file = args.runtime_config_file.as_deref();
    let keeper = tokio::task::block_in_place(|| Keeper::open(&app, config, config_file, variables, &state_dir))?;
    let runtime = Runtime::new(RuntimeConfig {
        instances: u32::try_from(limits.max_in_flight)?,
        reusing: u32::try_from(app.bobbin.reuse_instances.len())?,
        guest_memory: app.bobbin.limits.guest_memory_bytes,
        guest_cpu: app.bobbin.limits.guest_cpu,
        cache: Some(cache_dir(&state_dir)),
    })?;
    let handlers = tokio::task::block_in_place(|| load_components(&runtime, &app, args, &keeper))?;
    let info = AppInfo { name: app.name.clone(), version: Some(app.version.clone()) };
    let server = Server::new(info, routes(&app, &handlers), Arc::clone(&releases), metrics, limits)?;

    let listeners = Listeners::bind(args.listen, args.admin_listen, args.admin_token.clone()).await?;
    let (listen, admin) = (listeners.app_addr(), listeners.admin_addr());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(listeners, stop.clone()));
    tokio::spawn(stop_on_signal(stop.clone())?);
    let _watch = releases::watch(&app, &releases)?;
    tokio::select! {
        () = releases.bring_to_life() => {
            let banner = banner::render(&app, &releases, &search, listen, admin);
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
async fn gpu(args: &Up) -> Search {
    if args.gpu_layers == Some(0) {
        return Search::default();
    }
    let search = Gpu::search(args.gpu_layers).await;
    for unusable in &search.unusable {
        tracing::error!("{unusable}; the processor computes");
    }
    search
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

/// Compiled components belong to the user, not to one application's state: two applications share them.
fn cache_dir(state_dir: &Path) -> PathBuf {
    let user = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .filter(|path| path.is_absolute());
    user.map_or_else(|| state_dir.join("components"), |user| user.join("bobbin").join("components"))
}

fn load_components(runtime: &Runtime, app: &App, args: &Up, keeper: &Keeper) -> Result<BTreeMap<String, Handler>> {
    let load = |component: &bobbin_manifest::Component| {
        let given = args.env.iter().cloned();
        let spec = ComponentSpec {
            id: component.id.to_string(),
            source: component.source.clone(),
            environment: component.environment.clone().into_iter().chain(given).collect(),
            kept: keeper.of(component),
            reuse: app.bobbin.reuse_instances.contains(&component.id),
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
