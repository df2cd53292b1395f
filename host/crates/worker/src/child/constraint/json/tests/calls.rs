//! Whatever the tools and whatever the model would say: the arguments of a call are of the tool's schema.

use super::super::super::super::tools::written::Written;
use super::super::super::super::tools::{Form, Writing, grammar, offer};
use super::*;
use bobbin_inference::{Calls, ToolCall, ToolUse};
use std::collections::BTreeMap;

const FORMS: [Form; 3] = [Form::Tagged, Form::Listed, Form::Bare];

fn writing(form: Form) -> Writing {
    Writing { form, opener: None }
}

fn used(schemas: &[&Value], calls: Calls) -> ToolUse {
    let tool = |(at, schema): (usize, &&Value)| {
        // References are to the root of a schema, which is the parameters'.
        let (mut schema, mut definitions) = (Value::clone(schema), json!({}));
        if let Some(own) = schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
            definitions = own;
        }
        let parameters = json!({ "type": "object", "properties": { "value": schema, "more": { "type": "boolean" } },
            "required": ["value"], "$defs": definitions });
        json!({ "type": "function", "function": { "name": format!("tool_{at}"), "parameters": parameters } })
    };
    let tools = Value::from_iter(schemas.iter().enumerate().map(tool)).to_string();
    ToolUse { tools, calls, parallel: true, response: None }
}

fn compiled(writing: Writing, used: &ToolUse) -> Result<Json, String> {
    let tools = offer::read(used).unwrap();
    let answer = grammar::answer(writing, used, &tools).unwrap();
    let part = |(at, tool): (usize, offer::Tool)| Part {
        name: grammar::arguments(at),
        what: format!("the parameters of {}", tool.name),
        schema: tool.schema,
    };
    let response = used.response.iter().map(|schema| Part {
        name: grammar::RESPONSE.to_owned(),
        what: "the response".to_owned(),
        schema: serde_json::from_str(schema).unwrap(),
    });
    Json::of_parts(&shared(), answer.lark, tools.into_iter().enumerate().map(part).chain(response).collect())
}

/// Whether it has definitions elsewhere than at its root, which its references are not to.
fn has_inner_definitions(schema: &Value) -> bool {
    let all = schema.to_string().matches("$defs").count();
    all > if schema.get("$defs").is_some() { 3 } else { 0 }
}

/// Text and calls of an answer.
fn read(form: Form, text: &[u8]) -> (String, Vec<ToolCall>) {
    let mut written = Written::new(writing(form));
    let mut said = String::new();
    written.push(std::str::from_utf8(text).unwrap(), &mut said);
    let calls = written.finish(false, &mut said);
    (said, calls)
}

/// Panics where a call is none of the tools', or not of its schema.
fn hold(used: &ToolUse, calls: &[ToolCall]) {
    let schemas: BTreeMap<String, Value> =
        offer::read(used).unwrap().into_iter().map(|tool| (tool.name, tool.schema)).collect();
    for call in calls {
        let schema = schemas.get(&call.name).unwrap_or_else(|| panic!("{call:?} is of no tool"));
        let arguments = match serde_json::from_str::<Value>(&call.arguments) {
            Ok(arguments) => arguments,
            // JSON has no largest number, and this reader does.
            Err(error) if error.to_string().contains("number out of range") => continue,
            Err(error) => panic!("{call:?}: {error}"),
        };
        let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
        assert!(validator.is_valid(&arguments), "{schema} allows {arguments}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_call_that_must_be_made_holds_to_the_schema_of_its_tool(
        first in schemas(), second in schemas(), seed in any::<u64>(), form in 0..3_usize, parallel in any::<bool>(),
    ) {
        prop_assume!(!has_inner_definitions(&first) && !has_inner_definitions(&second));
        let form = FORMS[form];
        let used = ToolUse { parallel, ..used(&[&first, &second], Calls::Some) };
        let mut json = compiled(writing(form), &used).unwrap();
        walk(&mut json, seed, "", |text| {
            let (said, calls) = read(form, text);
            assert!(said.is_empty(), "{said:?} before the calls");
            assert!(!calls.is_empty() && (calls.len() == 1 || (parallel && form != Form::Bare)), "{calls:?}");
            hold(&used, &calls);
            true
        });
    }

    #[test]
    fn a_call_that_is_made_freely_holds_as_well(schema in schemas(), seed in any::<u64>(), form in 0..3_usize) {
        prop_assume!(!has_inner_definitions(&schema));
        let form = FORMS[form];
        let (said, begin) = match form {
            Form::Tagged => ("Hm < <tool_cal", "Hm < <tool_cal<tool_call>"),
            Form::Listed => ("Hm [TOOL", "Hm [TOOL[TOOL_CALLS]"),
            Form::Bare => ("", "{"),
        };
        let used = used(&[&schema], Calls::Free);
        let mut json = compiled(writing(form), &used).unwrap();
        walk(&mut json, seed, begin, |text| {
            let (text, calls) = read(form, text);
            assert_eq!(text, said);
            assert!(!calls.is_empty());
            hold(&used, &calls);
            true
        });
    }
}

#[test]
fn text_without_calls_is_as_free_as_ever() {
    let used = used(&[&json!({ "type": "null" })], Calls::Free);
    for form in FORMS {
        for text in ["", " Once upon a time,\n there was <b>a fox</b> [1] é\u{1f98a}.", "<tool_cal", "]"] {
            let mut json = compiled(writing(form), &used).unwrap();
            let end = *json.shared.ends.iter().next().unwrap();
            for byte in text.bytes() {
                assert!(json.allows(Token::from(byte)).unwrap(), "{form:?}: {:?} in {text:?}", byte as char);
                json.accept(Token::from(byte)).unwrap();
            }
            assert!(json.allows(end).unwrap(), "{form:?}: {text:?} may not end");
            assert_eq!(read(form, text.as_bytes()), (text.to_owned(), Vec::new()));
        }
    }
}

#[test]
fn an_answer_with_a_schema_of_its_own_is_of_it_or_calls() {
    let response = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
        "additionalProperties": false });
    let used = ToolUse { response: Some(response.to_string()), ..used(&[&json!({ "type": "boolean" })], Calls::Free) };
    let validator = jsonschema::validator_for(&response).unwrap();
    for seed in 0..40 {
        let mut json = compiled(writing(Form::Tagged), &used).unwrap();
        walk(&mut json, seed, "", |text| {
            let (said, calls) = read(Form::Tagged, text);
            match calls.as_slice() {
                [] => assert!(validator.is_valid(&serde_json::from_str(&said).unwrap()), "{said}"),
                calls => hold(&used, calls),
            }
            true
        });
    }
}

#[test]
fn a_schema_that_cannot_be_obeyed_is_named_by_its_tool() {
    let wrong = json!({ "type": "nonsense" });
    let error = compiled(writing(Form::Tagged), &used(&[&json!({}), &wrong], Calls::Some)).err().unwrap();
    assert!(error.starts_with("the parameters of tool_1 cannot be obeyed"), "{error}");
    let unknown = json!({ "type": "array", "uniqueItems": true });
    let error = compiled(writing(Form::Tagged), &used(&[&json!({}), &unknown], Calls::Some)).err().unwrap();
    assert!(error.starts_with("the parameters of tool_1 cannot be obeyed"), "{error}");
}
