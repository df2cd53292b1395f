//! The engine: one for the host, shared by every component.

use crate::background::{Background, GiveWay};
use crate::component::{self, ComponentSpec, Linked, LoadError, Loaded};
use crate::cpu::EPOCH;
use crate::llm;
use crate::nn;
use crate::outbound::{self, Client, Exit, OutboundConfig, Rules};
use crate::reuse::{Idle, MOST_IDLE};
use crate::spin;
use crate::state::State;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Core modules of one component, at least: a guest's own, its adapters, and those of what it was composed with.
const CORE_INSTANCES: u32 = 32;
/// Memories of one component; more than one where it was composed of several.
const MEMORIES: u32 = 4;
const TABLES: u32 = 32;
/// Fibers of one instance: its entry and the async tasks that it starts.
const STACKS: u32 = 4;

/// What the engine reserves and bounds.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Instances at once. Admission never lets in more requests than this.
    pub instances: u32,
    /// Instances for calls between components, besides.
    pub chained: u32,
    /// Components whose instances wait for the next request: their idle ones need room of their own.
    pub reusing: u32,
    /// Linear memory of one instance, in bytes.
    pub guest_memory: u64,
    /// CPU time of one request's guest.
    pub guest_cpu: Duration,
    /// The greatest of the components.
    pub greatest: InstanceSize,
    /// Where compiled components are kept between starts; `None` compiles them every time.
    pub cache: Option<PathBuf>,
    /// Bounds on requests to other hosts.
    pub outbound: OutboundConfig,
    /// What the threads of guests that compute for long do first.
    pub give_way: GiveWay,
}

/// What one instance of a component takes of the pool. Room is kept for what most need, at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceSize {
    /// Core instances.
    pub core_instances: u32,
    /// Linear memories: one for each component that it was composed of, at least.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
}

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The pool cannot be reserved, or the cache folder cannot be used.
    #[error(
        "the WebAssembly engine could not be set up: {reason:#}; lower max_in_flight or guest_memory_bytes in \
         [application.trigger.bobbin.limits] if memory cannot be reserved"
    )]
    Setup {
        /// wasmtime's account.
        reason: wasmtime::Error,
    },
    /// Without epochs a busy guest would never yield.
    #[error("no thread could be started for the engine's epochs")]
    NoEpochs(#[source] std::io::Error),
    /// Guests that compute for long have threads of their own.
    #[error("no threads could be started for guests that compute for long")]
    NoBackground(#[source] std::io::Error),
}

/// Compiles, links and runs components.
pub struct Runtime {
    engine: Engine,
    linker: Linker<State>,
    config: RuntimeConfig,
    background: Arc<Background>,
    client: Arc<Client>,
}

impl Runtime {
    /// Sets up the engine and everything that components may import.
    ///
    /// # Errors
    /// When the pool cannot be reserved or the cache folder cannot be used.
    pub fn new(config: RuntimeConfig) -> Result<Self, EngineError> {
        let build = || -> wasmtime::Result<(Engine, Linker<State>)> {
            let engine = Engine::new(&engine_config(&config)?)?;
            let linker = linker(&engine)?;
            Ok((engine, linker))
        };
        let (engine, linker) = build().map_err(|reason| EngineError::Setup { reason })?;
        tick(&engine).map_err(EngineError::NoEpochs)?;
        let background = Arc::new(Background::start(config.give_way).map_err(EngineError::NoBackground)?);
        let client = Arc::new(Client::new(&config.outbound));
        Ok(Self { engine, linker, config, background, client })
    }

    /// Compiles a component (or takes it from the cache) and links it. `bytes` is the component, whole. Blocking: seconds
    /// for a large one.
    ///
    /// # Errors
    /// When it is no component, imports what is not supplied, or may ask a host that is none.
    pub fn load(&self, spec: &ComponentSpec, bytes: &[u8]) -> Result<Loaded, LoadError> {
        let rules = Rules::parse(&spec.allowed_outbound_hosts).map_err(|(entry, source)| LoadError::Host {
            id: spec.id.clone(),
            entry,
            source,
        })?;
        let pre = component::link(&self.engine, &self.linker, spec, bytes)?;
        let (guest_memory, guest_cpu) = (self.config.guest_memory, self.config.guest_cpu);
        let idle = spec.reuse.then(Idle::new);
        let background = Arc::clone(&self.background);
        let exit = Arc::new(Exit::new(&spec.id, rules, &self.client, &spec.client_tls));
        Ok(Loaded::new(Linked { pre, spec: spec.clone(), guest_memory, guest_cpu, idle, background, exit }))
    }

    /// Keeps components from the host's own admin listener, whatever their manifest grants: on this machine its users
    /// need no token.
    pub fn keep_from(&self, admin: SocketAddr) {
        self.client.keep_from(admin);
    }
}

fn engine_config(config: &RuntimeConfig) -> wasmtime::Result<Config> {
    let mut pool = PoolingAllocationConfig::new();
    let instances = config.instances + config.chained + config.reusing * MOST_IDLE;
    pool.total_component_instances(instances);
    let core_instances = CORE_INSTANCES.max(config.greatest.core_instances);
    let memories = MEMORIES.max(config.greatest.memories);
    let tables = TABLES.max(config.greatest.tables);
    pool.total_core_instances(instances.saturating_mul(core_instances));
    pool.total_memories(instances.saturating_mul(memories));
    pool.total_tables(instances.saturating_mul(tables));
    // Where several components are one, each may wait for the next.
    pool.total_stacks(instances.saturating_mul(STACKS.max(config.greatest.memories.saturating_mul(2))));
    pool.max_core_instances_per_component(core_instances);
    pool.max_memories_per_component(memories);
    pool.max_tables_per_component(tables);
    pool.max_memory_size(usize::try_from(config.guest_memory)?);
    // Clearing a page is cheaper than giving it back, up to about this much; and of those only what was written to.
    pool.pagemap_scan(Enabled::Auto);
    pool.linear_memory_keep_resident(256 << 10);
    pool.table_keep_resident(16 << 10);

    let mut engine = Config::new();
    engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    engine.epoch_interruption(true);
    engine.wasm_component_model_async(true);
    engine.gc_support(false);
    if let Some(directory) = &config.cache {
        let mut cache = CacheConfig::new();
        cache.with_directory(directory);
        engine.cache(Some(Cache::new(cache)?));
    }
    Ok(engine)
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    nn::add_to_linker(&mut linker)?;
    llm::add_to_linker(&mut linker)?;
    outbound::spin::add_to_linker(&mut linker)?;
    spin::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Advances the epoch for as long as the engine lives.
fn tick(engine: &Engine) -> std::io::Result<()> {
    let weak = engine.weak();
    let thread = std::thread::Builder::new().name("epoch".into()).spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    });
    thread.map(drop)
}
