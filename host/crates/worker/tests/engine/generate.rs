//! Generation: goldens, batching, sessions, limits.

use crate::worker::{Answer, Worker, constrained, goldens, greedy, ids, score, spec, text};
use bobbin_inference::wire::{LoadSpec, ToWorker};
use bobbin_inference::{Constraint, FinishReason, Options, OptionsPatch, Prompt, Reason, Work};

pub(crate) const STORIES: &str = "stories260K-f16.gguf";

#[test]
fn greedy_answers_are_those_of_the_reference() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let mut worker = Worker::ready(spec);
    for (session, golden) in (0..).zip(&goldens) {
        let prompt = golden["prompt"].as_str().unwrap();
        let answer = worker.compute(session, text(prompt, greedy(64)));
        assert_eq!(answer.ids(), ids(golden, "greedy_ids"), "{prompt}");
        assert_eq!(answer.text, golden["text"].as_str().unwrap());
        assert_eq!(answer.finish, Some(FinishReason::Length));
        assert_eq!(answer.usage.input_tokens as usize, ids(golden, "prompt_ids").len());
        assert_eq!(answer.usage.output_tokens, 64);
    }
}

#[test]
fn text_is_tokenised_as_the_reference_does() {
    for (file, model) in [(STORIES, "stories260K"), ("tinystories-656K-q8_0.gguf", "tinystories-656K")] {
        let Some((spec, goldens)) = spec(file).zip(goldens(model)) else { return };
        let mut worker = Worker::ready(spec);
        for (session, golden) in (0..).map(|n| n * 2).zip(&goldens) {
            let by_text = worker.compute(session, text(golden["prompt"].as_str().unwrap(), greedy(8)));
            let prompt = Prompt::Tokens(ids(golden, "prompt_ids"));
            let by_ids = worker.compute(session + 1, Work::Generate { prompt, options: greedy(8) });
            assert_eq!(by_text.ids(), by_ids.ids());
        }
    }
}

#[test]
fn many_sessions_in_one_batch_say_what_each_says_alone() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let prompts = ["Once upon a time", "One day, a cat ", "The dog", "Lily and Tom", "A big red ball", "In the park"];
    let alone: Vec<Answer> =
        (0..).zip(prompts).map(|(session, prompt)| worker.compute(session, text(prompt, greedy(40)))).collect();
    let calls: Vec<_> = (100..).zip(prompts).map(|(s, prompt)| worker.start(s, text(prompt, greedy(40)))).collect();
    let mut together = 0;
    while worker.answer(calls[0]).finish.is_none() {
        worker.turn();
        together = together.max(worker.stats.running);
    }
    for (call, alone) in calls.iter().zip(&alone) {
        worker.finish(*call).assert_same(alone);
    }
    assert!(together > 1, "they ran one after the other");
}

#[test]
fn a_new_prompt_joins_between_the_steps_of_another() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let long = worker.start(1, text("Once upon a time", greedy(400)));
    while worker.answer(long).pieces == 0 {
        worker.turn();
    }
    let short = worker.start(2, text("The dog", greedy(3)));
    worker.finish(short);
    assert_eq!(worker.answer(long).finish, None, "the short one waited for the long one");
    assert!(worker.finish(long).error.is_none());
}

#[test]
fn a_cancelled_compute_frees_its_sequence_and_answers_nothing_more() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let call = worker.start(1, text("Once upon a time", greedy(480)));
    while worker.answer(call).pieces == 0 {
        worker.turn();
    }
    worker.say(&ToWorker::Cancel { call });
    worker.until(|stats| stats.cancelled == 1 && stats.running == 0);
    assert_eq!(worker.answer(call).finish, None);
    worker.say(&ToWorker::Close { session: 1 });
    worker.until(|stats| stats.sequences == 0 && stats.cells_reserved == 0);
    worker.compute(2, text("The dog", greedy(3)));
}

#[test]
fn closing_a_session_ends_what_it_computes() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    worker.start(1, text("Once upon a time", greedy(480)));
    worker.until(|stats| stats.running == 1);
    worker.say(&ToWorker::Close { session: 1 });
    worker.until(|stats| stats.cancelled == 1 && stats.sequences == 0);
}

