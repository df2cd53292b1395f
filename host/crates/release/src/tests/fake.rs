//! A host without models: bundles that verify or do not, workers that answer one word at a time.

use crate::{
    Accepted, Asker, Candidate, Card, Change, ChangeError, Command, Declared, Delivery, Described, Edit, Listing, Live,
    Pins, Progress, ReleaseId, ReleaseView, Releases, Spec, State, Status, Store, Urgency, Verified, Vitals, Weight,
    Workshop,
};
use bobbin_inference::{
    Class, Deadlines, FinishReason, Generated, Graph, GraphInfo, GraphKind, InferenceError, InferenceRecord, Metadata,
    OptionsPatch, Output, Priority, Prompt, Recorder, RequestContext, Scope, Session, TokenLogprob, Usage, Values,
    Work,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};

/// What a bundle of the workshop does.
#[derive(Clone)]
pub(super) struct Behaviour {
    /// Why it does not verify.
    pub(super) unsound: Option<String>,
    /// It is hashed until somebody breaks that off. The first has a permit once that begins, the second once it ends.
    pub(super) endless: Option<Arc<[Semaphore; 2]>>,
    /// Why its worker does not become ready.
    pub(super) unloadable: Option<String>,
    /// Permits for its workers to become ready.
    pub(super) gate: Arc<Semaphore>,
    /// Permits for its sessions to answer, one each.
    pub(super) answers: Arc<Semaphore>,
    pub(super) need: u64,
    pub(super) kind: &'static str,
    pub(super) digest: String,
    pub(super) vocabulary: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            unsound: None,
            endless: None,
            unloadable: None,
            gate: Arc::new(Semaphore::new(1000)),
            answers: Arc::new(Semaphore::new(1000)),
            need: 100,
            kind: "generate",
            digest: "sha256:00".into(),
            vocabulary: "words".into(),
        }
    }
}

/// Bundles, workers and memory.
#[derive(Default)]
pub(super) struct FakeWorkshop {
    bundles: Mutex<BTreeMap<String, Behaviour>>,
    memory: u64,
    /// Workers that run: bundle and class.
    running: Arc<Mutex<Vec<(String, Class)>>>,
    /// The most that ran at once.
    most: Arc<Mutex<usize>>,
    collections: AtomicUsize,
}

impl FakeWorkshop {
    /// The bundle's folder is gone.
    pub(super) fn loses(&self, bundle: &str) {
        self.bundles.lock().remove(bundle);
    }

    pub(super) fn collections(&self) -> usize {
        self.collections.load(Ordering::Acquire)
    }

    pub(super) fn has(&self, bundle: &str, behaviour: Behaviour) {
        self.bundles.lock().insert(bundle.to_owned(), behaviour);
    }

    pub(super) fn running(&self) -> Vec<String> {
        let mut running: Vec<_> = self.running.lock().iter().map(|(bundle, _)| bundle.clone()).collect();
        running.sort();
        running
    }

    pub(super) fn most_at_once(&self) -> usize {
        *self.most.lock()
    }
}

impl Workshop for FakeWorkshop {
    fn kind(&self, bundle: &str) -> Result<String, String> {
        let known = self.bundles.lock().get(bundle).map(|behaviour| behaviour.kind.to_owned());
        known.ok_or_else(|| "the repository has no such bundle".into())
    }

    fn list(&self) -> Result<Vec<Listing>, String> {
        let listing = |(bundle, behaviour): (&String, &Behaviour)| Listing {
            bundle: bundle.clone(),
            described: Ok(Described {
                digest: behaviour.digest.clone(),
                kind: behaviour.kind.into(),
                size: behaviour.need,
                licence: "Apache-2.0".into(),
                card: Card {
                    languages: Vec::new(),
                    base_model: "none".into(),
                    data: "none".into(),
                    intended_use: "tests".into(),
                    limits: "tests only".into(),
                    evaluations: Vec::new(),
                },
            }),
        };
        Ok(self.bundles.lock().iter().map(listing).collect())
    }

