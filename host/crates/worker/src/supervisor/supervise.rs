//! The life of a worker: start, watch, start again, stop. One task per worker runs it.

use super::cage;
use super::connect::{Connected, NotReady, Patience, connect};
use super::frames::Hangup;
use super::gpu::{self, Gpu};
use super::link::Link;
use super::memory::overgrown;
use super::process::{Ending, Launch, Launched, Process, Target};
use super::restart::{Life, RestartLimits, RestartPolicy, Verdict};
use super::seat::{CpuBudget, Place};
use super::state::{Access, Shared, StartPhase, WorkerState};
use bobbin_inference::Class;
use bobbin_inference::wire::{LoadSpec, Loaded, Offload};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{MissedTickBehavior, interval_at, timeout};

/// How long a process may take to end after its socket has closed.
const END_AFTER_HANGUP: Duration = Duration::from_secs(5);

/// How long a socket may take to close after its process has ended: what was written before is still read.
const HANGUP_AFTER_END: Duration = Duration::from_secs(1);

/// A worker that has not answered a ping for so long is silent. The longest step of a large model on a small
/// machine is shorter.
const SILENCE: Duration = Duration::from_secs(10);

/// Everything that one worker's task needs.
pub(super) struct Job {
    pub(super) shared: Arc<Shared>,
    pub(super) launcher: Arc<dyn Launch>,
    /// What is tried first. Gone once it has failed this worker: the processor computes then.
    pub(super) gpu: Option<Gpu>,
    pub(super) load: LoadSpec,
    /// What the weights take when all of them are mapped in.
    pub(super) weights_bytes: u64,
    /// The most compute threads that it ever gets.
    pub(super) most_threads: u32,
    pub(super) memory_check: Duration,
    pub(super) ping_every: Duration,
    pub(super) cpu: CpuBudget,
    pub(super) class: Class,
    /// How long after its last call a worker counts as busy.
    pub(super) busy_for: Duration,
    pub(super) patience: Patience,
    pub(super) restart: RestartLimits,
    pub(super) stop: watch::Receiver<Option<Duration>>,
    /// What a worker gets that nobody told how long it may take.
    pub(super) grace: Duration,
}

/// How one process ended.
enum End {
    /// It was told to.
    Stopped,
    /// It never became ready.
    NotReady(Why),
    /// It died after such a life.
    Died(Why, Life),
}

/// Why a process is no more.
struct Why {
    /// For the log, and for whoever runs the host.
    whole: String,
    /// For those who ask the application: without what the process said.
    told: String,
}

impl Why {
    fn known(text: String) -> Self {
        Self { whole: text.clone(), told: text }
    }

    fn of(bundle: &str, ending: &Ending, when: &str) -> Self {
        let Ending { how, .. } = ending;
        Self {
            whole: format!("the worker for {bundle} {ending}{when}"),
            told: format!("the worker for {bundle} {how}{when}"),
        }
    }

    fn and(&self, more: &str) -> Self {
        let Self { whole, told } = self;
        Self { whole: format!("{whole}{more}"), told: format!("{told}{more}") }
    }

    fn failed(self) -> WorkerState {
        WorkerState::Failed { reason: self.whole.into(), told: self.told.into() }
    }
}

impl Job {
    /// Runs the worker until it is stopped, or will not be started again.
    pub(super) async fn run(mut self) {
        let last = self.lives().await;
        let bundle = &self.shared.info.bundle;
        let refused = match &last {
            WorkerState::Failed { reason, told } => {
                tracing::error!(%bundle, %reason, "the worker has failed");
                Arc::clone(told)
            }
            _ => format!("the worker for {bundle} was stopped").into(),
        };
        self.shared.access.send_replace(Access::Refused(refused));
        self.shared.enter(last);
    }

    async fn lives(&mut self) -> WorkerState {
        let mut policy = RestartPolicy::new(self.restart);
        let mut was_ready = false;
        loop {
            let target = if self.gpu.is_some() { Target::Gpu } else { Target::Processor };
            let (reason, life) = match self.live(target).await {
                End::Stopped => return WorkerState::Stopped,
                End::NotReady(reason) if target == Target::Gpu => {
                    self.give_up_the_gpu(&reason.whole);
                    continue;
                }
                // What never loaded would not load the next time either: the old version goes on serving.
                End::NotReady(reason) if !was_ready => return reason.failed(),
                End::NotReady(reason) => (reason, Life { served: Duration::ZERO, answered: false }),
                End::Died(reason, life) => (reason, life),
            };
            was_ready = true;
            if target == Target::Gpu && !life.answered {
                self.give_up_the_gpu(&reason.whole);
            }
            match policy.died(Instant::now(), life) {
                Verdict::Quarantine => {
                    let RestartLimits { deaths, window, .. } = self.restart;
                    let window = window.as_secs_f32();
                    let quarantined = format!(
                        "; it died {deaths} times within {window} s before it had answered anybody, and is \
                         quarantined: it is started again when a release that serves it is set to what it is"
                    );
                    return reason.and(&quarantined).failed();
                }
                Verdict::Restart { attempt, delay } => {
                    if self.rest(reason, attempt, delay).await {
                        return WorkerState::Stopped;
                    }
                }
            }
        }
    }

