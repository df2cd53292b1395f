//! The engine: one for the host, shared by every component.

use crate::background::Background;
use crate::component::{self, ComponentSpec, Linked, LoadError};
use crate::cpu::EPOCH;
use crate::handler::Handler;
use crate::nn;
use crate::reuse::{Idle, MOST_IDLE};
use crate::spin;
use crate::state::State;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Linker;
use wasmtime::{Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Core modules of one component: a guest's own, its adapters, and those of what it was composed with.
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
    /// Components whose instances wait for the next request: their idle ones need room of their own.
    pub reusing: u32,
    /// Linear memory of one instance, in bytes.
    pub guest_memory: u64,
    /// CPU time of one request's guest.
    pub guest_cpu: Duration,
    /// Where compiled components are kept between starts; `None` compiles them every time.
    pub cache: Option<PathBuf>,
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
        let background = Arc::new(Background::start().map_err(EngineError::NoBackground)?);
        Ok(Self { engine, linker, config, background })
    }

    /// Compiles a component (or takes it from the cache) and links it. Blocking: seconds for a large one.
    ///
    /// # Errors
    /// When it is no component, imports what is not supplied, or does not answer HTTP.
    pub fn load(&self, spec: &ComponentSpec) -> Result<Handler, LoadError> {
        let pre = component::link(&self.engine, &self.linker, spec)?;
        let (guest_memory, guest_cpu) = (self.config.guest_memory, self.config.guest_cpu);
        let idle = spec.reuse.then(Idle::new);
        let background = Arc::clone(&self.background);
        Ok(Handler::new(Linked { pre, spec: spec.clone(), guest_memory, guest_cpu, idle, background }))
    }
}

fn engine_config(config: &RuntimeConfig) -> wasmtime::Result<Config> {
    let mut pool = PoolingAllocationConfig::new();
    let instances = config.instances + config.reusing * MOST_IDLE;
    pool.total_component_instances(instances);
    pool.total_core_instances(instances * CORE_INSTANCES);
    pool.total_memories(instances * MEMORIES);
    pool.total_tables(instances * TABLES);
    pool.total_stacks(instances * STACKS);
    pool.max_core_instances_per_component(CORE_INSTANCES);
    pool.max_memories_per_component(MEMORIES);
    pool.max_tables_per_component(TABLES);
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