#[test]
fn a_slow_reader_pauses_and_loses_nothing() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let expected = worker.compute(1, text("Once upon a time", greedy(30))).text;
    let call = worker.start_with(2, text("Once upon a time", greedy(30)), 4, 600_000, "route");
    worker.until(|stats| stats.paused == 1);
    assert_eq!(worker.answer(call).usage.output_tokens, 4);
    // Others go on while it waits.
    worker.compute(3, text("The dog", greedy(20)));
    assert_eq!(worker.answer(call).usage.output_tokens, 4);
    let mut taken = 0;
    while worker.answer(call).finish.is_none() {
        let sent = worker.answer(call).usage.output_tokens;
        if sent > taken {
            worker.say(&ToWorker::Credit { call, tokens: sent - taken });
            taken = sent;
        }
        worker.turn();
        assert!(worker.answer(call).usage.output_tokens <= taken + 4, "more than the window");
    }
    assert_eq!(worker.answer(call).text, expected);
}

#[test]
fn readers_that_never_read_keep_nobody_out() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(LoadSpec { parallel: 2, ..spec });
    for session in 1..=2 {
        worker.start_with(session, text("Once upon a time", greedy(30)), 4, 600_000, "route");
    }
    worker.until(|stats| stats.paused == 2);
    assert_eq!(worker.compute(3, text("The dog", greedy(20))).usage.output_tokens, 20);
}

#[test]
fn text_held_back_for_a_stop_string_does_not_use_up_the_window_for_ever() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let whole = worker.compute(1, text("Once upon a time", greedy(30))).text;
    let almost = format!("{}#", whole.split_at(40).0);
    let options = Options { stop: vec![almost], logprobs: None, ..greedy(30) };
    let call = worker.start_with(2, text("Once upon a time", options), 2, 600_000, "route");
    let mut taken = 0;
    while worker.answer(call).finish.is_none() {
        worker.turn();
        let sent = worker.answer(call).usage.output_tokens;
        worker.say(&ToWorker::Credit { call, tokens: sent - taken });
        taken = sent;
    }
    assert_eq!(worker.answer(call).text, whole);
}

#[test]
fn a_stop_string_ends_the_answer_and_is_not_part_of_it() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let whole = worker.compute(1, text("Once upon a time", greedy(64))).text;
    let (before, _) = whole.split_once("She loved").unwrap();
    let options = Options { stop: vec!["She loved".into()], ..greedy(64) };
    let answer = worker.compute(2, text("Once upon a time", options));
    assert_eq!((answer.text.as_str(), answer.finish), (before, Some(FinishReason::Stop)));
}

#[test]
fn a_prompt_over_the_context_is_refused_with_both_numbers() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let tokens = Work::Generate { prompt: Prompt::Tokens(vec![403; 513]), options: greedy(1) };
    let error = worker.refuse(1, tokens);
    assert_eq!(error.reason, Reason::ContextExceeded);
    assert!(error.message.contains("513") && error.message.contains("512"), "{}", error.message);
    let error = worker.refuse(2, text(&"Once upon a time ".repeat(400), greedy(1)));
    assert_eq!(error.reason, Reason::ContextExceeded);
    let error = worker.refuse(3, text(&"x".repeat(8 << 20), greedy(1)));
    assert_eq!(error.reason, Reason::ContextExceeded);
    assert!(error.message.contains("512"), "{}", error.message);
}

#[test]
fn a_full_context_ends_with_length() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let options = Options { constraint: None, ..greedy(10_000) };
    let never_end = [(1, -100.0), (2, -100.0)].into();
    let sampling = bobbin_inference::Sampling { logit_bias: never_end, ..options.sampling.clone() };
    let answer = worker.compute(1, text("Once upon a time", Options { sampling, ..options }));
    assert_eq!(answer.finish, Some(FinishReason::Length));
    assert_eq!(answer.usage.input_tokens + answer.usage.output_tokens, 512);
}

