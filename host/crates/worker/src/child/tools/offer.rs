//! The tools of a request, read and checked.

use super::super::constraint::{MOST_NESTED, depth};
use bobbin_inference::{Calls, InferenceError, Reason, ToolUse};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most tools of a request.
const MOST_TOOLS: usize = 128;
/// The most bytes of a tool's name.
const LONGEST_NAME: usize = 64;
/// Keywords beside which `additionalProperties` would forbid what they describe.
const COMBINING: [&str; 9] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
    "not",
];

/// A tool that may be called.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Tool {
    /// Letters, digits, `_` and `-`.
    pub(in super::super) name: String,
    /// The JSON schema of its arguments; they are an object.
    pub(in super::super) schema: Value,
}

#[derive(Deserialize)]
struct Written {
    r#type: String,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Option<Value>,
}

/// The tools that may be called.
///
/// # Errors
/// `invalid_input` naming what is wrong with which tool, `invalid_option` where the one to call is none of them.
pub(in super::super) fn read(used: &ToolUse) -> Result<Vec<Tool>, InferenceError> {
    let written: Vec<Written> = serde_json::from_str(&used.tools).map_err(|error| {
        wrong(&format!(
            "it is no list of {{\"type\": \"function\", \"function\": {{\"name\", \"description\", \"parameters\"}}}}: {error}"
        ))
    })?;
    if written.is_empty() || written.len() > MOST_TOOLS {
        return Err(wrong(&format!("it has {} tools; pass from 1 to {MOST_TOOLS}, or leave it out", written.len())));
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(written.len());
    for (at, written) in written.into_iter().enumerate() {
        let tool = tool(at, written)?;
        if tools.iter().any(|known| known.name == tool.name) {
            return Err(wrong(&format!("tool {at} has the name \"{}\", as one before it has", tool.name)));
        }
        tools.push(tool);
    }
    if let Calls::Of(name) = &used.calls {
        tools.retain(|tool| tool.name == *name);
        if tools.is_empty() {
            let what = format!("option \"tool_choice\" names \"{name}\", which is none of the tools; name one of them");
            return Err(InferenceError::new(Reason::InvalidOption, what));
        }
    }
    Ok(tools)
}

fn tool(at: usize, written: Written) -> Result<Tool, InferenceError> {
    if written.r#type != "function" {
        return Err(wrong(&format!("tool {at} is of type {:?}; write \"function\"", written.r#type)));
    }
    let name = written.function.name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        let rule = format!("a name has from 1 to {LONGEST_NAME} letters, digits, _ and -");
        return Err(wrong(&format!("tool {at} has the name {name:?}; {rule}")));
    }
    let schema = match written.function.parameters {
        None | Some(Value::Null) => json!({ "type": "object", "additionalProperties": false }),
        Some(Value::Object(schema)) => arguments(&name, schema)?,
        Some(_) => {
            return Err(wrong(&format!("the parameters of the tool \"{name}\" are no JSON schema: pass an object")));
        }
    };
    let deep = depth(&schema);
    if deep > MOST_NESTED {
        let what =
            format!("the parameters of the tool \"{name}\" are nested {deep} deep; at most {MOST_NESTED} are allowed");
        return Err(InferenceError::new(Reason::InvalidGrammar, what));
    }
    Ok(Tool { name, schema })
}

/// Arguments are an object, and where nothing is said of properties that are not described there are none: a model that
/// may invent some does.
fn arguments(name: &str, mut schema: Map<String, Value>) -> Result<Value, InferenceError> {
    match schema.get("type") {
        None => {
            schema.insert("type".to_owned(), "object".into());
        }
        Some(Value::String(kind)) if kind == "object" => {}
        Some(other) => {
            let what = format!("the parameters of the tool \"{name}\" are of type {other}; arguments are an object");
            return Err(wrong(&what));
        }
    }
    if !COMBINING.iter().any(|keyword| schema.contains_key(*keyword)) {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    Ok(Value::Object(schema))
}

fn wrong(what: &str) -> InferenceError {
    InferenceError::new(Reason::InvalidInput, format!("input \"tools\": {what}"))
}
