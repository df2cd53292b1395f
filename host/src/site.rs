//! What answers requests and takes messages: the components of an application, compiled and granted what they may reach,
//! their routes and their channels.

use crate::cli::Serve;
use crate::client_tls::ClientTlsOf;
use crate::hosts;
use crate::kept::Keeper;
use crate::keys;
use crate::messages;
use crate::open_files;
use crate::output::Outputs;
use crate::source;
use crate::threads::Threads;
use crate::variables;
use anyhow::{Context, Result};
use bobbin_keys::Keys;
use bobbin_loader::{Mount, Size, Unit};
use bobbin_manifest::{App, Handler as Answers, Problem, ProblemKind, Route, RuntimeConfigFile, Trigger};
use bobbin_runtime::{ComponentSpec, Folder, Handler, InstanceSize, Loaded, OutboundConfig, Runtime, RuntimeConfig};
use bobbin_server::{Answerer, AppInfo, FixedAnswer, Limits, RouteEntry, RoutePath, Served};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Calls between components at once, of all requests: as many as requests, but enough on a small node, and not so many
/// that their instances would not fit into the address space.
const CALLS: RangeInclusive<usize> = 32..=1024;

/// What whoever starts the host says, whatever application it serves.
pub(crate) struct Operator<'a> {
    pub(crate) args: &'a Serve,
    pub(crate) config: RuntimeConfigFile,
    pub(crate) keys: Arc<Keys>,
    pub(crate) threads: Threads,
    outputs: Arc<Outputs<'a>>,
}

/// An application that can answer.
pub(crate) struct Site {
    pub(crate) served: Served<Handler>,
    pub(crate) runtime: Runtime,
}

/// The components of an application, compiled.
pub(crate) struct Components<'a> {
    units: &'a [Unit],
    loaded: BTreeMap<String, Loaded>,
}

impl Components<'_> {
    /// What a trigger runs.
    ///
    /// # Errors
    /// Where it runs none.
    pub(crate) fn of(&self, trigger: &Trigger) -> Result<&Loaded> {
        let unit = self.units.iter().find(|unit| unit.triggers.contains(&trigger.id));
        unit.and_then(|unit| self.loaded.get(&unit.id)).context("every trigger has a unit")
    }
}

impl<'a> Operator<'a> {
    /// Reads the runtime configuration and the API keys, and opens the folder of what components print.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn new(args: &'a Serve, app: &App) -> Result<Self> {
        let config = runtime_config(args)?;
        let state_dir = state_dir(args, &config, app);
        let keys = keys::open(args, &state_dir)?;
        let outputs = Arc::new(Outputs::open(args, &config, &state_dir)?);
        let threads = Threads::of(args, &config);
        Ok(Self { args, config, keys, threads, outputs })
    }

    /// The same with another runtime configuration, to see whether an application can be served with it: what components
    /// print stays where it goes.
    ///
    /// # Errors
    /// What is wrong with the API keys that it leads to.
    pub(crate) fn configured(&self, config: RuntimeConfigFile, app: &App) -> Result<Self> {
        let keys = keys::open(self.args, &state_dir(self.args, &config, app))?;
        Ok(Self { args: self.args, config, keys, threads: self.threads, outputs: Arc::clone(&self.outputs) })
    }

    /// The state folder of an application.
    pub(crate) fn state_dir(&self, app: &App) -> PathBuf {
        state_dir(self.args, &self.config, app)
    }

    /// Opens what the components are granted, compiles them and lays out their routes and channels. Blocking, for seconds.
    ///
    /// # Errors
    /// What cannot be had, with its place in the manifest where it has one.
    pub(crate) fn prepare(&self, app: &App, limits: &Limits) -> Result<Site> {
        let Self { args, config, keys, outputs, .. } = self;
        outputs.check(app)?;
        keys::check(app, args, keys)?;
        let state_dir = self.state_dir(app);
        let variables = variables::resolve(args, app, config)?;
        let client_tls = ClientTlsOf::read(app, config, args.runtime_config_file.as_deref())?;
        let keeper = Keeper::open(app, config, args.runtime_config_file.as_deref(), variables, &state_dir)?;
        let subscriptions = messages::resolve(app, |template| keeper.render(template))?;
        let units = bobbin_loader::load(app, &state_dir)?;
        open_files::allow(&units, limits);
        let runtime = Runtime::new(RuntimeConfig {
            instances: u32::try_from(limits.max_in_flight)?,
            chained: u32::try_from(limits.calls)?,
            reusing: u32::try_from(units.iter().filter(|unit| reuses(app, unit)).count())?,
            guest_memory: guest_memory(app, args, config),
            guest_cpu: app.bobbin.limits.guest_cpu,
            greatest: greatest(&units),
            cache: Some(cache_dir(&state_dir)),
            outbound: outbound(config),
            give_way: bobbin_worker::slice::give_way,
        })?;
        let granted = Granted { given: &args.env, keeper: &keeper, outputs, client_tls: &client_tls };
        let loaded = load_components(&runtime, app, &units, &granted)?;
        let components = Components { units: &units, loaded };
        let served = Served {
            info: AppInfo { name: app.name.clone(), version: Some(app.version.clone()) },
            routes: routes(app, &components)?,
            subscribers: messages::subscribers(app, &subscriptions, &components)?,
        };
        Ok(Site { served, runtime })
    }
}

