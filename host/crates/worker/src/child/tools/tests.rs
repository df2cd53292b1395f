use super::grammar::{Answer, NotApart, answer};
use super::offer::{Tool, read};
use super::written::Written;
use super::*;
use bobbin_inference::{Calls, Reason, ToolCall, ToolUse};
use proptest::prelude::*;
use serde_json::{Value, json};

const TAGGED: Writing = Writing { form: Form::Tagged, opener: None };
const LISTED: Writing = Writing { form: Form::Listed, opener: None };
const TOKEN: Writing = Writing { form: Form::Listed, opener: Some(5) };
const BARE: Writing = Writing { form: Form::Bare, opener: None };

fn used(tools: &Value, calls: Calls) -> ToolUse {
    ToolUse { tools: tools.to_string(), calls, parallel: true, response: None }
}

fn function(name: &str, parameters: &Value) -> Value {
    json!({ "type": "function", "function": { "name": name, "description": "..", "parameters": parameters, "strict": true } })
}

#[test]
fn a_form_is_found_in_the_template_that_asks_for_it() {
    for (template, form) in [
        (include_str!("../chat/templates/qwen2.jinja"), Form::Tagged),
        (include_str!("../chat/templates/qwen3.jinja"), Form::Tagged),
        (include_str!("../chat/templates/mistral.jinja"), Form::Listed),
        (include_str!("../chat/templates/llama3.jinja"), Form::Bare),
        (include_str!("../chat/templates/gemma.jinja"), Form::Tagged),
        (include_str!("../chat/templates/phi3.jinja"), Form::Tagged),
        ("{{ '[TOOL_CALLS]' ~ name ~ '[ARGS]' }}", Form::Tagged),
        ("", Form::Tagged),
    ] {
        assert_eq!(Form::of(template), form, "{template}");
    }
}

#[test]
fn tools_are_read_with_schemas_of_objects() {
    let tools = json!([
        function("weather", &json!({ "properties": { "city": { "type": "string" } } })),
        { "type": "function", "function": { "name": "now" } },
        function("any", &json!({ "type": "object", "additionalProperties": true })),
        function("either", &json!({ "anyOf": [{ "required": ["a"] }] })),
    ]);
    let tools = read(&used(&tools, Calls::Free)).unwrap();
    let schemas: Vec<&Value> = tools.iter().map(|tool| &tool.schema).collect();
    let closed =
        json!({ "type": "object", "properties": { "city": { "type": "string" } }, "additionalProperties": false });
    assert_eq!(schemas[0], &closed);
    assert_eq!(schemas[1], &json!({ "type": "object", "additionalProperties": false }));
    assert_eq!(schemas[2]["additionalProperties"], true);
    assert_eq!(schemas[3], &json!({ "type": "object", "anyOf": [{ "required": ["a"] }] }));
}

#[test]
fn the_tool_that_must_be_called_is_the_only_one() {
    let tools = json!([function("a", &json!({})), function("b", &json!({}))]);
    let chosen = read(&used(&tools, Calls::Of("b".into()))).unwrap();
    assert_eq!(chosen.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["b"]);
    let error = read(&used(&tools, Calls::Of("c".into()))).unwrap_err();
    assert_eq!(error.reason, Reason::InvalidOption);
    assert!(error.message.contains("\"c\""), "{}", error.message);
}

#[test]
fn tools_that_are_none_are_refused_by_their_place() {
    let deep = |levels: usize| (0..levels).fold(json!({}), |schema, _| json!({ "properties": { "a": schema } }));
    for (tools, reason, why) in [
        (json!([]), Reason::InvalidInput, "from 1 to 128"),
        (json!([1]), Reason::InvalidInput, "\"type\": \"function\""),
        (json!([{ "function": { "name": "a" } }]), Reason::InvalidInput, "missing field `type`"),
        (
            json!([{ "type": "custom", "function": { "name": "a" } }]),
            Reason::InvalidInput,
            "tool 0 is of type \"custom\"",
        ),
        (json!([{ "type": "function" }]), Reason::InvalidInput, "missing field `function`"),
        (json!([function("a b", &json!({}))]), Reason::InvalidInput, "tool 0 has the name \"a b\""),
        (json!([function("", &json!({}))]), Reason::InvalidInput, "letters, digits"),
        (json!([function(&"x".repeat(65), &json!({}))]), Reason::InvalidInput, "from 1 to 64"),
        (json!([function("a\",", &json!({}))]), Reason::InvalidInput, "letters, digits"),
        (
            json!([function("a", &json!({})), function("a", &json!({}))]),
            Reason::InvalidInput,
            "tool 1 has the name \"a\"",
        ),
        (json!([function("a", &json!([]))]), Reason::InvalidInput, "no JSON schema"),
        (json!([function("a", &json!({ "type": "string" }))]), Reason::InvalidInput, "arguments are an object"),
        (json!([function("a", &deep(40))]), Reason::InvalidGrammar, "at most 64"),
        (vec![function("a", &json!({})); 129].into(), Reason::InvalidInput, "129 tools"),
    ] {
        let error = read(&used(&tools, Calls::Free)).unwrap_err();
        assert_eq!(error.reason, reason, "{}", error.message);
        assert!(error.message.contains(why), "{}", error.message);
    }
    let endless = ToolUse { tools: "[".repeat(100_000), ..used(&json!([]), Calls::Free) };
    assert_eq!(read(&endless).unwrap_err().reason, Reason::InvalidInput);
}

