//! Calls of tools, by a model that has never seen one: whatever it would say, what it writes are calls of the tools, and
//! their arguments hold to the schemas.

use crate::worker::{Answer, Worker, greedy, spec};
use bobbin_inference::wire::{LoadSpec, ToWorker};
use bobbin_inference::{Calls, Constraint, FinishReason, Options, Prompt, Reason, ToolUse, Work};
use serde_json::{Value, json};

const STORIES: &str = "stories260K-f16.gguf";

/// Templates of the three families, but for what their models were trained to read.
const TAGGED: &str = "{# tools: <tool_call> #}{% for message in messages %}{{ message.content }}{% endfor %}";
const LISTED: &str = "{# tools: [TOOL_CALLS] #}{% for message in messages %}{{ message.content }}{% endfor %}";
const BARE: &str = "{# tools: ipython, \"parameters\" #}{% for message in messages %}{{ message.content }}{% endfor %}";
/// One that knows nothing of tools.
const PLAIN: &str = "{% for message in messages %}{{ message.content }}{% endfor %}";

fn worker(template: &str) -> Option<Worker> {
    Some(Worker::ready(LoadSpec { chat_template: Some(template.into()), ..spec(STORIES)? }))
}

fn function(name: &str, parameters: &Value) -> Value {
    json!({ "type": "function", "function": { "name": name, "description": "what it does", "parameters": parameters } })
}

/// Sampled wildly, so that each seed says something else.
fn wild(seed: u32, tools: &Value, calls: Calls) -> Options {
    let mut options = greedy(300);
    options.logprobs = None;
    options.sampling.temperature = 2.0;
    options.sampling.top_k = 0;
    options.sampling.top_p = 1.0;
    options.sampling.seed = Some(seed);
    let used = ToolUse { tools: tools.to_string(), calls, parallel: true, response: None };
    options.constraint = Some(Constraint::Tools(used));
    options
}

fn ask(options: Options) -> Work {
    let Some(Constraint::Tools(used)) = &options.constraint else { panic!("no tools") };
    let messages = json!([{ "role": "user", "content": "Once upon a time" }]).to_string();
    Work::Generate { prompt: Prompt::Chat { messages, tools: Some(used.tools.clone()) }, options }
}

/// A schema of an object, another one for each seed.
fn schema(seed: u32) -> Value {
    let leaves = [
        json!({ "type": "boolean" }),
        json!({ "type": "integer", "minimum": -20, "maximum": 3000 }),
        json!({ "type": "string", "maxLength": 12 }),
        json!({ "enum": ["red", "green", "a \"quoted\" one", "</tool_call>"] }),
        json!({ "type": "array", "items": { "type": "boolean" }, "maxItems": 3 }),
        json!({ "type": "string", "format": "date" }),
        json!({ "anyOf": [{ "type": "null" }, { "const": 7 }] }),
        json!({ "type": "object", "properties": { "x": { "type": "number", "minimum": 0, "maximum": 9 } }, "required": ["x"],
            "additionalProperties": false }),
    ];
    let leaf = |at: u32| leaves[(at % 8) as usize].clone();
    let mut parameters = json!({ "type": "object", "properties": { "a": leaf(seed), "b": leaf(seed / 2 + 3) },
        "required": ["a"] });
    if seed.is_multiple_of(3) {
        parameters["$defs"] = json!({ "c": leaf(seed / 3) });
        parameters["properties"]["c"] = json!({ "$ref": "#/$defs/c" });
        parameters["required"] = json!(["a", "c"]);
    }
    parameters
}

/// Panics where a call is of no tool, or its arguments are not of the tool's schema.
fn hold(answer: &Answer, tools: &Value) {
    for call in &answer.tool_calls {
        let named = |tool: &&Value| tool["function"]["name"] == call.name.as_str();
        let tool = tools.as_array().unwrap().iter().find(named).unwrap_or_else(|| panic!("{call:?} is of no tool"));
        let arguments: Value =
            serde_json::from_str(&call.arguments).unwrap_or_else(|error| panic!("{call:?}: {error}"));
        let parameters = &tool["function"]["parameters"];
        let validator = jsonschema::options().should_validate_formats(true).build(parameters).unwrap();
        assert!(arguments.is_object() && validator.is_valid(&arguments), "{parameters} allows {arguments}");
    }
}