    fn verify(
        &self,
        bundle: &str,
        _urgency: Urgency,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Box<dyn Verified>, String> {
        let known = self.bundles.lock().get(bundle).cloned();
        let behaviour = known.ok_or("the repository has no such bundle")?;
        let at = Progress { path: "weights.gguf", done: 1, total: 1 };
        if let Some([begun, _]) = behaviour.endless.as_deref() {
            begun.add_permits(1);
        }
        while progress(at).is_continue() && behaviour.endless.is_some() {
            std::thread::yield_now();
        }
        if let Some([_, broken_off]) = behaviour.endless.as_deref() {
            broken_off.add_permits(1);
            return Err("it was given up".into());
        }
        if let Some(reason) = &behaviour.unsound {
            return Err(reason.clone());
        }
        let (running, most) = (Arc::clone(&self.running), Arc::clone(&self.most));
        Ok(Box::new(FakeVerified { bundle: bundle.to_owned(), behaviour, running, most }))
    }

    fn collect(&self) -> Result<(), String> {
        self.collections.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn free_memory(&self) -> Option<i64> {
        let bundles = self.bundles.lock();
        let taken: u64 = self.running.lock().iter().filter_map(|(bundle, _)| Some(bundles.get(bundle)?.need)).sum();
        Some(i64::try_from(self.memory).unwrap() - i64::try_from(taken).unwrap())
    }
}

struct FakeVerified {
    bundle: String,
    behaviour: Behaviour,
    running: Arc<Mutex<Vec<(String, Class)>>>,
    most: Arc<Mutex<usize>>,
}

impl Verified for FakeVerified {
    fn digest(&self) -> String {
        self.behaviour.digest.clone()
    }

    fn need_bytes(&self) -> u64 {
        self.behaviour.need
    }

    fn launch(&self, class: Class) -> Result<Arc<dyn Live>, String> {
        let mut running = self.running.lock();
        running.push((self.bundle.clone(), class));
        let mut most = self.most.lock();
        *most = running.len().max(*most);
        let status = watch::Sender::new(Status::now(State::Loading, None));
        Ok(Arc::new(FakeLive {
            graph: Arc::new(FakeGraph {
                info: GraphInfo {
                    bundle: self.bundle.as_str().into(),
                    digest: self.behaviour.digest.as_str().into(),
                    kind: GraphKind::Generate,
                    context: 256,
                    dimensions: None,
                    defaults: OptionsPatch::default(),
                },
                answers: Arc::clone(&self.behaviour.answers),
                vocabulary: self.behaviour.vocabulary.as_str().into(),
            }),
            class,
            unloadable: self.behaviour.unloadable.clone(),
            gate: Arc::clone(&self.behaviour.gate),
            status,
            ready: AtomicBool::new(false),
            running: Arc::clone(&self.running),
        }))
    }
}

struct FakeLive {
    graph: Arc<FakeGraph>,
    class: Class,
    unloadable: Option<String>,
    gate: Arc<Semaphore>,
    status: watch::Sender<Status>,
    ready: AtomicBool,
    running: Arc<Mutex<Vec<(String, Class)>>>,
}

impl FakeLive {
    fn enter(&self, state: State, reason: Option<String>) {
        self.ready.store(state == State::Ready, Ordering::Release);
        self.status.send_replace(Status::now(state, reason));
    }

    fn leave(&self) {
        let mut running = self.running.lock();
        let ours =
            running.iter().position(|(bundle, class)| **bundle == *self.graph.info.bundle && *class == self.class);
        if let Some(ours) = ours {
            running.remove(ours);
        }
    }
}

impl Live for FakeLive {
    fn graph(&self) -> Arc<dyn Graph> {
        Arc::clone(&self.graph) as Arc<dyn Graph>
    }

    fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn follow(&self) -> BoxStream<'static, Status> {
        let next = |mut statuses: watch::Receiver<Status>| async move {
            statuses.changed().await.ok()?;
            let now = statuses.borrow_and_update().clone();
            Some((now, statuses))
        };
        Box::pin(futures::stream::unfold(self.status.subscribe(), next))
    }

    fn vitals(&self) -> Vitals {
        Vitals::default()
    }

    fn settled(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.gate.acquire().await.unwrap().forget();
            if let Some(reason) = &self.unloadable {
                self.enter(State::Failed, Some(reason.clone()));
                self.leave();
                return Err(reason.clone());
            }
            self.enter(State::Ready, None);
            Ok(())
        })
    }

    fn stop(&self, _grace: Duration) -> BoxFuture<'_, ()> {
        self.enter(State::Unloading, None);
        self.leave();
        async {}.boxed()
    }
}