fn lark(writing: Writing, used: &ToolUse) -> Answer {
    let tools = [("a", json!({})), ("b", json!({}))].map(|(name, schema)| Tool { name: name.into(), schema });
    answer(writing, used, &tools).unwrap()
}

#[test]
fn a_grammar_begins_with_calls_where_there_must_be_some() {
    let must = used(&json!([]), Calls::Some);
    assert_eq!(
        lark(TAGGED, &must).lark,
        "start: \"<tool_call>\" calls\n\
         calls: tagged (\"\\n<tool_call>\" tagged){0,15}\n\
         tagged: \"\\n\" one \"\\n</tool_call>\"\n\
         one: \"{\\\"name\\\": \\\"a\\\", \\\"arguments\\\": \" @arguments_0 \"}\" | \
         \"{\\\"name\\\": \\\"b\\\", \\\"arguments\\\": \" @arguments_1 \"}\"\n"
    );
    assert!(
        lark(LISTED, &must)
            .lark
            .starts_with("start: \"[TOOL_CALLS]\" calls\ncalls: \"[\" one (\", \" one){0,15} \"]\"\n")
    );
    assert!(
        lark(BARE, &must)
            .lark
            .starts_with("start: calls\ncalls: one\none: \"{\\\"name\\\": \\\"a\\\", \\\"parameters\\\": \"")
    );
    let token = lark(TOKEN, &must);
    assert_eq!((token.after, token.free), (Some(5), false));
    assert!(token.lark.starts_with("start: calls\n"), "{}", token.lark);
}

#[test]
fn one_call_at_most_where_several_are_not_wanted() {
    let one = ToolUse { parallel: false, ..used(&json!([]), Calls::Some) };
    for writing in [TAGGED, LISTED, TOKEN, BARE] {
        assert!(!lark(writing, &one).lark.contains("{0,"), "{writing:?}");
    }
}

#[test]
fn a_schema_for_what_is_no_call_takes_the_place_of_text_where_the_two_can_be_told_apart() {
    let both = ToolUse { response: Some("{}".into()), ..used(&json!([]), Calls::Free) };
    assert!(lark(TAGGED, &both).lark.starts_with("start: @response | \"<tool_call>\" calls\n"));
    for writing in [BARE, TOKEN] {
        assert_eq!(answer(writing, &both, &[]), Err(NotApart));
    }
    // Where there must be calls there is no such answer.
    let must = ToolUse { calls: Calls::Some, ..both };
    assert!(!lark(BARE, &must).lark.contains("response"));
}

/// Text and calls of an answer that comes in these pieces.
fn read_back(writing: Writing, pieces: &[&str]) -> (String, Vec<(String, String)>) {
    let mut written = Written::new(writing);
    let mut text = String::new();
    pieces.iter().for_each(|piece| written.push(piece, &mut text));
    let calls = written.finish(false, &mut text);
    let ids: std::collections::HashSet<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids.len(), calls.len());
    (text, calls.into_iter().map(|ToolCall { name, arguments, .. }| (name, arguments)).collect())
}

fn call(name: &str, arguments: &str) -> (String, String) {
    (name.to_owned(), arguments.to_owned())
}

const NASTY: &str = r#"{"a": "</tool_call>}, {\"name\": \"x\"", "b": [{}, "]"]}"#;