#[test]
fn calls_that_must_be_made_parse_and_hold_to_their_schemas_over_many_seeds() {
    for template in [TAGGED, LISTED, BARE] {
        let Some(mut worker) = worker(template) else { return };
        let mut made = 0;
        for seed in 0..40 {
            let tools = json!([function("first", &schema(seed)), function("second", &schema(seed * 7 + 1))]);
            let answer = worker.compute(u64::from(seed), ask(wild(seed, &tools, Calls::Some)));
            assert_eq!(answer.text, "", "{answer:?}");
            hold(&answer, &tools);
            match answer.finish {
                Some(FinishReason::ToolCalls) => {
                    assert!(!answer.tool_calls.is_empty(), "{answer:?}");
                }
                // Cut off before the last call was whole.
                finish => assert_eq!(finish, Some(FinishReason::Length), "{answer:?}"),
            }
            made += usize::from(!answer.tool_calls.is_empty());
        }
        assert!(made >= 20, "only {made} of 40 have a whole call: {template}");
    }
}

#[test]
fn a_template_without_a_place_for_tools_offers_them_in_a_message() {
    let Some(mut worker) = worker(PLAIN) else { return };
    let flag = json!({ "type": "object", "properties": { "on": { "type": "boolean" } }, "required": ["on"] });
    let tools = json!([function("first", &flag)]);
    let mut options = wild(1, &tools, Calls::Some);
    if let Some(Constraint::Tools(used)) = &mut options.constraint {
        used.parallel = false;
    }
    let answer = worker.compute(1, ask(options));
    assert_eq!((answer.tool_calls.len(), answer.finish), (1, Some(FinishReason::ToolCalls)));
    hold(&answer, &tools);
    assert!(answer.usage.input_tokens > 60, "they are described: {:?}", answer.usage);
}

#[test]
fn the_tool_that_is_named_is_called_and_once_where_one_call_is_wanted() {
    let Some(mut worker) = worker(TAGGED) else { return };
    let flag = json!({ "type": "object", "properties": { "on": { "type": "boolean" } }, "required": ["on"] });
    let tools = json!([function("first", &flag), function("second", &flag)]);
    for seed in 0..12 {
        let mut options = wild(seed, &tools, Calls::Of("second".into()));
        if let Some(Constraint::Tools(used)) = &mut options.constraint {
            used.parallel = false;
        }
        let answer = worker.compute(u64::from(seed), ask(options));
        let names: Vec<&str> = answer.tool_calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!((names.as_slice(), answer.finish), (["second"].as_slice(), Some(FinishReason::ToolCalls)));
        hold(&answer, &tools);
    }
}

#[test]
fn a_model_that_is_free_to_call_tells_its_story_as_if_there_were_no_tools() {
    for template in [TAGGED, LISTED, BARE] {
        let Some(mut worker) = worker(template) else { return };
        let tools = json!([function("first", &schema(1))]);
        let used = ToolUse { tools: tools.to_string(), calls: Calls::Free, parallel: true, response: None };
        let free = Options { constraint: Some(Constraint::Tools(used)), ..greedy(40) };
        let answer = worker.compute(1, ask(free.clone()));
        let without = Work::Generate {
            prompt: Prompt::Chat {
                messages: json!([{ "role": "user", "content": "Once upon a time" }]).to_string(),
                tools: None,
            },
            options: greedy(40),
        };
        let plain = worker.compute(2, without);
        answer.assert_same(&plain);
        assert_eq!((answer.finish, answer.tool_calls.len()), (plain.finish, 0));
        assert!(answer.pieces > 10, "it streams: {} pieces", answer.pieces);
        // Stop strings end text as ever.
        let stopped = worker.compute(3, ask(Options { stop: vec![" a".into()], ..free }));
        assert_eq!(stopped.finish, Some(FinishReason::Stop));
        assert!(!stopped.text.contains(" a"), "{}", stopped.text);
    }
}