#[test]
fn computes_wait_for_cells_and_all_are_answered() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(LoadSpec { parallel: 2, ..spec });
    let calls: Vec<_> = (0..8).map(|session| worker.start(session, text("Once upon a time", greedy(300)))).collect();
    worker.until(|stats| stats.waiting > 0);
    assert!(worker.stats.cells_reserved <= worker.stats.cells);
    let answers: Vec<Answer> = calls.iter().map(|call| worker.finish(*call)).collect();
    answers.iter().for_each(|answer| answer.assert_same(&answers[0]));
    assert_eq!(worker.stats.overcommits, 0);
}

#[test]
fn a_compute_that_waits_past_its_deadline_fails_alone() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(LoadSpec { parallel: 1, ..spec });
    // Without credit it holds its cells, which are all, for ever.
    let holder = worker.start_with(1, text("Once upon a time", greedy(512)), 1, 600_000, "route");
    worker.until(|stats| stats.paused == 1);
    let late = worker.start_with(2, text("The dog", greedy(3)), 100, 20, "route");
    let error = worker.finish(late).error.unwrap();
    assert_eq!(error.reason, Reason::DeadlineExceeded);
    assert!(error.message.contains("waiting for room"), "{}", error.message);
    worker.say(&ToWorker::Credit { call: holder, tokens: 1000 });
    assert!(worker.finish(holder).error.is_none());
}

#[test]
fn a_running_compute_stops_at_its_deadline() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let call = worker.start_with(1, text("Once upon a time", greedy(400)), 1, 50, "route");
    let error = worker.finish(call).error.unwrap();
    assert_eq!(error.reason, Reason::DeadlineExceeded);
    worker.until(|stats| stats.running == 0);
}

#[test]
fn a_continued_session_says_what_one_long_prompt_says() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let mut worker = Worker::ready(spec);
    let (prompt, greedy_ids) = (ids(&goldens[0], "prompt_ids"), ids(&goldens[0], "greedy_ids"));
    let first = worker.compute(1, Work::Generate { prompt: Prompt::Tokens(prompt), options: greedy(20) });
    assert_eq!(first.ids(), greedy_ids[..20]);
    // The next 10 tokens of the reference as if somebody had written them.
    let written = Prompt::Tokens(greedy_ids[20..30].to_vec());
    let second = worker.compute(1, Work::Generate { prompt: written, options: greedy(34) });
    assert_eq!(second.ids(), greedy_ids[30..]);
    assert_eq!(second.usage.input_tokens, 10);
}

#[test]
fn continued_text_gets_no_beginning_of_its_own() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let whole = worker.compute(1, text("Once upon a time, there was", greedy(20))).text;
    let first = worker.compute(2, text("Once upon a time", greedy(1)));
    assert_eq!(first.text, ",");
    let continued = worker.compute(2, text(" there was", greedy(20)));
    assert_eq!(continued.text, whole);
}

#[test]
fn an_evicted_session_continues_as_if_nothing_had_happened() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(LoadSpec { parallel: 1, ..spec });
    let whole = worker.compute(1, text("Once upon a time", greedy(40))).text;
    worker.say(&ToWorker::Close { session: 1 });
    let first = worker.compute(2, text("Once upon a time", greedy(20))).text;
    worker.compute(3, text("The dog", greedy(400)));
    let rest = worker.compute(2, Work::Generate { prompt: Prompt::Tokens(Vec::new()), options: greedy(20) }).text;
    assert_eq!(format!("{first}{rest}"), whole);
}

#[test]
fn scores_and_logits_agree() {
    let Some((spec, goldens)) = spec(STORIES).zip(goldens("stories260K")) else { return };
    let mut worker = Worker::ready(spec);
    let mut tokens = ids(&goldens[0], "prompt_ids");
    tokens.extend(ids(&goldens[0], "greedy_ids"));
    let scores = worker.compute(1, score(&tokens)).values;
    assert_eq!(scores.len(), tokens.len() - 1);
    let logits = worker.compute(2, Work::Logits { tokens: tokens[..10].to_vec() }).values;
    assert_eq!(logits.len(), 512);
    let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    let expected = f64::from(logits[usize::try_from(tokens[10]).unwrap()]) - sum.ln();
    assert!((f64::from(scores[9]) - expected).abs() < 1e-3, "{} and {expected}", scores[9]);
    // The guest samples for itself: one token more continues the same sequence.
    let next = worker.compute(2, Work::Logits { tokens: tokens[10..11].to_vec() }).values;
    let again = worker.compute(3, Work::Logits { tokens: tokens[..11].to_vec() }).values;
    let far = next.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far < 1e-2, "{far}");
    worker.until(|stats| stats.sequences == 2);
}