#[test]
fn calls_are_read_back_in_each_form() {
    let answer = format!(
        "Let me see.\n<tool_call>\n{{\"name\": \"a\", \"arguments\": {NASTY}}}\n</tool_call>\n<tool_call>\n{{\"name\": \"b\", \
         \"arguments\": {{}}}}\n</tool_call>"
    );
    let expected = vec![call("a", NASTY), call("b", "{}")];
    assert_eq!(read_back(TAGGED, &[&answer]), ("Let me see.\n".into(), expected.clone()));
    let answer = format!(
        "Hm. [TOOL_CALLS][{{\"name\": \"a\", \"arguments\": {NASTY}}}, {{\"name\": \"b\", \"arguments\": {{}}}}]"
    );
    assert_eq!(read_back(LISTED, &[&answer]), ("Hm. ".into(), expected));
    let answer = format!("{{\"name\": \"a\", \"parameters\": {NASTY}}}");
    assert_eq!(read_back(BARE, &[&answer]), (String::new(), vec![call("a", NASTY)]));
}

#[test]
fn text_without_calls_is_all_there() {
    for text in ["", "Once < upon", "a <tool_cal", "x[TOOL", "It is {\"name\": \"a\"}", "  \n"] {
        assert_eq!(read_back(TAGGED, &[text]), (text.into(), Vec::new()));
        assert_eq!(read_back(LISTED, &[text]), (text.into(), Vec::new()));
        assert_eq!(read_back(BARE, &[text]), (text.into(), Vec::new()));
    }
}

#[test]
fn a_call_that_was_cut_off_is_left_out() {
    let whole = "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>";
    for cut in 0..whole.len() {
        let (head, _) = whole.split_at(cut);
        let (_, calls) = read_back(TAGGED, &[head]);
        let closed = whole.find("}}").unwrap() + 2;
        assert_eq!(calls.len(), usize::from(cut >= closed), "{head}");
    }
}

#[test]
fn what_looks_like_the_beginning_of_a_call_is_left_out_where_the_answer_was_cut() {
    for (writing, said, opener) in
        [(TAGGED, "It is 3 ", "<tool_call>"), (TAGGED, "", "<tool_call>"), (LISTED, "a [b] ", "[TOOL_CALLS]")]
    {
        for cut in 0..=opener.len() {
            let mut written = Written::new(writing);
            let mut text = String::new();
            written.push(&format!("{said}{}", &opener[..cut]), &mut text);
            let calls = written.finish(true, &mut text);
            assert_eq!((text.as_str(), calls.len()), (said, 0), "{cut}");
        }
    }
}

#[test]
fn the_token_that_begins_calls_parts_them_from_the_text() {
    let mut written = Written::new(TOKEN);
    let mut text = String::new();
    written.push("Hm. [TOOL", &mut text);
    assert_eq!(text, "Hm. ");
    written.begin(&mut text);
    assert_eq!(text, "Hm. [TOOL");
    written.push("[{\"name\": \"a\", \"arguments\": {}}]", &mut text);
    let calls = written.finish(false, &mut text);
    assert_eq!((text.as_str(), calls.len()), ("Hm. [TOOL", 1));
    let id = &calls[0].id;
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
}

#[test]
fn an_id_says_that_it_is_a_calls() {
    let mut written = Written::new(TAGGED);
    let mut text = String::new();
    written.push("<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>", &mut text);
    let id = written.finish(false, &mut text)[0].id.clone();
    assert!(id.len() == 29 && id.starts_with("call_"), "{id}");
}

proptest! {
    #[test]
    fn what_is_read_back_does_not_depend_on_how_it_was_cut(
        before in "[a<t_\\[ {\n]{0,12}", name in "[a-z_-]{1,9}", value in "[a<>/\\[\\]{}é\"\\\\]{0,12}", cut in 1usize..7, which in 0usize..3,
    ) {
        let writing = [TAGGED, LISTED, BARE][which];
        let arguments = json!({ "value": value }).to_string();
        let call = format!("{}{arguments}}}", writing.form.head(&name));
        let (before, answer) = match writing.form {
            Form::Tagged => (before.clone(), format!("{before}<tool_call>\n{call}\n</tool_call>")),
            Form::Listed => (before.clone(), format!("{before}[TOOL_CALLS][{call}]")),
            Form::Bare => (String::new(), call),
        };
        let characters: Vec<String> = answer.chars().map(String::from).collect();
        let pieces: Vec<String> = characters.chunks(cut).map(<[String]>::concat).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(read_back(writing, &pieces), (before, vec![(name, arguments)]));
    }
}
