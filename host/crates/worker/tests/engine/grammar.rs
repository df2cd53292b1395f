//! Grammars and schemas that would use up memory or a processor.

use crate::worker::{Worker, constrained, greedy, spec, text};
use bobbin_inference::wire::ToWorker;
use bobbin_inference::{Constraint, Options, Prompt, Reason, Work};

const STORIES: &str = "stories260K-f16.gguf";

fn grammar(text: &str) -> Constraint {
    Constraint::Grammar(text.into())
}

fn schema(text: &str) -> Constraint {
    Constraint::JsonSchema(text.into())
}

/// Memory of a process in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// Eight at once of each are refused while stories go on in the same worker, and it stays as small as it was. A schema may
/// also be obeyed, where that takes no more than that.
fn are_survived_beside_stories(hostile: &[Constraint]) {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    worker.compute(1, text("Once upon a time", greedy(60)));
    let before = resident(worker.pid());
    for constraint in hostile {
        let stories: Vec<_> = (0..3).map(|session| worker.start(session, text("The dog", greedy(60)))).collect();
        let calls: Vec<_> = (0..8).map(|n| worker.start(100 + n, constrained("Once", constraint.clone()))).collect();
        for call in calls {
            match worker.finish(call).error {
                Some(error) => assert_eq!(error.reason, Reason::InvalidGrammar, "{constraint:?}: {}", error.message),
                None => assert!(matches!(constraint, Constraint::JsonSchema(_)), "{constraint:?} was taken"),
            }
        }
        for story in stories {
            assert_eq!(worker.finish(story).error, None);
        }
    }
    let grown = resident(worker.pid()).saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} kB more than before");
    worker.compute(200, constrained("One day, I saw", grammar("root ::= \" a \" (\"cat\" | \"dog\") \".\"")));
}

#[test]
fn repetitions_that_end_before_they_begin_cost_no_memory() {
    are_survived_beside_stories(&[
        grammar("root ::= \"a\"{5,2}"),
        grammar("root ::= (\"a\" \"b\"{7,6})+"),
        schema(r#"{"type":"array","items":{"type":"string"},"minItems":5,"maxItems":2}"#),
        schema(r#"{"type":"string","minLength":5,"maxLength":2}"#),
        schema(r#"{"type":"string","pattern":"^a{5,2}$"}"#),
        schema(r#"{"type":"integer","minimum":9000000000000000000}"#),
    ]);
}

#[test]
fn repetitions_of_nothing_hold_no_processor() {
    are_survived_beside_stories(&[
        grammar("root ::= ((\"a\"?){50}){40}"),
        grammar("root ::= ((\"a\"?){50}){50}"),
        grammar("root ::= x{30}\nx ::= y{30}\ny ::= \"a\" | "),
        grammar("root ::= a root | \"x\"\na ::= b\nb ::= \"\" | \"c\""),
    ]);
}

#[test]
fn schemas_that_repeat_beyond_measure_hold_no_processor() {
    are_survived_beside_stories(&[
        schema(r#"{"type":"string","pattern":"^((a?){50}){40}$"}"#),
        schema(r#"{"type":"string","minLength":1000000,"maxLength":2000000}"#),
        schema(r#"{"type":"array","items":{"type":"array","items":{"type":"null"},"minItems":5000},"minItems":5000}"#),
        schema(r#"{"type":"string","pattern":"^((a|b|ab)*c){1,400}(x+x+)+y$"}"#),
    ]);
}

#[test]
fn schemas_that_refer_to_themselves_for_ever_end_no_worker() {
    are_survived_beside_stories(&[
        schema(r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"$ref":"#/$defs/a"}}}"##),
        schema(
            r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"properties":{"x":{"allOf":[{"$ref":"#/$defs/a"}]}}}}}"##,
        ),
    ]);
}

#[test]
fn a_cancelled_compute_gives_its_grammars_place_back() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let endless = || {
        let options = Options { constraint: Some(grammar("root ::= [a-z ]+")), ..greedy(400) };
        Work::Generate { prompt: Prompt::Text("Once".into()), options }
    };
    // With one token of credit each, none comes to its end.
    let held: Vec<_> = (0..16).map(|n| worker.start_with(n, endless(), 1, 600_000, "route")).collect();
    let error = worker.refuse(99, endless());
    assert_eq!(error.reason, Reason::QueueFull, "{}", error.message);
    for call in &held[..8] {
        worker.say(&ToWorker::Cancel { call: *call });
    }
    for session in 8..16 {
        worker.say(&ToWorker::Close { session });
    }
    worker.until(|stats| stats.cancelled == 16);
    // A thread ends soon after its compute does.
    let mut waiting: Vec<u64> = (200..216).collect();
    while !waiting.is_empty() {
        let calls: Vec<_> =
            waiting.iter().map(|n| (*n, worker.start(*n, constrained("Once", grammar("root ::= \"a\""))))).collect();
        waiting = calls.into_iter().filter(|(_, call)| worker.finish(*call).error.is_some()).map(|(n, _)| n).collect();
    }
    worker.compute(300, text("Once upon a time", greedy(3)));
}