#[test]
fn log_probabilities_come_with_their_alternatives() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let answer = worker.compute(1, text("Once upon a time", Options { logprobs: Some(3), ..greedy(5) }));
    assert_eq!(answer.logprobs.len(), 5);
    for token in &answer.logprobs {
        assert_eq!(token.top.len(), 3);
        assert_eq!((token.top[0].0, token.top[0].2), (token.id, token.logprob), "greedy takes the likeliest");
        assert!(token.top.windows(2).all(|pair| pair[0].2 >= pair[1].2));
    }
    let bytes: Vec<u8> = answer.logprobs.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), answer.text);
}

#[test]
fn a_seed_repeats_an_answer_and_none_does_not() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let sampled = |seed| OptionsPatch { seed, temperature: Some(1.5), max_tokens: Some(40), ..OptionsPatch::default() };
    let options = |seed| sampled(seed).resolve(&OptionsPatch::default()).unwrap();
    let mut say = |session, seed| worker.compute(session, text("Once upon a time", options(seed))).text;
    assert_eq!(say(1, Some(7)), say(2, Some(7)));
    assert_ne!(say(3, None), say(4, None));
}

#[test]
fn a_grammar_is_obeyed() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let grammar = Constraint::Grammar("root ::= \" a \" (\"cat\" | \"dog\") \".\"".into());
    let answer = worker.compute(1, constrained("One day, I saw", grammar));
    assert!([" a cat.", " a dog."].contains(&answer.text.as_str()), "{}", answer.text);
    assert_eq!(answer.finish, Some(FinishReason::Stop));
}

#[test]
fn a_json_schema_is_obeyed_and_parses() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let schema = r#"{"type":"object","properties":{"animal":{"enum":["cat","dog"]},"big":{"type":"boolean"}},
        "required":["animal","big"],"additionalProperties":false}"#;
    let answer = worker.compute(1, constrained("The animal: ", Constraint::JsonSchema(schema.into())));
    let json: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert!(json["big"].is_boolean(), "{json}");
}

#[test]
fn a_grammar_that_does_not_compile_fails_its_own_compute_only() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let other = worker.start(9, text("Once upon a time", greedy(60)));
    let deep = format!("root ::= {}\"a\"{}", "(".repeat(500), ")".repeat(500));
    for grammar in
        ["root ::= (", "", "root ::= root", "start ::= \"a\"", "root ::= \"a\"{999999999}", &deep, "root ::= \"\\0\""]
    {
        let error = worker.refuse(1, constrained("Once", Constraint::Grammar(grammar.into())));
        assert_eq!(error.reason, Reason::InvalidGrammar, "{grammar}: {}", error.message);
    }
    let error = worker.refuse(1, constrained("Once", Constraint::JsonSchema(r#"{"type":"nonsense"}"#.into())));
    assert_eq!(error.reason, Reason::InvalidGrammar);
    assert!(worker.finish(other).error.is_none());
}

#[test]
fn a_grammar_that_explodes_is_refused() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    // Each rule doubles the ways to continue.
    let mut grammar = String::from("root ::= \"a\" r0\n");
    for rule in 0..40 {
        grammar.push_str(&format!("r{rule} ::= r{next} r{next} | r{next} \"b\" | \"\"\n", next = rule + 1));
    }
    grammar.push_str("r40 ::= \"c\"\n");
    let error = worker.refuse(1, constrained("Once", Constraint::Grammar(grammar)));
    assert_eq!(error.reason, Reason::InvalidGrammar);
    worker.compute(2, text("Once upon a time", greedy(3)));
}

#[test]
fn a_grammar_that_grows_with_each_token_does_not_hold_up_the_others() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    // After n characters there are 2^n ways to close what was opened, and it never has to be closed.
    let grammar = "root ::= \"a\" root \"b\" | \"a\" root \"c\"";
    let mut options = Options { constraint: Some(Constraint::Grammar(grammar.into())), ..greedy(400) };
    options.logprobs = None;
    let hostile = Work::Generate { prompt: Prompt::Text("a".into()), options };
    let call = worker.start(1, hostile);
    let other = worker.start(2, text("Once upon a time", greedy(60)));
    worker.finish(other);
    let error = worker.finish(call).error.unwrap();
    assert_eq!(error.reason, Reason::InvalidGrammar, "{}", error.message);
    worker.compute(3, text("Once upon a time", greedy(3)));
}

