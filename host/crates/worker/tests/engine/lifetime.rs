//! How a worker begins and ends, and what it is kept from.

use crate::worker::{Worker, goldens, greedy, ids, score, shared, spec, text};
use bobbin_inference::wire::{FromWorker, Greeting, LoadSpec, Reference, ToWorker};
use std::io::{Read, Write};

const STORIES: &str = "stories260K-f16.gguf";

#[test]
fn a_worker_ends_when_its_host_hangs_up() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    worker.start(1, text("Once upon a time", greedy(400)));
    worker.hang_up();
    assert_eq!(worker.wait().code(), Some(0));
}

#[test]
fn a_worker_ends_when_its_host_hangs_up_before_anything_is_loaded() {
    let mut worker = Worker::spawn();
    worker.hang_up();
    assert!(worker.wait().code().is_some());
}

#[test]
fn a_frame_that_does_not_decode_ends_the_worker() {
    let Some(spec) = spec(STORIES) else { return };
    for bytes in [&[255, 255, 255, 255][..], &[3, 0, 0, 0, 99, 99, 99], &[0, 0, 0, 0]] {
        let mut worker = Worker::ready(spec.clone());
        worker.socket().write_all(bytes).unwrap();
        assert_eq!(worker.wait().code(), Some(2), "{bytes:?}");
    }
}

#[test]
fn loading_twice_ends_the_worker() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec.clone());
    worker.say(&ToWorker::Load(spec));
    assert_eq!(worker.wait().code(), Some(2));
}

#[test]
fn a_host_of_another_build_is_refused() {
    let mut worker = Worker::spawn();
    worker.say(&ToWorker::Hello(Greeting { build: "another".into(), ..Greeting::ours() }));
    assert_eq!(worker.hear(), Some(FromWorker::Hello(Greeting::ours())));
    assert_eq!(worker.wait().code(), Some(2));
}

#[test]
fn a_worker_ignores_the_terminals_signals() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    for signal in ["INT", "TERM"] {
        let pid = worker.pid().to_string();
        assert!(std::process::Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }
    worker.compute(1, text("Once upon a time", greedy(3)));
}

#[test]
fn what_the_cage_allows_is_reported_and_holds() {
    let Some(spec) = spec(STORIES) else { return };
    let (worker, loaded) = Worker::load(spec).unwrap();
    let names: Vec<&str> = loaded.cage.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["core_limit", "capabilities", "landlock", "seccomp", "data_limit"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    for (name, why) in &loaded.cage {
        println!("{name}: {why:?}");
        if name == "seccomp" {
            assert_eq!((field("Seccomp").as_str(), why), ("2", &None));
        }
        if name == "capabilities" {
            assert_eq!((field("CapEff").trim_matches('0'), why), ("", &None));
        }
        if name == "data_limit" {
            assert_eq!(why, &None);
        }
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.pid())).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.trim_start_matches(name).split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(limit("Max core file size"), "0");
    let data: u64 = limit("Max data size").parse().unwrap();
    assert!(data < 4 << 30, "{data}");
    assert!(loaded.system.contains("CPU"), "{}", loaded.system);
}

#[test]
fn a_fingerprint_is_measured_and_a_wrong_one_keeps_the_model_out() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let mut tokens = ids(&goldens[0], "prompt_ids");
    tokens.extend(ids(&goldens[0], "greedy_ids"));
    let mut worker = Worker::ready(spec.clone());
    let logprobs = worker.compute(1, score(&tokens)).values;
    let reference = Reference { tokens, logprobs };
    let fingerprint = vec![reference.clone()];
    let (_, loaded) = Worker::load(LoadSpec { fingerprint, ..spec.clone() }).unwrap();
    assert!(loaded.deviation.unwrap() <= 0.05, "{:?}", loaded.deviation);

    let mut wrong = reference.clone();
    wrong.logprobs[6] -= 0.5;
    let message = Worker::load(LoadSpec { fingerprint: vec![reference.clone(), wrong], ..spec.clone() }).err().unwrap();
    for part in ["sequence 1", "position 7", "recorded", "measured", "tolerance 0.05"] {
        assert!(message.contains(part), "{message}");
    }

    let short = Reference { logprobs: vec![0.0], ..reference.clone() };
    assert!(Worker::load(LoadSpec { fingerprint: vec![short], ..spec.clone() }).is_err());
    let nan = Reference { logprobs: vec![f32::NAN; reference.tokens.len() - 1], ..reference };
    assert!(Worker::load(LoadSpec { fingerprint: vec![nan], ..spec }).is_err());
}

#[test]
fn what_is_recorded_is_the_text_continued_and_fits_as_a_fingerprint() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let prompt = goldens[0]["prompt"].as_str().unwrap().to_owned();
    let long = "The cat sat on the mat and looked at the moon. ".repeat(20);
    let record = vec![prompt, long];
    let (_, loaded) = Worker::load(LoadSpec { record, ..spec.clone() }).unwrap();
    let [short, long] = loaded.recorded.as_slice() else { panic!("{:?}", loaded.recorded) };
    let mut expected = ids(&goldens[0], "prompt_ids");
    expected.extend(ids(&goldens[0], "greedy_ids"));
    let alike = short.tokens.len().min(expected.len());
    assert_eq!(short.tokens[..alike], expected[..alike]);
    for reference in [short, long] {
        assert_eq!((reference.tokens.len(), reference.logprobs.len()), (48, 47), "{reference:?}");
        assert!(reference.logprobs.iter().all(|value| value.is_finite() && *value <= 0.0), "{reference:?}");
    }
    let fingerprint = loaded.recorded.clone();
    let (_, again) = Worker::load(LoadSpec { fingerprint, tolerance: 0.001, ..spec.clone() }).unwrap();
    assert!(again.deviation.unwrap() <= 0.001, "{:?}", again.deviation);
    assert!(again.recorded.is_empty());
}

#[test]
fn what_does_not_load_says_why() {
    let Some(spec) = spec(STORIES) else { return };
    let missing = LoadSpec { weights: "/nowhere/model.gguf".into(), ..spec.clone() };
    let message = Worker::load(missing).err().unwrap();
    assert!(message.contains("/nowhere/model.gguf"), "{message}");

    let bad_magic = LoadSpec { weights: shared("hostile/bad_magic.gguf").unwrap(), ..spec.clone() };
    let message = Worker::load(bad_magic).err().unwrap();
    assert!(message.contains("magic"), "{message}");

    let message = Worker::load(LoadSpec { context: 513, ..spec.clone() }).err().unwrap();
    assert!(message.contains("513") && message.contains("512"), "{message}");

    let template = Some("{% if %}".into());
    let message = Worker::load(LoadSpec { chat_template: template, ..spec }).err().unwrap();
    assert!(message.contains("template"), "{message}");
}

#[test]
fn a_vocabulary_without_a_first_token_is_not_asked_for_one() {
    let Some((spec, weights)) = spec(STORIES).zip(shared("hostile/tiny_nobos.gguf")) else { return };
    let mut worker = Worker::ready(LoadSpec { weights, context: 16, warm_up: vec!["a".into()], ..spec });
    assert_eq!(worker.compute(1, text("a", greedy(3))).usage.input_tokens, 1);
}

#[test]
fn nothing_but_frames_is_on_the_link() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    worker.compute(1, text("Once upon a time", greedy(10)));
    worker.socket().shutdown(std::net::Shutdown::Write).unwrap();
    while worker.hear().is_some() {}
    let mut rest = Vec::new();
    worker.socket().read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}
