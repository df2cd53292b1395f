//! Scores: what a model makes of an answer that another may have given.

use crate::worker::{Worker, goldens, greedy, ids, score, spec, text};
use bobbin_inference::wire::LoadSpec;
use bobbin_inference::{Priority, Prompt, Reason, Work};

const STORIES: &str = "stories260K-f16.gguf";

fn answer_of(prompt: Prompt, answer: &[i32]) -> Work {
    Work::Score { prompt, answer: answer.to_vec() }
}

fn assert_close(one: &[f32], two: &[f32]) {
    assert_eq!(one.len(), two.len());
    for (at, (one, two)) in one.iter().zip(two).enumerate() {
        assert!((one - two).abs() < 0.01, "value {at} is {one} and {two}");
    }
}

#[test]
fn an_answer_scores_as_the_end_of_the_whole_sequence_however_its_prompt_is_given() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let template = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}";
    let mut worker = Worker::ready(LoadSpec { chat_template: Some(template.into()), ..spec });
    let (prompt, answer) = (ids(&goldens[0], "prompt_ids"), ids(&goldens[0], "greedy_ids"));
    let whole = worker.compute(1, score(&[prompt.clone(), answer.clone()].concat())).values;
    let expected = &whole[prompt.len() - 1..];
    let as_text = goldens[0]["prompt"].as_str().unwrap();
    let messages = serde_json::json!([{"role": "user", "content": as_text}]).to_string();
    for given in [Prompt::Tokens(prompt.clone()), Prompt::Text(as_text.into()), Prompt::Chat { messages, tools: None }]
    {
        let scored = worker.compute(2, answer_of(given, &answer));
        assert_close(&scored.values, expected);
        assert_eq!(scored.usage.input_tokens as usize, prompt.len() + answer.len());
    }
    assert_eq!(worker.compute(3, answer_of(Prompt::Tokens(prompt), &answer[..1])).values.len(), 1);
}

#[test]
fn a_score_leaves_its_sessions_history_as_it_is() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let whole = worker.compute(1, text("Once upon a time", greedy(40))).text;
    let first = worker.compute(2, text("Once upon a time", greedy(20))).text;
    worker.compute(2, answer_of(Prompt::Text("The dog".into()), &[5, 6, 7]));
    let rest = worker.compute(2, Work::Generate { prompt: Prompt::Tokens(Vec::new()), options: greedy(20) }).text;
    assert_eq!(format!("{first}{rest}"), whole);
    worker.until(|stats| stats.sequences == 2);
}

#[test]
fn an_answer_that_cannot_be_scored_is_refused() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let prompt = || Prompt::Text("Once".into());
    for (work, reason) in [
        (answer_of(prompt(), &[]), Reason::InvalidInput),
        (answer_of(prompt(), &[512]), Reason::InvalidTensor),
        (answer_of(Prompt::Tokens(vec![-1]), &[1]), Reason::InvalidTensor),
        (answer_of(Prompt::Tokens(Vec::new()), &[1]), Reason::InvalidInput),
        (answer_of(prompt(), &[1; 600]), Reason::ContextExceeded),
        (answer_of(Prompt::Chat { messages: "[]".into(), tools: None }, &[1]), Reason::UnsupportedByModel),
    ] {
        let error = worker.refuse(1, work.clone());
        assert_eq!(error.reason, reason, "{work:?}: {}", error.message);
    }
}

#[test]
fn a_shadows_score_beside_requests_is_the_same_and_holds_up_none_of_them() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let mut worker = Worker::ready(spec);
    let (prompt, answer) = (ids(&goldens[0], "prompt_ids"), ids(&goldens[0], "greedy_ids"));
    let work = || answer_of(Prompt::Tokens(prompt.clone()), &answer);
    let alone = worker.compute(1, work()).values;
    let expected = worker.compute(2, text("Once upon a time", greedy(60)));
    let shadows: Vec<_> = (10..20).map(|session| worker.start_as(session, work(), Priority::Shadow)).collect();
    let requests: Vec<_> =
        (20..24).map(|session| worker.start(session, text("Once upon a time", greedy(60)))).collect();
    for request in requests {
        worker.finish(request).assert_same(&expected);
    }
    for shadow in shadows {
        let scored = worker.finish(shadow);
        assert_eq!(scored.error, None);
        assert_close(&scored.values, &alone);
    }
}