    /// Lets the processor compute from now on, visibly.
    fn give_up_the_gpu(&mut self, reason: &str) {
        let bundle = &self.shared.info.bundle;
        tracing::error!(%bundle, %reason, "the GPU's worker failed, and the processor computes instead");
        let told = format!("{reason}; the processor computes until a release that serves it is set to what it is");
        self.shared.without_gpu.get_or_init(|| told.into());
        self.gpu = None;
    }

    /// Waits before a restart; true when the worker was told to end meanwhile.
    async fn rest(&mut self, why: Why, attempt: u32, delay: Duration) -> bool {
        let bundle = &self.shared.info.bundle;
        let Why { whole, told } = why;
        let reason: Arc<str> = whole.into();
        tracing::warn!(%bundle, %reason, attempt, ?delay, "the worker died and is started again");
        let waiting = format!("{told}; it is being started again");
        self.shared.access.send_replace(Access::Waiting(waiting.into()));
        self.shared.enter(WorkerState::Restarting { reason, attempt, at: SystemTime::now() + delay });
        if timeout(delay, stopped(&mut self.stop, self.grace)).await.is_ok() {
            return true;
        }
        self.shared.restarts.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// One process, from its start to its end.
    async fn live(&mut self, target: Target) -> End {
        self.shared.enter(WorkerState::Starting { phase: StartPhase::Spawning });
        let bundle = Arc::clone(&self.shared.info.bundle);
        let loading = self.cpu.load(self.class);
        let most = self.most_threads;
        let threads = loading.threads().min(most);
        let place = Place { budget: self.cpu.clone(), class: self.class, threads, most };
        let load = LoadSpec { threads, gpu: self.offload(target), ..self.load.clone() };
        let launching = self.launcher.launch(&bundle, threads, self.class, target);
        let Launched { stream, mut process } = match launching.await {
            Ok(launched) => launched,
            Err(error) => {
                return End::NotReady(Why::known(format!("the worker for {bundle} cannot be started: {error}")));
            }
        };
        let shared = &self.shared;
        let progress = |phase| shared.enter(WorkerState::Starting { phase: StartPhase::from(phase) });
        let connected = tokio::select! {
            connected = connect(stream, load, &place, self.patience, progress) => connected,
            grace = stopped(&mut self.stop, self.grace) => {
                self.shared.enter(WorkerState::Stopping);
                end(process.as_mut(), grace).await;
                return End::Stopped;
            }
        };
        drop(loading);
        match connected {
            Ok(connected) => self.serve(process.as_mut(), connected).await,
            Err(NotReady::Closed) => {
                let how = end(process.as_mut(), END_AFTER_HANGUP).await;
                End::NotReady(Why::of(&bundle, &how, ", before it was ready"))
            }
            Err(NotReady::Refused(why)) => {
                end(process.as_mut(), Duration::ZERO).await;
                End::NotReady(Why::known(format!("the worker for {bundle} {why}")))
            }
        }
    }

    fn offload(&self, target: Target) -> Option<Offload> {
        let gpu = self.gpu.as_ref().filter(|_| target == Target::Gpu)?;
        self.load.gpu.map(|fitted| Offload { layers: gpu.layers, ..fitted })
    }

    /// A process that is ready, until it is no more.
    async fn serve(&mut self, process: &mut dyn Process, connected: Connected) -> End {
        let Connected { link, mut reading, loaded } = connected;
        let ready = self.announce(&link, loaded, process.pid());
        let since = Instant::now();
        let bundle = Arc::clone(&self.shared.info.bundle);
        let gone = || {
            // New sessions wait for the next process from here on, while how this one ended is found out.
            let reason = format!("the worker for {bundle} has just died");
            self.shared.access.send_replace(Access::Waiting(reason.into()));
        };
        let listening = listen(&self.shared, &link, &ready, self.ping_every);
        let overgrown = overgrown(&bundle, self.weights_bytes, process.meter(), self.memory_check);
        let how = tokio::select! {
            hangup = &mut reading => {
                gone();
                after_hangup(process, hangup).await
            }
            how = process.wait() => {
                gone();
                // An answer that was finished before the end still counts.
                let _ = timeout(HANGUP_AFTER_END, &mut reading).await;
                how
            }
            never = listening => match never {},
            never = link.rest(self.busy_for) => match never {},
            wrong = overgrown => {
                gone();
                end(process, Duration::ZERO).await;
                Ending::of(format!("was killed, because {wrong}"))
            }
            grace = stopped(&mut self.stop, self.grace) => {
                self.stop_serving(process, &link, reading, grace).await;
                return End::Stopped;
            }
        };
        reading.abort();
        let life = Life { served: since.elapsed(), answered: link.has_answered() };
        let why = Why::of(&bundle, &how, "");
        link.lose(&why.told.as_str().into());
        End::Died(why, life)
    }

    fn announce(&self, link: &Arc<Link>, mut loaded: Loaded, pid: u32) -> WorkerState {
        let bundle = &self.shared.info.bundle;
        loaded.cage = cage::cut(loaded.cage);
        loaded.gpu = gpu::cut(loaded.gpu);
        // A process that has read weights says this; what does not look like a digest names no vocabulary.
        if is_digest(&loaded.vocabulary_digest) {
            self.shared.vocabulary.get_or_init(|| loaded.vocabulary_digest.as_str().into());
        }
        if let Some(longest) = loaded.longest_token {
            self.shared.longest_token.get_or_init(|| longest);
        }
        tracing::info!(%bundle, pid, system = %loaded.system, gpu = ?loaded.gpu, cage = %cage::tell(&loaded.cage), "the worker is ready");
        self.shared.access.send_replace(Access::Live(Arc::clone(link)));
        let ready = WorkerState::Ready { pid, loaded: Arc::new(loaded) };
        self.shared.enter(ready.clone());
        ready
    }

    async fn stop_serving(&self, process: &mut dyn Process, link: &Link, reading: JoinHandle<Hangup>, grace: Duration) {
        let reason: Arc<str> = format!("the worker for {} was stopped", self.shared.info.bundle).into();
        self.shared.access.send_replace(Access::Refused(Arc::clone(&reason)));
        self.shared.enter(WorkerState::Stopping);
        link.close();
        end(process, grace).await;
        reading.abort();
        link.lose(&reason);
    }
}

/// Whether a text is a sha256 in hex.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Ends a process that was heard of for the last time, and says how it ended.
async fn after_hangup(process: &mut dyn Process, hangup: Result<Hangup, JoinError>) -> Ending {
    let wrong = match hangup {
        Ok(Hangup::Closed) => return end(process, END_AFTER_HANGUP).await,
        Ok(Hangup::Broken(wrong)) => wrong,
        Err(error) => format!("the task that reads from it failed: {error}"),
    };
    end(process, Duration::ZERO).await;
    Ending::of(format!("was killed, because {wrong}"))
}

/// Waits until the worker is told to end, and says how long it may take.
async fn stopped(stop: &mut watch::Receiver<Option<Duration>>, otherwise: Duration) -> Duration {
    // Without a sender nobody holds the worker any more.
    stop.wait_for(Option::is_some).await.ok().and_then(|grace| *grace).unwrap_or(otherwise)
}

/// Waits for a process to end by itself for so long, then kills it. Either way it is reaped.
async fn end(process: &mut dyn Process, patience: Duration) -> Ending {
    if let Ok(how) = timeout(patience, process.wait()).await {
        return how;
    }
    process.kill();
    process.wait().await
}

/// Pings the worker, and says so in its state when it does not answer, and when it answers again.
async fn listen(shared: &Shared, link: &Link, ready: &WorkerState, every: Duration) -> Infallible {
    let WorkerState::Ready { pid, .. } = ready else { return pending().await };
    let mut pings = interval_at(tokio::time::Instant::now() + every, every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = false;
    loop {
        pings.tick().await;
        let since = link.ping();
        if since >= SILENCE && !silent {
            let reason: Arc<str> = format!(
                "the worker for {} has not answered for {} s; if it does not soon, end process {pid}, and it is \
                 started again",
                shared.info.bundle,
                since.as_secs()
            )
            .into();
            tracing::error!(%reason, "a worker is silent");
            shared.enter(WorkerState::Silent { pid: *pid, reason });
        } else if since < SILENCE && silent {
            tracing::info!(bundle = %shared.info.bundle, "the worker answers again");
            shared.enter(ready.clone());
        }
        silent = since >= SILENCE;
    }
}
