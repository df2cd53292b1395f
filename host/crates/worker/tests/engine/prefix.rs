//! Prompts that begin alike are computed once.

use crate::generate::STORIES;
use crate::worker::{Worker, greedy, spec, text};
use bobbin_inference::wire::{CallId, LoadSpec, ToWorker};
use bobbin_inference::{Prompt, Work};

/// Some sixty tokens.
const SYSTEM: &str = "Once upon a time, there was a little girl named Lily. She loved to play with her dog in the park. One day, \
                      she saw a big tree and wanted to climb it.";

fn system(question: &str) -> Work {
    text(&format!("{SYSTEM} {question}"), greedy(12))
}

fn close(worker: &mut Worker, session: u64) {
    worker.say(&ToWorker::Close { session });
}

#[test]
fn the_bundles_prefix_is_computed_once_for_all() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec.clone());
    let expected = worker.compute(1, text("Once upon a time, there was a dog", greedy(20)));
    let prefix = Some("Once upon a time, there was".into());
    let mut worker = Worker::ready(LoadSpec { prefix, ..spec });
    for session in 1..=2 {
        let answer = worker.compute(session, text("Once upon a time, there was a dog", greedy(20)));
        answer.assert_same(&expected);
        assert!(answer.usage.cached_tokens >= 6, "{:?}", answer.usage);
    }
    let other = worker.compute(3, text("The dog", greedy(5)));
    assert!(other.usage.cached_tokens <= 1, "only BOS is the same: {:?}", other.usage);
}

#[test]
fn a_session_begins_with_what_one_that_is_over_has_left() {
    let Some(spec) = spec(STORIES) else { return };
    let mut fresh = Worker::ready(spec.clone());
    let expected = fresh.compute(1, system("Her dog"));
    let mut worker = Worker::ready(spec);
    let first = worker.compute(1, system("Her mom"));
    assert_eq!(first.usage.cached_tokens, 0);
    close(&mut worker, 1);
    worker.until(|stats| stats.sequences == 0 && stats.cells_reserved == 0 && stats.cells_cached > 40);
    let second = worker.compute(2, system("Her dog"));
    second.assert_same(&expected);
    let (cached, input) = (second.usage.cached_tokens, second.usage.input_tokens);
    assert!(cached > 40 && cached < input, "{cached} of {input}");
}

#[test]
fn a_conversation_continues_from_its_cached_history() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let tokens = |tokens: Vec<i32>| Work::Generate { prompt: Prompt::Tokens(tokens), options: greedy(40) };
    let mut history = vec![1, 403, 407, 261, 378];
    let answer = worker.compute(1, tokens(history.clone()));
    close(&mut worker, 1);
    history.extend(answer.ids());
    history.extend([403, 407]);
    let next = worker.compute(2, tokens(history.clone()));
    let computed = next.usage.input_tokens - next.usage.cached_tokens;
    assert_eq!(computed, 3, "the last token of the answer, and what follows it: {:?}", next.usage);
}

#[test]
fn requests_that_arrive_together_compute_what_they_share_once() {
    let Some(spec) = spec(STORIES) else { return };
    let mut fresh = Worker::ready(spec.clone());
    let expected = fresh.compute(1, system("Number 7"));
    let mut worker = Worker::ready(spec);
    let ask = |number: u64| system(&format!("Number {number}"));
    let calls: Vec<CallId> = (0..8).map(|number| worker.start(number, ask(number))).collect();
    let answers: Vec<_> = calls.into_iter().map(|call| worker.finish(call)).collect();
    answers[7].assert_same(&expected);
    let cached: Vec<u32> = answers.iter().map(|answer| answer.usage.cached_tokens).collect();
    assert_eq!(cached.iter().filter(|cached| **cached == 0).count(), 1, "{cached:?}");
    assert!(cached.iter().filter(|cached| **cached > 40).count() == 7, "{cached:?}");
}

#[test]
fn another_route_neither_gets_nor_notices_what_is_cached() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    for (session, route) in [(1, "mine"), (2, "theirs"), (3, "mine")] {
        let call = worker.start_with(session, system("Her dog"), 1_000_000, 600_000, route);
        let answer = worker.finish(call);
        assert_eq!(answer.usage.cached_tokens > 0, session == 3, "{:?}", answer.usage);
        close(&mut worker, session);
    }
}
