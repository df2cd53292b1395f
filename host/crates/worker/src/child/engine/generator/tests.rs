//! What no host can ask for, as only a wrong reservation brings it about, and what none can see, as it happens between
//! two steps.

mod cancel;

use super::super::super::model::tests::spec;
use super::*;
use bobbin_inference::wire::read_frame;
use bobbin_inference::{Priority, Scope};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

/// A generator, what its helpers send to it, and its frames.
struct Started {
    generator: Generator,
    helpers: Receiver<Event>,
    out: Outbox,
    sent: Receiver<Vec<u8>>,
}

/// A generator of these weights, and what its helpers tell it.
pub(super) fn of(weights: PathBuf, context: u32, parallel: u32) -> (Generator, Receiver<Event>) {
    let spec = LoadSpec { context, parallel, ..spec(weights) };
    let model = Model::load(&spec).unwrap();
    let decoder = model.decoder(&spec, 0).unwrap();
    let (events, helpers) = sync_channel(16);
    (Generator::new(&model, decoder, &spec, Vec::new(), None, events).unwrap(), helpers)
}

fn start(weights: PathBuf, context: u32, parallel: u32) -> Started {
    let (generator, helpers) = of(weights, context, parallel);
    let (frames, sent) = sync_channel(1024);
    Started { generator, helpers, out: Outbox::new(frames), sent }
}

/// A generator with the small story model; `None` where the optional test data is absent.
fn generator() -> Option<Started> {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/models/stories260K-f16.gguf");
    let weights = PathBuf::from(shared);
    if !weights.exists() {
        assert!(std::env::var("BOBBIN_REQUIRE_SHARED").as_deref() != Ok("1"), "{shared} is required");
        println!("skipped: there is no {shared}");
        return None;
    }
    Some(start(weights, 512, 4))
}

pub(super) fn context(call: CallId) -> CallContext {
    CallContext {
        request: format!("request-{call}"),
        trace: String::new(),
        remaining_ms: 600_000,
        account: 64 << 20,
        priority: Priority::Request,
        scope: Scope { route: format!("route-{call}"), principal: None, adapter: None },
    }
}

/// Frames that were sent.
fn frames(sent: &Receiver<Vec<u8>>) -> Vec<FromWorker> {
    let bytes: Vec<u8> = sent.try_iter().flatten().collect();
    let mut bytes = bytes.as_slice();
    std::iter::from_fn(|| read_frame(&mut bytes).unwrap()).collect()
}

fn score(generator: &mut Generator, call: CallId, tokens: &[Token], out: &mut Outbox) {
    let work = Work::Score { prompt: Prompt::Tokens(tokens[..1].to_vec()), answer: tokens[1..].to_vec() };
    let asked = ToWorker::Compute { session: call, call, context: context(call), credit: 1, work };
    generator.receive(Event::Host(asked), out);
}

#[test]
fn a_score_that_an_overcommit_interrupts_has_the_values_of_one_that_nothing_interrupts() {
    let Some(Started { mut generator, mut out, sent, .. }) = generator() else { return };
    let tokens: Vec<Token> = (0..300).map(|at| 3 + at * 7 % 500).collect();
    for call in 1..=2 {
        score(&mut generator, call, &tokens, &mut out);
    }
    assert!(generator.step(&mut out));
    let halfway = |generator: &Generator| match &generator.desk.calls[&2].stage {
        Stage::Score(scoring) => scoring.values(),
        _ => unreachable!(),
    };
    assert!((1..299).contains(&halfway(&generator)), "{} values", halfway(&generator));
    generator.failed(&[], &StepError::NoRoom, &mut out);
    assert_eq!(generator.stats().overcommits, 1);
    while generator.step(&mut out) {}
    out.flush();
    let mut answers = HashMap::new();
    for frame in frames(&sent) {
        let FromWorker::Values { call, values, .. } = frame else { panic!("{frame:?}") };
        answers.insert(call, values);
    }
    assert_eq!(answers[&1].len(), 299);
    assert_eq!(answers[&2].len(), 299);
    for (at, (one, two)) in answers[&1].iter().zip(&answers[&2]).enumerate() {
        assert!((one - two).abs() < 0.01, "value {at} is {one} and {two}");
    }
}
