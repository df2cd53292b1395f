//! The supervisor against workers that the tests play themselves, on the other end of a socket pair.

mod computes;
mod gpu;
mod life;
mod streams;
mod threads;

use super::memory::{Memory, Meter};
use super::process::{Ending, Launch, Launched, Process, Target};
use super::spec::{Parts, WorkerSpec};
use super::state::Access;
use super::{RestartLimits, Supervisor, SupervisorConfig, Worker, WorkerState};
use bobbin_inference::wire::{
    CallContext, CallId, FromWorker, Greeting, LoadSpec, Loaded, Offload, SessionId, ToWorker, WorkerStats, decode,
    write_frame,
};
use bobbin_inference::{
    Cause, Class, Deadlines, FinishReason, Generated, Graph, GraphInfo, GraphKind, InferenceError, OptionsPatch,
    Output, Priority, Prompt, RequestContext, Scope, Session, Usage, Work,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What has not come by then never comes: a failure, and no hang. Nothing is measured by it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it never came")
}

const BUNDLE: &str = "storyteller@1.0.0";

async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A supervisor, and the workers that it launches, in order.
struct Bench {
    supervisor: Supervisor,
    launches: mpsc::UnboundedReceiver<Fake>,
}

impl Bench {
    fn new() -> Self {
        Self::with(SupervisorConfig {
            cores: 4,
            restart: RestartLimits { first_delay: Duration::ZERO, ..RestartLimits::default() },
            ..SupervisorConfig::default()
        })
    }

    fn with(config: SupervisorConfig) -> Self {
        let (launched, launches) = mpsc::unbounded_channel();
        let launcher = FakeLauncher { launched, pids: AtomicU32::new(1) };
        Self { supervisor: Supervisor::with_launcher(config, |_| Arc::new(launcher)), launches }
    }

    fn start(&self) -> Arc<Worker> {
        self.supervisor.start(spec(), Class::Serving)
    }

    /// The next process.
    async fn launched(&mut self) -> Fake {
        soon(self.launches.recv()).await.unwrap()
    }

    /// The next process, after it said that it is ready.
    async fn ready(&mut self, worker: &Worker) -> Fake {
        let mut fake = self.launched().await;
        fake.greet().await;
        fake.load().await;
        soon(worker.ready()).await.unwrap();
        fake
    }

    async fn started(&mut self) -> (Arc<Worker>, Fake) {
        let worker = self.start();
        let fake = self.ready(&worker).await;
        (worker, fake)
    }
}

fn spec() -> WorkerSpec {
    spec_of_threads(8)
}

/// A model that never gets more than so many threads.
fn spec_of_threads(most_threads: u32) -> WorkerSpec {
    let info = GraphInfo {
        bundle: BUNDLE.into(),
        digest: "sha256:00".into(),
        kind: GraphKind::Generate,
        context: 256,
        dimensions: None,
        defaults: OptionsPatch::default(),
    };
    let load = LoadSpec {
        bundle: BUNDLE.into(),
        kind: GraphKind::Generate,
        weights: "/blobs/weights".into(),
        tokenizer: None,
        gpu: Some(Offload { layers: None, cells: 512 }),
        context: 256,
        parallel: 8,
        threads: 0,
        chat_template: None,
        prefix: None,
        warm_up: Vec::new(),
        fingerprint: Vec::new(),
        tolerance: 0.0,
        record: Vec::new(),
    };
    WorkerSpec::of_parts(Parts { info, load, weights_bytes: 64 << 20, most_threads })
}

struct FakeLauncher {
    launched: mpsc::UnboundedSender<Fake>,
    pids: AtomicU32,
}

impl Launch for FakeLauncher {
    fn launch<'a>(
        &'a self,
        bundle: &'a str,
        threads: u32,
        class: Class,
        target: Target,
    ) -> BoxFuture<'a, io::Result<Launched>> {
        assert_eq!(bundle, BUNDLE);
        Box::pin(async move {
            let (stream, theirs) = UnixStream::pair()?;
            let (ended, end) = watch::channel(None);
            let killed = CancellationToken::new();
            let pid = self.pids.fetch_add(1, Ordering::Relaxed);
            let memory = Arc::new(Mutex::new(Memory { resident: 100_000, data: 50_000 }));
            let looks = Arc::new(AtomicU32::new(0));
            let seen = (Arc::clone(&memory), Arc::clone(&looks));
            let process = FakeProcess { pid, end, ended: ended.clone(), killed: killed.clone(), seen };
            // A test that is over does not ask for the processes that come after it.
            let _ = self.launched.send(Fake { stream: theirs, ended, killed, threads, class, target, memory, looks });
            Ok(Launched { stream, process: Box::new(process) })
        })
    }
}

struct FakeProcess {
    pid: u32,
    end: watch::Receiver<Option<String>>,
    ended: watch::Sender<Option<String>>,
    killed: CancellationToken,
    seen: (Arc<Mutex<Memory>>, Arc<AtomicU32>),
}

impl Process for FakeProcess {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn meter(&self) -> Meter {
        let (memory, looks) = self.seen.clone();
        Box::new(move || {
            looks.fetch_add(1, Ordering::Relaxed);
            Ok(*memory.lock())
        })
    }

    fn kill(&mut self) {
        self.killed.cancel();
        self.ended.send_if_modified(|end| end.replace("ended by SIGKILL".into()).is_none());
    }

    fn wait(&mut self) -> BoxFuture<'_, Ending> {
        Box::pin(async {
            let end = self.end.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            match end.split_once("; last words: ") {
                Some((how, words)) => Ending { how: how.into(), words: Some(words.into()) },
                None => Ending::of(end),
            }
        })
    }
}

