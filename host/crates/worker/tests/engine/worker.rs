//! A worker process under test, and the host's side of its link.

use bobbin_inference::wire::{
    CallContext, CallId, FrameError, FromWorker, Greeting, LoadSpec, Loaded, SessionId, ToWorker, WorkerStats,
    read_frame, write_frame,
};
use bobbin_inference::{
    Constraint, FinishReason, GraphKind, InferenceError, Options, OptionsPatch, Priority, Prompt, Scope, TokenLogprob,
    ToolCall, Usage, Work,
};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Longer than anything here takes, so that a worker that hangs fails its test instead of stopping it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A file of the optional test data; `None`, with the reason printed, where the data is absent.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/models")).join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("BOBBIN_REQUIRE_SHARED").as_deref() != Ok("1"), "{} is required", path.display());
    println!("skipped: there is no {}", path.display());
    None
}

/// The recorded answers for a model.
pub(crate) fn goldens(model: &str) -> Option<Vec<serde_json::Value>> {
    let text = std::fs::read_to_string(shared("goldens.json")?).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    Some(json[model].as_array().unwrap().clone())
}

/// A list of numbers of a recorded answer.
pub(crate) fn ids(golden: &serde_json::Value, field: &str) -> Vec<i32> {
    golden[field].as_array().unwrap().iter().map(|id| i32::try_from(id.as_i64().unwrap()).unwrap()).collect()
}

/// The repository's own models.
pub(crate) fn models() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models"))
}

/// What to load: the small story model with its full context.
pub(crate) fn spec(file: &str) -> Option<LoadSpec> {
    Some(spec_of(shared(file)?))
}

/// The same of other weights.
pub(crate) fn spec_of(weights: PathBuf) -> LoadSpec {
    LoadSpec {
        bundle: "test@1.0.0".into(),
        kind: GraphKind::Generate,
        weights,
        tokenizer: None,
        gpu: None,
        context: 512,
        parallel: 8,
        threads: 1,
        chat_template: None,
        prefix: None,
        warm_up: vec!["Once upon a time".into()],
        fingerprint: Vec::new(),
        tolerance: 0.05,
        record: Vec::new(),
    }
}

/// Greedy options that report each token's id.
pub(crate) fn greedy(max_tokens: u32) -> Options {
    let patch = OptionsPatch {
        max_tokens: Some(max_tokens),
        temperature: Some(0.0),
        logprobs: Some(true),
        top_logprobs: Some(2),
        stream: Some(true),
        ..OptionsPatch::default()
    };
    patch.resolve(&OptionsPatch::default()).unwrap()
}

/// Work: continue a text.
pub(crate) fn text(prompt: &str, options: Options) -> Work {
    Work::Generate { prompt: Prompt::Text(prompt.into()), options }
}

/// Work: continue a text under a grammar.
pub(crate) fn constrained(prompt: &str, constraint: Constraint) -> Work {
    text(prompt, Options { constraint: Some(constraint), ..greedy(60) })
}

/// Work: score all tokens but the first.
pub(crate) fn score(tokens: &[i32]) -> Work {
    let (prompt, answer) = tokens.split_at(1);
    Work::Score { prompt: Prompt::Tokens(prompt.to_vec()), answer: answer.to_vec() }
}

/// Who asks, with plenty of everything but time.
pub(crate) fn context(remaining_ms: u64, route: &str) -> CallContext {
    CallContext {
        request: String::new(),
        trace: String::new(),
        remaining_ms,
        account: 64 << 20,
        priority: Priority::Request,
        scope: Scope { route: route.into(), principal: None, adapter: None },
    }
}

/// A worker process.
pub(crate) struct Worker {
    child: Child,
    socket: UnixStream,
    next_call: CallId,
    /// What the worker last said it is doing.
    pub(crate) stats: WorkerStats,
    /// What arrived for each compute and was not asked for yet.
    answers: HashMap<CallId, Answer>,
}

/// What a compute has answered so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) usage: Usage,
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) values: Vec<f32>,
    pub(crate) pieces: usize,
    pub(crate) error: Option<InferenceError>,
    done: bool,
}

impl Answer {
    /// The same tokens, unless two were so close that the shape of a batch decides: from there on the answers
    /// are different stories.
    pub(crate) fn assert_same(&self, other: &Self) {
        let differs = self.ids().iter().zip(other.ids()).position(|(a, b)| *a != b);
        let Some(at) = differs else { return assert_eq!(self.text, other.text) };
        for (own, others) in [(self, other), (other, self)] {
            let (own, others) = (&own.logprobs[at], &others.logprobs[at]);
            let runner_up = own.top.iter().find(|(id, _, _)| *id == others.id);
            let close = runner_up.is_some_and(|(_, _, logprob)| own.logprob - logprob < 0.02);
            assert!(close, "token {at} is {own:?} and {others:?}");
        }
    }

    pub(crate) fn ids(&self) -> Vec<i32> {
        self.logprobs.iter().map(|token| token.id).collect()
    }
}

impl Worker {
    /// Starts the process; nothing is said yet.
    pub(crate) fn spawn() -> Self {
        Self::spawn_with(&[])
    }

