//! Whatever a file is: its worker loads it, says why it does not, or dies of it alone.

use crate::hostile::holds;
use crate::pieces::{Pieces, changes};
use crate::worker::{Answer, Worker, context, greedy, models, shared, spec_of, text};
use bobbin_bundle::gguf::preflight_reader;
use bobbin_inference::wire::{FromWorker, Greeting, LoadSpec, ToWorker};
use bobbin_inference::{GraphKind, Work};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

const STORYTELLER: &str = "storyteller/1.0.0/storyteller-q8_0.gguf";
const SENTENCE: &str = "sentence/1.0.0/sentence-q8_0.gguf";

/// Changed files that get as far as a worker.
const MUTANTS: u32 = 50;
/// Changes that are tried for them: most are refused before.
const TRIED: u32 = 2000;

fn spec(weights: PathBuf, context: u32, prompt: &str) -> LoadSpec {
    LoadSpec { context, parallel: 4, warm_up: vec![prompt.into()], tolerance: 0.0, ..spec_of(weights) }
}

fn sound() -> Worker {
    Worker::ready(spec(models().join(STORYTELLER), 256, "Once upon a time"))
}

fn story(worker: &mut Worker, session: u64) -> Answer {
    worker.compute(session, text("Once upon a time", greedy(20)))
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was loaded, and answered or failed a compute.
    Loaded,
    /// The worker said why it does not load it.
    Refused(String),
    /// The worker died by this signal.
    Died(i32),
}

/// Gives files to workers, one each, beside a sound one that nothing of it may reach.
struct Trial {
    neighbour: Worker,
    expected: Answer,
    workers: RefCell<Vec<u32>>,
}

impl Trial {
    fn new() -> Self {
        let mut neighbour = sound();
        let expected = story(&mut neighbour, 1);
        Self { neighbour, expected, workers: RefCell::default() }
    }

    /// Has a worker load a file, and compute with it where it does.
    fn end(&self, spec: LoadSpec) -> End {
        let mut worker = Worker::spawn();
        self.workers.borrow_mut().push(worker.pid());
        let work = match spec.kind {
            GraphKind::Generate => text(&spec.warm_up[0], greedy(8)),
            GraphKind::Embed => Work::Embed { texts: spec.warm_up.clone(), dimensions: None },
        };
        worker.try_say(&ToWorker::Hello(Greeting::ours()));
        worker.try_say(&ToWorker::Load(spec));
        loop {
            match worker.try_hear() {
                Some(FromWorker::Hello(_) | FromWorker::Progress(_) | FromWorker::Stats(_)) => {}
                Some(FromWorker::Ready(_)) => {
                    let (context, work) = (context(600_000, "route"), work.clone());
                    worker.try_say(&ToWorker::Compute { session: 1, call: 1, context, credit: 1000, work });
                }
                Some(FromWorker::Piece { finish: None, .. }) => {}
                Some(FromWorker::Piece { .. } | FromWorker::Embeddings { .. } | FromWorker::Failed { .. }) => {
                    return End::Loaded;
                }
                Some(FromWorker::LoadFailed { message }) => {
                    assert_eq!((worker.wait().code(), message.is_empty()), (Some(1), false), "{message}");
                    return End::Refused(message);
                }
                Some(other) => panic!("{other:?}"),
                None => break,
            }
        }
        let status = worker.wait();
        match status.signal() {
            // Nobody here kills it: that would be the kernel, which is out of memory.
            Some(signal) if signal != libc::SIGKILL => End::Died(signal),
            _ => panic!("the worker has said nothing, and {status}"),
        }
    }

    /// Everybody else goes on, and nothing of the workers is left.
    fn nobody_else_noticed(mut self) {
        for worker in [&mut self.neighbour, &mut sound()] {
            story(worker, 2).assert_same(&self.expected);
        }
        let workers = self.workers.into_inner();
        let left: Vec<&u32> = workers.iter().filter(|pid| parent(**pid) == Some(std::process::id())).collect();
        assert!(left.is_empty(), "of {} workers these are left, if as zombies: {left:?}", workers.len());
    }
}

/// Who started a process, while there is anything of it.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn hostile_files_take_nobody_with_them() {
    let Some(folder) = shared("hostile") else { return };
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    let trial = Trial::new();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let end = trial.end(spec(file, 16, "a"));
        println!("{name}: {end:?}");
        // As the family's own description says.
        let never_loads = ["bad_magic", "dup_token", "layers_huge", "tensor_out_of_file"].contains(&name.as_str());
        assert!(!never_loads || end != End::Loaded, "{name} was loaded");
    }
    trial.nobody_else_noticed();
}

#[test]
fn files_that_no_preflight_has_seen_take_nobody_with_them() {
    let pieces = Pieces::of(&fs::read(models().join(STORYTELLER)).unwrap()).unwrap();
    let filled = |byte: u8| {
        let mut pieces = pieces.clone();
        pieces.data.fill(byte);
        pieces.changed(&[], |_| &pieces)
    };
    let cut = |len: usize| fs::read(models().join(STORYTELLER)).unwrap()[..len].to_vec();
    let folder = tempfile::tempdir().unwrap();
    let trial = Trial::new();
    for (name, bytes) in [
        ("no weight is a number", filled(0xff)),
        ("every weight is nothing", filled(0)),
        ("half of the weights", cut(pieces.data_start + pieces.data.len() / 2)),
        ("half of the head", cut(pieces.data_start / 2)),
        ("nothing at all", Vec::new()),
    ] {
        let file = folder.path().join("model.gguf");
        fs::write(&file, bytes).unwrap();
        println!("{name}");
        println!("  {:?}", trial.end(spec(file, 256, "Once upon a time")));
    }
    trial.nobody_else_noticed();
}

/// `hostile.rs` of the bundle's tests says how to run others.
#[test]
fn changed_files_that_pass_the_preflight_take_nobody_with_them() {
    let original = fs::read(models().join(STORYTELLER)).unwrap();
    let storyteller = Pieces::of(&original).unwrap();
    let sentence = Pieces::of(&fs::read(models().join(SENTENCE)).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mutant.gguf");
    let trial = Trial::new();
    let (cases, mutants) = (Cell::new(0), Cell::new(0));
    let ends = RefCell::new(BTreeMap::<String, u32>::new());
    holds(TRIED, &changes(vec!["storyteller", "sentence"]), |changes| {
        cases.set(cases.get() + 1);
        if mutants.get() == MUTANTS {
            return;
        }
        let bytes = storyteller.changed(changes, |name| if name == "sentence" { &sentence } else { &storyteller });
        if bytes == original {
            return;
        }
        let Ok(summary) = preflight_reader(bytes.as_slice(), bytes.len() as u64) else { return };
        fs::write(&file, &bytes).unwrap();
        let kind = if summary.encoder_only { GraphKind::Embed } else { GraphKind::Generate };
        let spec = spec(file.clone(), summary.context_length.min(256), "Once upon a time");
        // Before it is tried: one that takes this process with it is named, too.
        println!("{changes:?}");
        let end = trial.end(LoadSpec { kind, ..spec });
        println!("  {end:?}");
        let end = format!("{end:?}").split('(').next().unwrap().to_owned();
        *ends.borrow_mut().entry(end).or_default() += 1;
        mutants.set(mutants.get() + 1);
    });
    trial.nobody_else_noticed();
    let ends = ends.into_inner();
    println!("{ends:?}");
    // Else the changes would no longer reach what they are for; few cases say nothing of that.
    assert!(cases.get() < TRIED || (mutants.get() == MUTANTS && ends.contains_key("Loaded")), "{ends:?}");
}
