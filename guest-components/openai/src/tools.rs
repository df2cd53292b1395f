//! `tools`, `tool_choice` and `parallel_tool_calls`: what the model may call.

use crate::fields::{Checked, Field, Object};
use crate::format::name;
use crate::refusal::{Refusal, quoted};
use bobbin_wasi_nn::Options;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The most functions of a request, as at OpenAI's.
const TOOLS: usize = 128;

/// Functions that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tools {
    /// For the chat template and the grammar: as they came, with nothing in them that is not known.
    pub(crate) functions: Value,
    choice: Option<Value>,
    parallel: Option<bool>,
}

impl Tools {
    /// Takes the fields that are its own.
    pub(crate) fn read(body: &mut Object) -> Checked<Option<Self>> {
        // None at all is as if the field were left out: clients that make the list as they go send it so.
        let tools = body.take("tools").filter(|tools| tools.value().as_array().is_none_or(|tools| !tools.is_empty()));
        let (choice, parallel) = (body.take("tool_choice"), body.take("parallel_tool_calls"));
        let Some(tools) = tools else {
            let idle = [choice, parallel].into_iter().flatten().next();
            return idle.map_or(Ok(None), |field| {
                let path = field.path();
                Err(Refusal::bad("invalid_value", path, format!("'{path}' is only for requests with 'tools'")))
            });
        };
        let mut names = BTreeSet::new();
        let tools = tools.array_of("an array of tools", TOOLS)?;
        let functions = tools.into_iter().map(|tool| function(tool, &mut names)).collect::<Checked<Value>>()?;
        let choice = choice.map(|field| self::choice(field, &names)).transpose()?;
        let parallel = parallel.map(Field::boolean).transpose()?;
        Ok(Some(Self { functions, choice, parallel }))
    }

    /// The options that say which functions may be called, and how many at once.
    pub(crate) fn options(&self, mut options: Options) -> Options {
        if let Some(choice) = &self.choice {
            options = options.with("tool_choice", choice.clone());
        }
        let calls = self.choice.as_ref().is_none_or(|choice| choice != "none");
        // Where none is to be called, the host asks what the option is for.
        if let Some(parallel) = self.parallel.filter(|_| calls) {
            options = options.with("parallel_tool_calls", parallel);
        }
        options
    }
}

fn function(tool: Field, names: &mut BTreeSet<String>) -> Checked<Value> {
    let mut tool = tool.object()?;
    tool.need("type", "'function'")?.one_of(["function"], &["custom"])?;
    let mut function = tool.need("function", "an object with a name")?.object()?;
    tool.end()?;
    let path = function.path_of("name");
    let name = name(function.need("name", "a name of letters, digits, _ and -")?)?;
    let mut known = json!({ "name": name });
    for (field, value) in [
        ("description", function.take("description").map(Field::string).transpose()?.map(Value::from)),
        ("parameters", function.take("parameters").map(parameters).transpose()?),
        ("strict", function.take("strict").map(Field::boolean).transpose()?.map(Value::from)),
    ] {
        if let (Some(value), Some(known)) = (value, known.as_object_mut()) {
            known.insert(field.to_owned(), value);
        }
    }
    function.end()?;
    if !names.insert(name) {
        return Err(Refusal::bad(
            "invalid_value",
            &path,
            format!("'{path}' is the name of two functions; give each its own"),
        ));
    }
    Ok(json!({ "type": "function", "function": known }))
}

/// A JSON schema, which is the host's to understand.
fn parameters(field: Field) -> Checked<Value> {
    let schema = field.value().clone();
    field.object()?;
    Ok(schema)
}

fn choice(field: Field, names: &BTreeSet<String>) -> Checked<Value> {
    if field.value().is_string() {
        return Ok(field.one_of(["none", "auto", "required"], &[])?.into());
    }
    if !field.value().is_object() {
        return Err(Refusal::wrong_type(field.path(), "a string or an object", field.value()));
    }
    let mut choice = field.object()?;
    choice.need("type", "'function'")?.one_of(["function"], &["allowed_tools", "custom"])?;
    let mut function = choice.need("function", "an object with a name")?.object()?;
    choice.end()?;
    let path = function.path_of("name");
    let name = function.need("name", "the name of a function of 'tools'")?.string()?;
    function.end()?;
    if !names.contains(&name) {
        return Err(Refusal::bad("invalid_value", &path, format!("{} is no function of 'tools'", quoted(&name))));
    }
    Ok(json!({ "type": "function", "function": { "name": name } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Checked<Option<Tools>> {
        let mut body = Object::body(body.to_string().as_bytes())?;
        let tools = Tools::read(&mut body)?;
        body.end()?;
        Ok(tools)
    }

    fn tool(name: &str) -> Value {
        let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
        json!({ "type": "function", "function": { "name": name, "parameters": parameters, "strict": true } })
    }

    #[test]
    fn functions_reach_the_host_as_they_came() {
        let tools = read(&json!({ "tools": [tool("a"), tool("b")], "parallel_tool_calls": false })).unwrap().unwrap();
        assert_eq!(tools.functions, json!([tool("a"), tool("b")]));
        assert_eq!(
            serde_json::to_value(tools.options(Options::new())).unwrap(),
            json!({ "parallel_tool_calls": false })
        );
        assert_eq!(read(&json!({ "tools": [] })).unwrap(), None);
    }

    #[test]
    fn a_choice_is_a_word_or_one_of_the_functions() {
        let named = json!({ "type": "function", "function": { "name": "a" } });
        for choice in [json!("none"), json!("auto"), json!("required"), named] {
            let tools = read(&json!({ "tools": [tool("a")], "tool_choice": choice })).unwrap().unwrap();
            assert_eq!(serde_json::to_value(tools.options(Options::new())).unwrap()["tool_choice"], choice);
        }
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        let with = |choice: Value| json!({ "tools": [tool("a")], "tool_choice": choice });
        for (body, code, param) in [
            (json!({ "tools": [1] }), "invalid_type", "tools[0]"),
            (json!({ "tools": [{ "type": "custom" }] }), "unsupported_value", "tools[0].type"),
            (json!({ "tools": [{ "type": "function" }] }), "missing_required_parameter", "tools[0].function"),
            (json!({ "tools": [tool("a b")] }), "invalid_value", "tools[0].function.name"),
            (json!({ "tools": [tool("a"), tool("a")] }), "invalid_value", "tools[1].function.name"),
            (json!({ "tools": vec![tool("a"); 129] }), "array_above_max_length", "tools"),
            (json!({ "tool_choice": "auto" }), "invalid_value", "tool_choice"),
            (json!({ "parallel_tool_calls": true }), "invalid_value", "parallel_tool_calls"),
            (with(json!("always")), "invalid_value", "tool_choice"),
            (with(json!(1)), "invalid_type", "tool_choice"),
            (with(json!({ "type": "allowed_tools" })), "unsupported_value", "tool_choice.type"),
            (
                with(json!({ "type": "function", "function": { "name": "b" } })),
                "invalid_value",
                "tool_choice.function.name",
            ),
        ] {
            let refusal = read(&body).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{body}");
        }
    }
}