#[test]
fn a_call_that_is_made_freely_comes_whole_with_the_last_piece() {
    let Some(mut worker) = worker(BARE) else { return };
    let tools = json!([function(
        "first",
        &json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 0,
        "maximum": 99 } }, "required": ["n"] })
    )]);
    // The answer is led to where a call begins, and from there on the grammar leads it.
    let brace = worker.compute(
        100,
        Work::Generate {
            prompt: Prompt::Text("Once".into()),
            options: Options { constraint: Some(Constraint::Grammar("root ::= \"{\"".into())), ..greedy(4) },
        },
    );
    let brace = brace.ids()[0];
    for seed in 0..8 {
        let mut options = wild(seed, &tools, Calls::Free);
        options.sampling.logit_bias = [(brace, 100.0)].into();
        options.stop = vec!["first".into()];
        let call = worker.start_with(u64::from(seed), ask(options), 4, 600_000, "route");
        while worker.answer(call).finish.is_none() {
            assert!(worker.answer(call).tool_calls.is_empty());
            let taken = worker.answer(call).usage.output_tokens;
            worker.turn();
            // What is held back gives its credit back all the same.
            let more = worker.answer(call).usage.output_tokens - taken;
            worker.say(&ToWorker::Credit { call, tokens: more });
        }
        let answer = worker.finish(call);
        assert_eq!((answer.text.as_str(), answer.finish), ("", Some(FinishReason::ToolCalls)));
        assert_eq!(answer.tool_calls.len(), 1);
        hold(&answer, &tools);
    }
}

#[test]
fn tools_that_no_grammar_can_hold_are_refused_and_the_worker_goes_on() {
    let Some(mut worker) = worker(TAGGED) else { return };
    let deep = (0..70).fold(json!({ "type": "null" }), |schema, _| json!({ "type": "array", "items": schema }));
    let many = |schema: &Value| {
        Value::from_iter((0..128).map(|at| function(&format!("tool_{at}"), &json!({ "properties": { "x": schema } }))))
    };
    let hostile = json!({ "type": "string", "pattern": "^((a|b|ab)*c){1,400}(x+x+)+y$" });
    let property = |schema: Value| {
        json!([function("first", &json!({ "type": "object", "properties": { "x": schema }, "required": ["x"] }))])
    };
    for (tools, reason) in [
        (json!([]), Reason::InvalidInput),
        (json!([{ "type": "function" }]), Reason::InvalidInput),
        (json!([function("no name", &json!({}))]), Reason::InvalidInput),
        (json!([function("first", &json!({ "type": "array" }))]), Reason::InvalidInput),
        (property(json!({ "type": "nonsense" })), Reason::InvalidGrammar),
        (property(json!({ "type": "array", "uniqueItems": true })), Reason::InvalidGrammar),
        (property(json!({ "$ref": "https://example.org/schema" })), Reason::InvalidGrammar),
        (json!([function("first", &json!({ "x-guidance": { "lenient": true } }))]), Reason::InvalidGrammar),
        (property(json!({ "type": "string", "pattern": "(" })), Reason::InvalidGrammar),
        (property(deep), Reason::InvalidGrammar),
    ] {
        let error = worker.refuse(1, ask(wild(1, &tools, Calls::Some)));
        assert_eq!(error.reason, reason, "{tools}: {}", error.message);
    }
    let unknown = worker.refuse(1, ask(wild(1, &property(json!({})), Calls::Of("second".into()))));
    assert_eq!(unknown.reason, Reason::InvalidOption);
    // However large and however slow, stories go on beside it, and it ends.
    for tools in [many(&hostile), many(&json!({ "type": "string", "minLength": 100_000, "maxLength": 200_000 }))] {
        let story = worker.start(7, Work::Generate { prompt: Prompt::Text("The dog".into()), options: greedy(60) });
        let call = worker.start(8, ask(wild(1, &tools, Calls::Some)));
        assert_eq!(worker.finish(story).error, None);
        let answer = worker.finish(call);
        match &answer.error {
            Some(error) => assert_eq!(error.reason, Reason::InvalidGrammar, "{}", error.message),
            None => hold(&answer, &tools),
        }
    }
}
