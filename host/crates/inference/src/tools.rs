//! Tools: which calls an answer may have, and the calls that it has.

use crate::{InferenceError, Reason};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most bytes of the input `tools`: what a grammar is made of.
pub const MAX_TOOLS_BYTES: usize = 128 * 1024;

/// Whether the model calls tools: the option `tool_choice`, as OpenAI writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum ToolChoice {
    /// `"auto"`: as the model likes.
    Auto,
    /// `"none"`: it calls none.
    None,
    /// `"required"`: it calls at least one.
    Required,
    /// `{"type": "function", "function": {"name": ".."}}`: it calls this one.
    Function(String),
}

/// A value that is no choice among tools.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is \"auto\", \"none\", \"required\", or {{\"type\": \"function\", \"function\": {{\"name\": \"..\"}}}} with the name \
     of a tool"
)]
pub struct NoChoice;

impl TryFrom<Value> for ToolChoice {
    type Error = NoChoice;

    fn try_from(value: Value) -> Result<Self, NoChoice> {
        match value.as_str() {
            Some("auto") => return Ok(Self::Auto),
            Some("none") => return Ok(Self::None),
            Some("required") => return Ok(Self::Required),
            Some(_) => return Err(NoChoice),
            None => {}
        }
        let function = value.get("function").filter(|_| value.get("type") == Some(&Value::from("function")));
        let name = function.and_then(|function| function.get("name")).and_then(Value::as_str);
        name.map(|name| Self::Function(name.to_owned())).ok_or(NoChoice)
    }
}

impl From<ToolChoice> for Value {
    fn from(choice: ToolChoice) -> Self {
        match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Function(name) => json!({ "type": "function", "function": { "name": name } }),
        }
    }
}

/// What an answer with tools must obey, as the worker gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// The tools: a JSON array of OpenAI's shape. The worker reads it, since that can take a while.
    pub tools: String,
    /// Which calls there must be.
    pub calls: Calls,
    /// Whether there may be several.
    pub parallel: bool,
    /// A JSON schema, serialised, of an answer without calls.
    pub response: Option<String>,
}

/// Which calls an answer must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Calls {
    /// None, or any.
    Free,
    /// At least one.
    Some,
    /// At least one, of this tool and of no other.
    Of(String),
}

/// A call of a tool that the model wants made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call: the message with its result says it.
    pub id: String,
    /// The function.
    pub name: String,
    /// JSON text of an object that the function's parameters describe.
    pub arguments: String,
}

impl ToolCall {
    /// The JSON of the contract.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "id": self.id, "name": self.name, "arguments": self.arguments })
    }

    /// Bytes that whoever keeps it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.id.len() + self.name.len() + self.arguments.len()
    }
}

/// What a choice among these tools asks of the answer; `None` where no tool may be called.
///
/// # Errors
/// `invalid_option` for a choice without tools, `limit_exceeded` for too many bytes of them.
pub(crate) fn tool_use(
    tools: Option<&str>,
    choice: Option<ToolChoice>,
    parallel: Option<bool>,
) -> Result<Option<ToolUse>, InferenceError> {
    let Some(tools) = tools else {
        let given = [
            ("tool_choice", choice.is_some_and(|choice| choice != ToolChoice::None)),
            ("parallel_tool_calls", parallel.is_some()),
        ];
        return match given.into_iter().find(|(_, given)| *given) {
            None => Ok(None),
            Some((name, _)) => Err(InferenceError::new(
                Reason::InvalidOption,
                format!(
                    "option \"{name}\" is for calls of tools; pass the input \"tools\" beside \"messages\", or leave it out"
                ),
            )),
        };
    };
    if tools.len() > MAX_TOOLS_BYTES {
        return Err(InferenceError::new(
            Reason::LimitExceeded,
            format!(
                "input \"tools\" has {} bytes; at most {MAX_TOOLS_BYTES} are allowed: describe fewer tools",
                tools.len()
            ),
        ));
    }
    let calls = match choice.unwrap_or(ToolChoice::Auto) {
        ToolChoice::None => return Ok(None),
        ToolChoice::Auto => Calls::Free,
        ToolChoice::Required => Calls::Some,
        ToolChoice::Function(name) => Calls::Of(name),
    };
    Ok(Some(ToolUse { tools: tools.to_owned(), calls, parallel: parallel.unwrap_or(true), response: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        let function = json!({ "type": "function", "function": { "name": "weather" } });
        for value in [json!("auto"), json!("none"), json!("required"), function] {
            assert_eq!(Value::from(ToolChoice::try_from(value.clone()).unwrap()), value);
        }
        for bad in [
            json!("any"),
            json!(null),
            json!(1),
            json!({}),
            json!({ "type": "function" }),
            json!({
                "type": "custom", "function": { "name": "weather" }
            }),
        ] {
            assert_eq!(ToolChoice::try_from(bad.clone()), Err(NoChoice), "{bad}");
        }
    }

    #[test]
    fn a_choice_needs_tools_unless_it_is_none() {
        assert_eq!(tool_use(None, None, None), Ok(None));
        assert_eq!(tool_use(None, Some(ToolChoice::None), None), Ok(None));
        for (choice, parallel) in [(Some(ToolChoice::Auto), None), (None, Some(true))] {
            let error = tool_use(None, choice, parallel).unwrap_err();
            assert_eq!(error.reason, Reason::InvalidOption);
            assert!(error.message.contains("\"tools\""), "{}", error.message);
        }
    }

    #[test]
    fn tools_may_be_called_as_the_model_likes_where_nobody_says() {
        let free = tool_use(Some("[{}]"), None, None).unwrap().unwrap();
        assert_eq!((free.calls, free.parallel), (Calls::Free, true));
        let one = tool_use(Some("[{}]"), Some(ToolChoice::Function("f".into())), Some(false)).unwrap().unwrap();
        assert_eq!((one.calls, one.parallel), (Calls::Of("f".into()), false));
        assert_eq!(tool_use(Some("[{}]"), Some(ToolChoice::None), None), Ok(None));
    }

    #[test]
    fn too_many_bytes_of_tools_are_refused_before_they_are_read() {
        let error = tool_use(Some(&" ".repeat(MAX_TOOLS_BYTES + 1)), None, None).unwrap_err();
        assert_eq!(error.reason, Reason::LimitExceeded);
    }
}