    fn spawn_with(options: &[&str]) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bobbin-worker"))
            .args(["worker", "--parent", &std::process::id().to_string()])
            .args(options)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        Self { child, socket, next_call: 0, stats: WorkerStats::default(), answers: HashMap::new() }
    }

    /// Starts the process and asks it to load.
    pub(crate) fn load(spec: LoadSpec) -> Result<(Self, Loaded), String> {
        Self::load_with(&[], spec)
    }

    /// Starts the process with more on its command line, and asks it to load.
    pub(crate) fn load_with(options: &[&str], spec: LoadSpec) -> Result<(Self, Loaded), String> {
        let mut worker = Self::spawn_with(options);
        worker.say(&ToWorker::Hello(Greeting::ours()));
        assert_eq!(worker.hear(), Some(FromWorker::Hello(Greeting::ours())));
        worker.say(&ToWorker::Load(spec));
        loop {
            match worker.hear().expect("a worker says why it does not load") {
                FromWorker::Progress(_) => {}
                FromWorker::Ready(loaded) => return Ok((worker, loaded)),
                FromWorker::LoadFailed { message } => {
                    assert_eq!(worker.wait().code(), Some(1));
                    return Err(message);
                }
                other => panic!("{other:?} while loading"),
            }
        }
    }

    /// Starts the process, which must load.
    pub(crate) fn ready(spec: LoadSpec) -> Self {
        Self::load(spec).unwrap().0
    }

    pub(crate) fn say(&mut self, message: &ToWorker) {
        write_frame(&mut self.socket, message).unwrap();
    }

    /// The next frame; `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<FromWorker> {
        let message = read_frame(&mut self.socket).unwrap();
        if let Some(FromWorker::Stats(stats)) = &message {
            self.stats = *stats;
        }
        message
    }

    /// Says something to a worker that may have died.
    pub(crate) fn try_say(&mut self, message: &ToWorker) {
        match write_frame(&mut self.socket, message) {
            Err(FrameError::Io(error))
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            result => result.unwrap(),
        }
    }

    /// The next frame of a worker that may have died; `None` at the end, however that came.
    pub(crate) fn try_hear(&mut self) -> Option<FromWorker> {
        match read_frame(&mut self.socket) {
            // In the middle of a frame, or before it had read everything.
            Err(FrameError::Io(error))
                if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
            {
                None
            }
            result => result.unwrap(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&mut self) -> &mut UnixStream {
        &mut self.socket
    }

    /// Closes the link.
    pub(crate) fn hang_up(&mut self) {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Starts a compute with plenty of everything.
    pub(crate) fn start(&mut self, session: SessionId, work: Work) -> CallId {
        self.start_with(session, work, 1_000_000, 600_000, "route")
    }

    /// The same, with a priority of its own.
    pub(crate) fn start_as(&mut self, session: SessionId, work: Work, priority: Priority) -> CallId {
        let context = CallContext { priority, ..context(600_000, "route") };
        self.begin(session, work, 1_000_000, context)
    }

    pub(crate) fn start_with(
        &mut self,
        session: SessionId,
        work: Work,
        credit: u32,
        remaining_ms: u64,
        route: &str,
    ) -> CallId {
        self.begin(session, work, credit, context(remaining_ms, route))
    }

    fn begin(&mut self, session: SessionId, work: Work, credit: u32, context: CallContext) -> CallId {
        self.next_call += 1;
        let call = self.next_call;
        let context = CallContext { request: format!("request-{call}"), ..context };
        self.say(&ToWorker::Compute { session, call, context, credit, work });
        self.answers.insert(call, Answer::default());
        call
    }

    /// What a compute has answered so far.
    pub(crate) fn answer(&self, call: CallId) -> &Answer {
        &self.answers[&call]
    }

    /// Takes one frame into account.
    pub(crate) fn turn(&mut self) {
        match self.hear().expect("the worker is alive") {
            FromWorker::Piece { call, text, usage, logprobs, tool_calls, finish } => {
                let answer = self.answers.get_mut(&call).unwrap();
                assert!(!answer.done, "a piece after the end");
                answer.pieces += 1;
                answer.text.push_str(&text);
                answer.usage = usage;
                answer.logprobs.extend(logprobs);
                answer.tool_calls.extend(tool_calls);
                answer.finish = finish;
                answer.done = finish.is_some();
            }
            FromWorker::Values { call, values, usage } | FromWorker::Embeddings { call, values, usage, .. } => {
                let answer = self.answers.get_mut(&call).unwrap();
                answer.values = values;
                answer.usage = usage;
                answer.done = true;
            }
            FromWorker::Failed { call, error } => {
                let answer = self.answers.get_mut(&call).unwrap();
                answer.error = Some(error);
                answer.done = true;
            }
            FromWorker::Stats(_) | FromWorker::Pong => {}
            other => panic!("{other:?} while serving"),
        }
    }

    /// Waits for the end of a compute.
    pub(crate) fn finish(&mut self, call: CallId) -> Answer {
        while !self.answers[&call].done {
            self.turn();
        }
        self.answers[&call].clone()
    }

    /// Computes to the end, which must be no error.
    pub(crate) fn compute(&mut self, session: SessionId, work: Work) -> Answer {
        let call = self.start(session, work);
        let answer = self.finish(call);
        assert_eq!(answer.error, None);
        answer
    }

    /// Computes to an error.
    pub(crate) fn refuse(&mut self, session: SessionId, work: Work) -> InferenceError {
        let call = self.start(session, work);
        self.finish(call).error.expect("an error")
    }

    /// Waits until the statistics are as wanted.
    pub(crate) fn until(&mut self, wanted: impl Fn(&WorkerStats) -> bool) {
        while !wanted(&self.stats) {
            self.turn();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The test may have ended it already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