/// The runtime configuration, where the command line names one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn runtime_config(args: &Serve) -> Result<RuntimeConfigFile> {
    Ok(args.runtime_config_file.as_deref().map(RuntimeConfigFile::load).transpose()?.unwrap_or_default())
}

fn state_dir(args: &Serve, config: &RuntimeConfigFile, app: &App) -> PathBuf {
    let named = args.state_dir.as_ref().or(config.state_dir.as_ref());
    named.cloned().unwrap_or_else(|| app.root.join(".bobbin"))
}

/// The bounds of a host that serves an application.
pub(crate) fn limits(app: &App, args: &Serve) -> Limits {
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

/// Bytes of an instance's memory: the command line's word goes before the runtime configuration's, and both before the
/// manifest's.
fn guest_memory(app: &App, args: &Serve, config: &RuntimeConfigFile) -> u64 {
    args.max_instance_memory.or(config.max_instance_memory).unwrap_or(app.bobbin.limits.guest_memory_bytes)
}

fn outbound(config: &RuntimeConfigFile) -> OutboundConfig {
    let (networking, http) = (&config.outbound_networking, &config.outbound_http);
    OutboundConfig {
        block_networks: networking.blocked.clone(),
        block_private: networking.block_private,
        connection_pooling: http.connection_pooling,
        max_connections: http.max_connections,
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

/// What components may reach, besides what is in the application.
struct Granted<'a> {
    /// Environment variables for all of them.
    given: &'a [(String, String)],
    keeper: &'a Keeper,
    outputs: &'a Outputs<'a>,
    client_tls: &'a ClientTlsOf,
}

fn load_components(
    runtime: &Runtime,
    app: &App,
    units: &[Unit],
    granted: &Granted<'_>,
) -> Result<BTreeMap<String, Loaded>> {
    let Granted { given, keeper, outputs, client_tls } = granted;
    let folder = |mount: &Mount| Folder { host: mount.host.clone(), guest: mount.guest.clone() };
    let load = |unit: &Unit| {
        let component = app.components.get(&unit.component).context("every unit has a component")?;
        let spec = ComponentSpec {
            id: component.id.to_string(),
            source: component.source.clone(),
            environment: component.environment.clone().into_iter().chain(given.iter().cloned()).collect(),
            allowed_outbound_hosts: hosts::resolve(component, |template| keeper.render(template)),
            client_tls: client_tls.of(&component.id),
            kept: keeper.of(component),
            output: outputs.of(component.id.as_str())?,
            folders: unit.mounts.iter().map(folder).collect(),
            reuse: reuses(app, unit),
        };
        Ok((unit.id.clone(), runtime.load(&spec, &unit.bytes)?))
    };
    units.iter().map(load).collect()
}

fn routes(app: &App, components: &Components<'_>) -> Result<Vec<RouteEntry<Handler>>> {
    let entry = |(trigger, route): (&Trigger, &Route)| {
        let answerer = match &trigger.handler {
            Answers::Component(component) => {
                let loaded = components.of(trigger)?;
                let handler = loaded.handler().map_err(|error| {
                    let help = "give it a handler for requests, or remove the trigger";
                    let problem = Problem::new(ProblemKind::Unsupported, error.to_string(), help);
                    app.problem_at(trigger.place, problem)
                })?;
                let plain = app.bobbin.plain_requests.contains(component);
                Answerer::Component { id: component.as_str().into(), handler, calls: loaded.calls(), plain }
            }
            Answers::Static(fixed) => {
                let headers = fixed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                Answerer::Fixed(FixedAnswer::new(fixed.status, headers, fixed.body.clone().unwrap_or_default())?)
            }
        };
        let route = match route {
            Route::Path(path) => RoutePath::Public(path.clone()),
            Route::Private => RoutePath::Private,
        };
        let access = keys::access(app, trigger);
        Ok(RouteEntry { trigger_id: trigger.id.as_str().into(), route, access, answerer })
    };
    app.triggers.iter().filter_map(|trigger| Some((trigger, trigger.route()?))).map(entry).collect()
}