struct FakeGraph {
    info: GraphInfo,
    answers: Arc<Semaphore>,
    vocabulary: Arc<str>,
}

impl Graph for FakeGraph {
    fn info(&self) -> &GraphInfo {
        &self.info
    }

    fn vocabulary(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.vocabulary))
    }

    fn open(&self, _context: Arc<RequestContext>, _scope: Scope, _priority: Priority) -> Box<dyn Session> {
        Box::new(FakeSession { info: self.info.clone(), answers: Arc::clone(&self.answers), left: 0, made: 0 })
    }
}

/// Answers "a b c", one word at a time where a stream was asked for.
struct FakeSession {
    info: GraphInfo,
    answers: Arc<Semaphore>,
    left: u32,
    made: u32,
}

impl FakeSession {
    fn part(&mut self, words: u32) -> Output {
        self.left -= words;
        self.made += words;
        let logprob = |n| TokenLogprob { id: n, bytes: b"w ".to_vec(), logprob: -1.0, top: Vec::new() };
        Output::Generated(Generated {
            text: "w ".repeat(words as usize),
            metadata: Metadata {
                usage: Usage { input_tokens: 1, output_tokens: self.made, cached_tokens: 0 },
                finish_reason: (self.left == 0).then_some(FinishReason::Stop),
                bundle: Arc::clone(&self.info.bundle),
                digest: Arc::clone(&self.info.digest),
                logprobs: Some((0..words as i32).map(logprob).collect()),
                tool_calls: Vec::new(),
            },
        })
    }
}

impl Session for FakeSession {
    fn compute(&mut self, work: Work) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            self.answers.acquire().await.unwrap().forget();
            match work {
                Work::Generate { options, .. } => {
                    (self.left, self.made) = (3, 0);
                    let words = if options.stream { 1 } else { 3 };
                    let mut output = self.part(words);
                    if let (None, Output::Generated(part)) = (options.logprobs, &mut output) {
                        part.metadata.logprobs = None;
                    }
                    Ok(output)
                }
                Work::Score { answer, .. } => {
                    Ok(Output::Scores(Values { values: vec![-1.5; answer.len()], usage: Usage::default() }))
                }
                Work::Logits { .. } | Work::Embed { .. } => panic!("nobody asks for these here"),
            }
        })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Output, InferenceError>> {
        Box::pin(async move {
            self.answers.acquire().await.unwrap().forget();
            Ok(self.part(1))
        })
    }
}

/// Keeps the records.
#[derive(Default)]
pub(super) struct Records {
    pub(super) made: Mutex<Vec<InferenceRecord>>,
    pub(super) refused: Mutex<Vec<(String, String)>>,
}

impl Recorder for Records {
    fn record(&self, record: InferenceRecord) {
        self.made.lock().push(record);
    }

    fn refused(&self, trigger: &Arc<str>, graph: &str) {
        self.refused.lock().push((trigger.to_string(), graph.to_owned()));
    }
}

/// One request's headers, cookies and address.
#[derive(Default)]
pub(super) struct FakeAsker {
    pub(super) headers: BTreeMap<&'static str, String>,
    pub(super) cookies: BTreeMap<&'static str, String>,
    pub(super) client: String,
    /// The one graph that it may use, where it may not use all.
    pub(super) only: Option<&'static str>,
}

impl Asker for FakeAsker {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    fn client(&self) -> &str {
        &self.client
    }

    fn is_restricted(&self) -> bool {
        self.only.is_some()
    }

    fn may_use(&self, graph: &str) -> bool {
        self.only.is_none_or(|only| only == graph)
    }
}

/// A host with one route "r" and its graph "story", at first on s@1.0.0; s@1.1.0 and s@1.2.0 are there too.
pub(super) struct Host {
    pub(super) releases: Arc<Releases>,
    pub(super) workshop: Arc<FakeWorkshop>,
    pub(super) records: Arc<Records>,
    pub(super) notices: Vec<String>,
    state: Arc<TempDir>,
}

pub(super) fn story() -> ReleaseId {
    ReleaseId { trigger: "r".into(), graph: "story".into() }
}

pub(super) fn declared(stable: &str) -> Declared {
    Declared { id: story(), digest: format!("sha256:{stable}"), spec: Spec::of(stable.into()) }
}

impl Host {
    pub(super) async fn start() -> Self {
        Self::with(1_000_000, vec![declared("s@1.0.0")]).await
    }

