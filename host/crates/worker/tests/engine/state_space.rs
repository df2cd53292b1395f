//! Models whose layers keep a state of what they have seen (Mamba), alone or beside attention (Jamba): a state cannot be
//! shared or cut, so sessions share nothing, and each computes its own beginning.

use crate::worker::{Answer, Worker, greedy, spec_of};
use bobbin_inference::wire::{CallId, LoadSpec, ToWorker};
use bobbin_inference::{Prompt, Work};
use bobbin_synthetic::{StateSpace, write_state_space};
use std::collections::HashSet;
use std::fs::File;
use tempfile::TempDir;

const KINDS: [StateSpace; 2] = [StateSpace::Mamba, StateSpace::Jamba];
/// Sequences at once.
const PARALLEL: u32 = 4;
/// The end of a text.
const END: i32 = 2;

fn model(kind: StateSpace) -> (TempDir, LoadSpec) {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("state-space.gguf");
    write_state_space(&mut File::create(&weights).unwrap(), kind, 1).unwrap();
    let spec = LoadSpec { context: StateSpace::CONTEXT, parallel: PARALLEL, ..spec_of(weights) };
    (folder, spec)
}

/// Tokens of no meaning, other ones for each number.
fn tokens(number: i32, length: i32) -> Vec<i32> {
    (0..length).map(|at| 259 + (number * 31 + at * 7) % 250).collect()
}

/// Answers that number of tokens, whatever the model would rather do.
fn after(prompt: Vec<i32>, answer: u32) -> Work {
    let mut options = greedy(answer);
    options.sampling.logit_bias.insert(END, -100.0);
    Work::Generate { prompt: Prompt::Tokens(prompt), options }
}

fn story(number: i32, length: i32) -> Work {
    after(tokens(number, length), 24)
}

/// Prompts of several lengths: short ones, and one that is longer than a step takes.
fn stories() -> Vec<Work> {
    [5, 40, 9, 700, 1, 64, 33, 8].into_iter().zip(0..).map(|(length, number)| story(number, length)).collect()
}

/// What each of them is answered when nobody else asks.
fn alone(spec: &LoadSpec) -> Vec<Answer> {
    stories().into_iter().map(|work| Worker::ready(spec.clone()).compute(1, work)).collect()
}

#[test]
fn what_was_said_long_before_decides_what_is_answered() {
    // Else no test here could tell one session's state from another's.
    for kind in KINDS {
        let (_folder, spec) = model(kind);
        let answers: HashSet<Vec<i32>> = (0..6)
            .map(|number| {
                let prompt = [tokens(number, 12), tokens(99, 8)].concat();
                Worker::ready(spec.clone()).compute(1, after(prompt, 24)).ids()
            })
            .collect();
        assert!(answers.len() > 3, "{kind:?} goes by the last tokens alone: {answers:?}");
    }
}

#[test]
fn sessions_together_answer_what_each_answers_alone_and_share_nothing() {
    for kind in KINDS {
        let (_folder, spec) = model(kind);
        let expected = alone(&spec);
        assert!(expected.iter().all(|answer| answer.ids().len() == 24), "{kind:?}: {expected:?}");
        let mut worker = Worker::ready(spec);
        // Twice: what the first ones have left behind is nothing to the second ones.
        for round in [0, 100] {
            let start = |(work, session)| worker.start(session + round, work);
            let calls: Vec<CallId> = stories().into_iter().zip(1..).map(start).collect();
            for (call, expected) in calls.into_iter().zip(&expected) {
                let answer = worker.finish(call);
                assert_eq!(answer.error, None, "{kind:?}");
                assert_eq!(answer.usage.cached_tokens, 0, "{kind:?}");
                answer.assert_same(expected);
            }
            (1..=8).for_each(|session| worker.say(&ToWorker::Close { session: session + round }));
        }
        worker.until(|stats| stats.sequences == 0 && stats.cells_reserved == 0);
        assert_eq!(worker.stats.cells_cached, 0, "{kind:?}");
    }
}

#[test]
fn one_that_is_given_up_leaves_no_state_to_the_next() {
    for kind in KINDS {
        let (_folder, spec) = model(kind);
        let expected = alone(&spec);
        let mut worker = Worker::ready(spec);
        // Nobody reads them on, so they are in the middle however slow this test is.
        let start = |number: i32| (50 + u64::from(number.unsigned_abs()), after(tokens(number, 90), 200));
        let given_up: Vec<CallId> =
            (20..24).map(start).map(|(session, work)| worker.start_with(session, work, 4, 600_000, "route")).collect();
        worker.until(|stats| stats.paused == PARALLEL);
        given_up.into_iter().for_each(|call| worker.say(&ToWorker::Cancel { call }));
        worker.until(|stats| stats.cancelled == u64::from(PARALLEL) && stats.running == 0);
        for (work, session) in stories().into_iter().zip(1..) {
            worker.compute(session, work).assert_same(&expected[session as usize - 1]);
        }
    }
}

#[test]
fn a_session_goes_on_from_its_own_state() {
    for kind in KINDS {
        let (_folder, spec) = model(kind);
        let (first, second) = (tokens(1, 20), tokens(2, 10));
        let mut worker = Worker::ready(spec.clone());
        let told = worker.compute(1, after(first.clone(), 24)).ids();
        let answer = worker.compute(1, after(second.clone(), 24));
        let whole = [first, told, second].concat();
        let expected = Worker::ready(spec.clone()).compute(1, after(whole, 24));
        answer.assert_same(&expected);
        // Else it might as well have forgotten what it told.
        let alone = Worker::ready(spec).compute(1, after(tokens(2, 10), 24));
        assert_ne!(answer.ids(), alone.ids(), "{kind:?}");
    }
}

#[test]
fn a_prefix_for_all_is_computed_by_each() {
    for kind in KINDS {
        let (_folder, spec) = model(kind);
        let expected = alone(&spec);
        let mut worker = Worker::ready(LoadSpec { prefix: Some("Once upon a time".into()), ..spec });
        for (work, (session, expected)) in stories().into_iter().zip((1..).zip(&expected)) {
            let answer = worker.compute(session, work);
            assert_eq!(answer.usage.cached_tokens, 0, "{kind:?}");
            answer.assert_same(expected);
        }
    }
}