/// A worker process, played by a test.
struct Fake {
    stream: UnixStream,
    ended: watch::Sender<Option<String>>,
    /// Fires when the supervisor kills the process.
    killed: CancellationToken,
    threads: u32,
    class: Class,
    target: Target,
    /// What the process is seen to hold.
    memory: Arc<Mutex<Memory>>,
    /// How often that was looked at.
    looks: Arc<AtomicU32>,
}

/// A compute, as the worker got it.
struct Asked {
    session: SessionId,
    call: CallId,
    context: CallContext,
    credit: u32,
    work: Work,
}

impl Fake {
    /// The next message but pings and threads; `None` when the host closed its end.
    async fn receive(&mut self) -> Option<ToWorker> {
        loop {
            match self.receive_any().await {
                Some(ToWorker::Ping | ToWorker::Threads(_)) => {}
                message => return message,
            }
        }
    }

    /// The next message but pings, which is to be a number of threads.
    async fn told(&mut self) -> u32 {
        loop {
            match self.receive_any().await {
                Some(ToWorker::Ping) => {}
                Some(ToWorker::Threads(threads)) => return threads,
                other => panic!("expected threads, got {other:?}"),
            }
        }
    }

    async fn receive_any(&mut self) -> Option<ToWorker> {
        let length = match soon(self.stream.read_u32_le()).await {
            Ok(length) => length,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                return None;
            }
        };
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes).await.unwrap();
        Some(decode(&bytes).unwrap())
    }

    async fn expect(&mut self, message: ToWorker) {
        assert_eq!(self.receive().await, Some(message));
    }

    async fn send(&mut self, message: FromWorker) {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &message).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn greet(&mut self) {
        self.expect(ToWorker::Hello(Greeting::ours())).await;
        self.send(FromWorker::Hello(Greeting::ours())).await;
    }

    async fn load_spec(&mut self) -> LoadSpec {
        let Some(ToWorker::Load(load)) = self.receive().await else { panic!("expected a load") };
        load
    }

    async fn load(&mut self) -> LoadSpec {
        let load = self.load_spec().await;
        self.send(FromWorker::Ready(loaded())).await;
        load
    }

    async fn asked(&mut self) -> Asked {
        match self.receive().await {
            Some(ToWorker::Compute { session, call, context, credit, work }) => {
                Asked { session, call, context, credit, work }
            }
            other => panic!("expected a compute, got {other:?}"),
        }
    }

    /// Sends text that brings its call to so many tokens.
    async fn piece(&mut self, call: CallId, text: &str, tokens: u32, finish: Option<FinishReason>) {
        let usage = Usage { input_tokens: 3, output_tokens: tokens, cached_tokens: 0 };
        self.send(FromWorker::Piece {
            call,
            text: text.into(),
            usage,
            logprobs: Vec::new(),
            tool_calls: Vec::new(),
            finish,
        })
        .await;
    }

    /// Returns when the host has read everything that was sent before.
    async fn read_by(&mut self, worker: &Worker) {
        let steps = worker.stats().steps + 1;
        self.send(FromWorker::Stats(WorkerStats { steps, ..WorkerStats::default() })).await;
        until(|| worker.stats().steps == steps).await;
    }

    /// The process ends as said; its sockets close.
    fn die(self, how: &str) {
        self.ended.send_replace(Some(how.to_owned()));
    }
}

fn loaded() -> Loaded {
    Loaded {
        vocabulary: 1024,
        vocabulary_digest: "ab".repeat(32),
        longest_token: None,
        trained_context: 256,
        cells: 2048,
        deviation: None,
        system: "AVX2 = 1".into(),
        gpu: None,
        cage: Vec::new(),
        recorded: Vec::new(),
    }
}

fn context() -> Arc<RequestContext> {
    limited(Duration::from_secs(60), 1 << 20)
}

fn limited(soft: Duration, account: u64) -> Arc<RequestContext> {
    Arc::new(RequestContext::new("story".into(), Deadlines::after(soft, Duration::from_secs(1)), account))
}

fn scope() -> Scope {
    Scope { route: "story".into(), principal: None, adapter: None }
}

fn open(worker: &Worker, context: &Arc<RequestContext>) -> Box<dyn Session> {
    worker.open(Arc::clone(context), scope(), Priority::Request)
}

fn generate(options: &str) -> Work {
    let options = OptionsPatch::from_json(options.as_bytes()).unwrap();
    Work::Generate {
        prompt: Prompt::Text("Once upon a time".into()),
        options: options.resolve(&OptionsPatch::default()).unwrap(),
    }
}

fn stream() -> Work {
    generate(r#"{"stream": true}"#)
}

fn text(result: Result<Output, InferenceError>) -> Generated {
    match result.unwrap() {
        Output::Generated(generated) => generated,
        other => panic!("expected text, got {other:?}"),
    }
}

/// Starts a stream whose first part is "Once", one token.
async fn streaming(fake: &mut Fake, session: &mut dyn Session) -> Asked {
    let (first, asked) = tokio::join!(session.compute(stream()), async {
        let asked = fake.asked().await;
        fake.piece(asked.call, "Once", 1, None).await;
        fake.expect(ToWorker::Credit { call: asked.call, tokens: 1 }).await;
        asked
    });
    assert_eq!(text(first).text, "Once");
    asked
}

async fn state(worker: &Worker, mut is: impl FnMut(&WorkerState) -> bool) -> WorkerState {
    soon(worker.watch().wait_for(|status| is(&status.state))).await.unwrap().state.clone()
}

async fn failed(worker: &Worker) -> Arc<str> {
    match state(worker, |state| matches!(state, WorkerState::Failed { .. })).await {
        WorkerState::Failed { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}
