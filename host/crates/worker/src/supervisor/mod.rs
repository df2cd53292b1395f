//! The host's end of a worker process.
//!
//! A [`Supervisor`] starts a process per verified bundle, greets it, has it load, and holds it as a
//! [`Worker`]: a [`Graph`](bobbin_inference::Graph) whose sessions compute in that process. When the process
//! dies, its computes fail with the reason, and it is started again, with growing pauses, until it has died
//! too often: then it is quarantined, visibly.
//!
//! From the outside in: `worker` is the handle, `supervise` the task behind it (with the policy of `restart`),
//! `connect` the beginning of a conversation, `link` the rest of it, `call` one compute, `session` what the
//! sandbox holds, `cpu` and `seat` who computes with how many threads, `gpu` which other executable there is, `process`,
//! `spawner` and `tail` the operating system's part, `memory` its watchdog, `cage` what it reports of its cage.

mod cage;
mod call;
mod connect;
mod cpu;
mod frames;
mod gpu;
mod link;
pub mod memory;
mod process;
mod restart;
mod seat;
mod session;
mod spawner;
mod spec;
mod state;
mod supervise;
mod tail;
#[cfg(test)]
mod tests;
mod worker;

pub use gpu::{Gpu, Search};
pub use memory::available_memory;
pub use process::WorkerCommand;
pub use restart::RestartLimits;
pub use spec::{SpecError, WorkerSpec};
pub use state::{Changes, StartPhase, WorkerFailure, WorkerState, WorkerStatus};
pub use worker::Worker;

use bobbin_inference::Class;
use connect::Patience;
use process::{Launch, Launcher};
use seat::CpuBudget;
use spawner::Spawner;
use spec::Parts;
use state::Shared;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use supervise::Job;
use tokio::sync::watch;
use worker::Keep;

/// How workers are started and watched.
#[derive(Debug, Clone)]
pub struct SupervisorConfig {
    /// Which executable is a worker.
    pub command: WorkerCommand,
    /// Which executable is tried first, where there is a GPU.
    pub gpu: Option<Gpu>,
    /// Cores that workers compute with, all together; more than the process may use make all of them slower.
    pub cores: u32,
    /// How long a process may take to greet.
    pub greeting_timeout: Duration,
    /// How long a load may take, warm-up and fingerprint included.
    pub load_timeout: Duration,
    /// How long a worker may take to end that is stopped because nobody holds it any more.
    pub stop_grace: Duration,
    /// How often the resident memory of a worker that is ready is looked at.
    pub memory_check: Duration,
    /// How often a worker that is ready is asked whether its engine still turns.
    pub ping_every: Duration,
    /// How long after its last compute a worker keeps its part of the cores.
    pub busy_for: Duration,
    /// When dead workers are started again.
    pub restart: RestartLimits,
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().try_into().unwrap_or(u32::MAX))
}

impl Default for SupervisorConfig {
    /// This executable, no GPU, all cores, 10 s for a greeting, 10 minutes for a load, 5 s for an end, memory
    /// looked at and a ping sent once a second, and cores kept for half a second.
    fn default() -> Self {
        Self {
            command: WorkerCommand::default(),
            gpu: None,
            cores: cores(),
            greeting_timeout: Duration::from_secs(10),
            load_timeout: Duration::from_secs(600),
            stop_grace: Duration::from_secs(5),
            memory_check: Duration::from_secs(1),
            ping_every: Duration::from_secs(1),
            busy_for: Duration::from_millis(500),
            restart: RestartLimits::default(),
        }
    }
}

/// Starts workers. One lives as long as the host.
pub struct Supervisor {
    launcher: Arc<dyn Launch>,
    gpu: Option<Gpu>,
    cpu: CpuBudget,
    patience: Patience,
    stop_grace: Duration,
    memory_check: Duration,
    ping_every: Duration,
    busy_for: Duration,
    restart: RestartLimits,
}

impl Supervisor {
    /// A supervisor, with the thread that its workers are children of.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(config: SupervisorConfig) -> io::Result<Self> {
        let spawner = Spawner::start()?;
        let gpu = config.gpu.as_ref().map(Gpu::command);
        Ok(Self::with_launcher(config, |command| Arc::new(Launcher { spawner, command, gpu })))
    }

    fn with_launcher(config: SupervisorConfig, launcher: impl FnOnce(WorkerCommand) -> Arc<dyn Launch>) -> Self {
        Self {
            launcher: launcher(config.command),
            gpu: config.gpu,
            cpu: CpuBudget::new(config.cores),
            patience: Patience { greeting: config.greeting_timeout, load: config.load_timeout },
            stop_grace: config.stop_grace,
            memory_check: config.memory_check,
            ping_every: config.ping_every,
            busy_for: config.busy_for,
            restart: config.restart,
        }
    }

    /// Begins to start a worker; [`Worker::ready`] waits for it. Sessions may be opened at once. Its class stays
    /// what it is: a shadow that is to serve is started anew.
    ///
    /// Must be called within a tokio runtime that has its I/O and time drivers enabled.
    #[must_use]
    pub fn start(&self, spec: WorkerSpec, class: Class) -> Arc<Worker> {
        let Parts { info, load, weights_bytes, most_threads } = spec.into_parts();
        let shared = Shared::new(info);
        let (stop, stopping) = watch::channel(None);
        let job = Job {
            shared: Arc::clone(&shared),
            launcher: Arc::clone(&self.launcher),
            gpu: self.gpu.clone(),
            load,
            weights_bytes,
            most_threads,
            memory_check: self.memory_check,
            ping_every: self.ping_every,
            cpu: self.cpu.clone(),
            class,
            busy_for: self.busy_for,
            patience: self.patience,
            restart: self.restart,
            stop: stopping,
            grace: self.stop_grace,
        };
        tokio::spawn(job.run());
        Worker::new(Keep::new(shared, stop, self.stop_grace))
    }
}
