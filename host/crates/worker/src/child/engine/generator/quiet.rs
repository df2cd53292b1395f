//! What a token asks of the allocator on the engine's thread, from its step to the socket.
//!
//! The bound is on whole turns of the engine's loop, with everything that the real one does. What still grows with an
//! answer grows by doubling: its list of tokens, and buffers that meet a longer token than all before.

use super::super::super::model::tests::storyteller;
use super::super::super::sampler::tests::sampling;
use super::super::turn;
use super::tests::{context, of};
use super::*;
use crate::memory::counting::{Asked, during};
use bobbin_inference::wire::read_frame;
use bobbin_inference::{Constraint, FinishReason, Options, Sampling};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;

/// Tokens before anything is counted, and while it is.
const FIRST: usize = 60;
const COUNTED: usize = 120;
/// Tokens of a whole answer, which fits the context.
const WHOLE: u32 = 240;
/// How often what belongs to an answer may grow meanwhile: its list of tokens twice, each of its buffers once. So there is
/// nothing that is asked for with each token, nor with each step.
const GROWING: usize = 10;
const _: () = assert!(GROWING * 4 < COUNTED);

/// A generator, the way of its frames, and their other end.
struct Engine {
    generator: Generator,
    inbox: Receiver<Event>,
    out: Outbox,
    told: WorkerStats,
    host: UnixStream,
    /// Tokens of each answer that the host has heard of.
    tokens: HashMap<CallId, usize>,
}

impl Engine {
    fn new() -> Self {
        let (generator, inbox) = of(storyteller(), 256, 4);
        let (ours, host) = UnixStream::pair().unwrap();
        host.set_nonblocking(true).unwrap();
        let out = Outbox::of(File::from(OwnedFd::from(ours))).unwrap();
        Self { generator, inbox, out, told: WorkerStats::default(), host, tokens: HashMap::new() }
    }

    /// Starts an answer that does not end by itself.
    fn start(&mut self, call: CallId, options: Options) {
        let vocabulary = &self.generator.desk.vocabulary;
        let ends = (0..vocabulary.size()).filter(|token| vocabulary.is_end(*token));
        let logit_bias = ends.map(|token| (token, -1000.0)).collect();
        let options = Options { sampling: Sampling { logit_bias, ..options.sampling }, ..options };
        let work = Work::Generate { prompt: Prompt::Text("Once upon a time".into()), options };
        let compute = ToWorker::Compute { session: call, call, context: context(call), credit: 1000, work };
        self.generator.receive(Event::Host(compute), &mut self.out);
    }

    /// Turns until there are so many more tokens of each answer, or it is whole; returns what that asked for. The host reads
    /// between two turns, so that there is room for what the next one makes.
    fn run(&mut self, calls: &[CallId], tokens: usize) -> Asked {
        let mut all = Asked::default();
        let so_far = |engine: &Self, call| engine.tokens.get(call).copied().unwrap_or(0);
        let wanted = |call| (so_far(self, call) + tokens).min(WHOLE as usize);
        let wanted: Vec<usize> = calls.iter().map(wanted).collect();
        while calls.iter().zip(&wanted).any(|(call, wanted)| so_far(self, call) < *wanted) {
            let Self { generator, inbox, out, told, .. } = self;
            let (worked, asked) = during(|| {
                while let Ok(event) = inbox.try_recv() {
                    generator.receive(event, out);
                }
                turn(generator, told, out).0
            });
            all += asked;
            if !worked {
                let event = inbox.recv_timeout(Duration::from_secs(60)).unwrap();
                let ((), asked) = during(|| generator.receive(event, out));
                all += asked;
            }
            self.read();
        }
        all
    }

    /// Checks what these answers ask for once they are under way.
    fn is_quiet(&mut self, calls: &[CallId]) {
        self.run(calls, FIRST);
        let asked = self.run(calls, COUNTED);
        let (answers, most) = (calls.len(), GROWING * calls.len());
        assert!(asked.times <= most, "{asked:?} for {COUNTED} tokens of each of {answers} answers; at most {most}");
    }

    fn read(&mut self) {
        let mut bytes = Vec::new();
        // Nothing more is there for now.
        let end = self.host.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::WouldBlock);
        let mut frames = bytes.as_slice();
        while let Some(frame) = read_frame(&mut frames).unwrap() {
            match frame {
                FromWorker::Piece { call, usage, finish, .. } => {
                    // Of those whose tokens are chosen elsewhere one may be whole before another has enough.
                    assert_ne!(finish, Some(FinishReason::Stop), "call {call}");
                    self.tokens.insert(call, usage.output_tokens as usize);
                }
                FromWorker::Stats(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn options(temperature: f32, top_k: u32) -> Options {
    let sampling = Sampling { temperature, top_k, seed: Some(7), ..sampling() };
    Options { max_tokens: WHOLE, sampling, stop: Vec::new(), constraint: None, logprobs: None, stream: true }
}

#[test]
fn a_token_asks_for_no_memory_on_its_way_to_the_host() {
    let mut engine = Engine::new();
    let penalised = options(0.8, 40);
    let penalised = Options { sampling: Sampling { repeat_penalty: 1.1, ..penalised.sampling }, ..penalised };
    let stopping = Options { stop: vec!["a stop string".into(), "\u{fffd}never".into()], ..options(0.8, 0) };
    let all = [options(0.0, 0), options(0.8, 40), penalised, stopping];
    let calls: Vec<CallId> = (1..).take(all.len()).collect();
    for (call, options) in calls.iter().zip(all) {
        engine.start(*call, options);
    }
    engine.is_quiet(&calls);
}

/// The choice is made on another thread, which is lent the logits: the same place in memory with every token.
#[test]
fn a_token_under_a_grammar_asks_for_no_memory_either() {
    let mut engine = Engine::new();
    let grammar = Constraint::Grammar("root ::= [a-z ]+".into());
    let all = [options(0.8, 40), options(0.8, 0)];
    let calls: Vec<CallId> = (1..).take(all.len()).collect();
    for (call, options) in calls.iter().zip(all) {
        engine.start(*call, Options { constraint: Some(grammar.clone()), ..options });
    }
    engine.is_quiet(&calls);
}

/// A report has bytes of its own for each token that it tells of, and no logits.
#[test]
fn a_report_on_a_token_under_a_grammar_copies_no_logits() {
    let mut engine = Engine::new();
    let constraint = Some(Constraint::Grammar("root ::= [a-z ]+".into()));
    engine.start(1, Options { constraint, logprobs: Some(2), ..options(0.8, 40) });
    engine.run(&[1], FIRST);
    let asked = engine.run(&[1], COUNTED);
    let logits = engine.generator.desk.vocabulary.size() as usize * size_of::<f32>();
    assert!(
        asked.bytes < COUNTED * logits / 10,
        "{asked:?} for {COUNTED} tokens; their logits have {logits} bytes each"
    );
}