    pub(super) async fn with(memory: u64, declared: Vec<Declared>) -> Self {
        let workshop = Arc::new(FakeWorkshop { memory, ..FakeWorkshop::default() });
        for bundle in ["s@1.0.0", "s@1.1.0", "s@1.2.0"] {
            workshop.has(bundle, Behaviour::default());
        }
        Self::open(workshop, Arc::new(TempDir::new().unwrap()), declared).await
    }

    async fn open(workshop: Arc<FakeWorkshop>, state: Arc<TempDir>, declared: Vec<Declared>) -> Self {
        let records = Arc::<Records>::default();
        let store = Store::open(state.path()).unwrap();
        let (shop, recorder) = (Arc::clone(&workshop), Arc::clone(&records));
        let opened = Releases::open(store, shop as _, recorder as _, declared).unwrap();
        opened.releases.bring_to_life().await;
        Self { releases: opened.releases, workshop, records, notices: opened.notices, state }
    }

    /// The host dies as it stands, and starts again.
    pub(super) async fn again(self, declared: Vec<Declared>) -> Self {
        let (workshop, state) = (Arc::clone(&self.workshop), Arc::clone(&self.state));
        self.releases.stop(Duration::ZERO).await;
        // The lock goes with the last owner of the store, as it goes with a process.
        let store = Arc::downgrade(&self.releases);
        drop(self);
        while store.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        Self::open(workshop, state, declared).await
    }

    pub(super) fn request(&self) -> (Pins, Arc<RequestContext>) {
        self.request_of(&FakeAsker::default())
    }

    pub(super) fn request_of(&self, asker: &FakeAsker) -> (Pins, Arc<RequestContext>) {
        let context = context("r");
        (self.releases.pin(&context, asker), context)
    }

    /// Which version a request gets.
    pub(super) fn serves(&self) -> String {
        self.request().0.graph("story").unwrap().bundle().to_string()
    }

    pub(super) async fn view(&self) -> ReleaseView {
        self.releases.view(&story()).unwrap()
    }

    /// Makes a change of the present generation, and waits for it.
    pub(super) async fn change(&self, command: Command) -> Result<ReleaseView, ChangeError> {
        let expected_generation = self.view().await.generation;
        self.change_of(expected_generation, command).await
    }

    pub(super) async fn change_of(&self, generation: u64, command: Command) -> Result<ReleaseView, ChangeError> {
        match self.releases.change(&story(), change(generation, command)).await? {
            Accepted::Committed(view) => Ok(*view),
            Accepted::Pending(_, outcome) => outcome.wait().await,
        }
    }

    /// Waits for an event.
    pub(super) async fn until(&self, what: impl Fn(&str, &serde_json::Value) -> bool) {
        let mut events = self.releases.subscribe(Some(0));
        loop {
            if let Some(Delivery::Event(event)) = events.next().await
                && what(event.kind, &serde_json::from_str(&event.data).unwrap())
            {
                return;
            }
        }
    }
}

pub(super) fn change(expected_generation: u64, command: Command) -> Change {
    Change { expected_generation, command, who: "alice".into(), why: Some("a test".into()) }
}

pub(super) fn stable(bundle: &str) -> Command {
    Command::Put(Edit { stable: Some(bundle.into()), ..Edit::default() })
}

pub(super) fn candidate(bundle: &str, percent: f64) -> Command {
    let candidate = Candidate { bundle: bundle.into(), weight: Weight::percent(percent).unwrap() };
    Command::Put(Edit { candidate: Some(Some(candidate)), ..Edit::default() })
}

pub(super) fn context(trigger: &str) -> Arc<RequestContext> {
    Arc::new(RequestContext::new(
        trigger.into(),
        Deadlines::after(Duration::from_secs(600), Duration::from_secs(1)),
        1 << 20,
    ))
}

pub(super) fn tell_a_story(stream: bool) -> Work {
    let patch = OptionsPatch { stream: Some(stream), ..OptionsPatch::default() };
    let options = patch.resolve(&OptionsPatch::default()).unwrap();
    Work::Generate { prompt: Prompt::Text("Once".into()), options }
}

pub(super) fn text(output: &Output) -> (String, Option<FinishReason>, String) {
    let Output::Generated(part) = output else { panic!("{output:?}") };
    (part.text.clone(), part.metadata.finish_reason, part.metadata.bundle.to_string())
}