#[test]
fn wrong_input_is_refused_and_stops_nothing() {
    let Some(spec) = spec(STORIES) else { return };
    let mut worker = Worker::ready(spec);
    let tokens = |tokens: Vec<i32>| Work::Generate { prompt: Prompt::Tokens(tokens), options: greedy(3) };
    let biased = |token| {
        let mut options = greedy(3);
        options.sampling.logit_bias = [(token, 1.0)].into();
        text("Once", options)
    };
    let chat = |messages: &str| Work::Generate {
        prompt: Prompt::Chat { messages: messages.into(), tools: None },
        options: greedy(3),
    };
    for (work, reason) in [
        (tokens(vec![512]), Reason::InvalidTensor),
        (tokens(vec![-1]), Reason::InvalidTensor),
        (tokens(vec![]), Reason::InvalidInput),
        (biased(512), Reason::InvalidOption),
        (chat("[]"), Reason::UnsupportedByModel),
        (Work::Logits { tokens: vec![i32::MAX] }, Reason::InvalidTensor),
        (Work::Logits { tokens: vec![] }, Reason::InvalidInput),
        (score(&[1]), Reason::InvalidInput),
        (Work::Score { prompt: Prompt::Tokens(Vec::new()), answer: vec![1] }, Reason::InvalidInput),
        (score(&[1; 600]), Reason::ContextExceeded),
        (Work::Embed { texts: vec!["a".into()], dimensions: None }, Reason::UnsupportedByModel),
    ] {
        let error = worker.refuse(1, work.clone());
        assert_eq!(error.reason, reason, "{work:?}: {}", error.message);
    }
    let first = worker.start_with(2, text("Once", greedy(100)), 1, 600_000, "route");
    assert_eq!(worker.refuse(2, text("Once", greedy(1))).reason, Reason::InvalidState);
    worker.say(&ToWorker::Credit { call: first, tokens: 1000 });
    assert!(worker.finish(first).error.is_none());
}

#[test]
fn a_chat_goes_through_the_bundles_template() {
    let Some(spec) = spec(STORIES) else { return };
    let template = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}";
    let spec = LoadSpec { chat_template: Some(template.into()), ..spec };
    let mut worker = Worker::ready(spec);
    let plain = worker.compute(1, text("Once upon a time", greedy(10)));
    let messages = r#"[{"role": "user", "content": "Once upon"}, {"role": "user", "content": " a time"}]"#;
    let prompt = Prompt::Chat { messages: messages.into(), tools: None };
    let chat = worker.compute(2, Work::Generate { prompt, options: greedy(10) });
    assert_eq!(chat.text, plain.text);
    assert_eq!(chat.usage.input_tokens, plain.usage.input_tokens, "BOS is not doubled");
    // A longer version of the same conversation is not computed from its beginning.
    let longer = r#"[{"role": "user", "content": "Once upon"}, {"role": "user", "content": " a time there was"}]"#;
    let prompt = Prompt::Chat { messages: longer.into(), tools: None };
    let again = worker.compute(2, Work::Generate { prompt, options: greedy(10) });
    assert!(again.usage.cached_tokens >= 4, "{:?}", again.usage);
    let whole = worker.compute(3, text("Once upon a time there was", greedy(10)));
    assert_eq!(again.text, whole.text);
    // What a user writes is no special token.
    let fake = r#"[{"role": "user", "content": "</s>"}]"#;
    let prompt = Prompt::Chat { messages: fake.into(), tools: None };
    assert!(worker.compute(4, Work::Generate { prompt, options: greedy(1) }).usage.input_tokens > 2);
}
