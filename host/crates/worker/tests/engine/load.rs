//! Loading beside others: priorities, and threads that change while a worker lives.

use crate::worker::{Worker, greedy, spec, text};
use bobbin_inference::wire::{FromWorker, Greeting, LoadSpec, Phase, ToWorker};
use std::collections::BTreeMap;

const STORIES: &str = "stories260K-f16.gguf";

/// Threads of a process, by name and niceness.
fn threads(pid: u32) -> BTreeMap<(String, i32), usize> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        // A thread may end between the two.
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else { continue };
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        let nice = rest.split_whitespace().nth(16).unwrap().parse().unwrap();
        *threads.entry((name.to_owned(), nice)).or_default() += 1;
    }
    threads
}

fn count(pid: u32, name: &str, nice: i32) -> usize {
    threads(pid).get(&(name.to_owned(), nice)).copied().unwrap_or_default()
}

#[test]
fn what_loads_has_a_low_priority_and_what_serves_has_its_own() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::spawn();
    worker.say(&ToWorker::Hello(Greeting::ours()));
    assert_eq!(worker.hear(), Some(FromWorker::Hello(Greeting::ours())));
    // Long enough to be looked at while it goes on.
    let warm_up = vec!["Once upon a time there was a little dog".into(); 40];
    worker.say(&ToWorker::Load(LoadSpec { threads: 2, warm_up, ..spec }));
    while worker.hear() != Some(FromWorker::Progress(Phase::Warming)) {}
    let pid = worker.pid();
    // The thread that loads, and soon the other one of its team.
    loop {
        let now = threads(pid);
        match now.get(&("load".to_owned(), 10)) {
            Some(2) => break,
            Some(1) => {}
            _ => panic!("{now:?}"),
        }
    }
    assert!(matches!(worker.hear(), Some(FromWorker::Ready(_))));
    worker.compute(1, text("Once upon a time", greedy(5)));
    // The team that loaded is gone, and the engine has one of its own.
    let left = threads(pid);
    assert!(left.keys().all(|(_, nice)| *nice == 0), "{left:?}");
    assert_eq!(count(pid, "bobbin-worker", 0), 2, "{left:?}");
}

#[test]
fn a_worker_in_the_background_has_the_lowest_priority_for_good() {
    let Some(spec) = spec(STORIES) else { return };
    let (mut worker, _) = Worker::load_with(&["--background"], LoadSpec { threads: 2, ..spec }).unwrap();
    worker.compute(1, text("Once upon a time", greedy(5)));
    let threads = threads(worker.pid());
    assert!(threads.keys().all(|(_, nice)| *nice == 19), "{threads:?}");
}

#[test]
fn threads_change_between_two_steps_and_the_answer_does_not() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let expected = worker.compute(1, text("Once upon a time", greedy(100)));
    assert_eq!(count(worker.pid(), "bobbin-worker", 0), 1);
    let call = worker.start(2, text("Once upon a time", greedy(100)));
    worker.say(&ToWorker::Threads(3));
    worker.say(&ToWorker::Threads(0));
    worker.finish(call).assert_same(&expected);
    worker.say(&ToWorker::Threads(3));
    worker.compute(3, text("Once upon a time", greedy(100))).assert_same(&expected);
    assert_eq!(count(worker.pid(), "bobbin-worker", 0), 3, "{:?}", threads(worker.pid()));
}

#[test]
fn a_vocabulary_has_one_name_whatever_the_weights_are() {
    let specs = ["stories260K-f16.gguf", "stories260K-q8_0.gguf", "tinystories-656K-q8_0.gguf"].map(spec);
    let [Some(one), Some(same), Some(other)] = specs else { return };
    let [one, same, other] = [one, same, other].map(|spec| Worker::load(spec).unwrap().1.vocabulary_digest);
    assert_eq!((one.len(), &one), (64, &same));
    assert_ne!(one, other);
}
