//! Tools for templates that have no place for them: they are described in a message, and calls and results that are part
//! of the conversation are written as text, all in the form that the model is then asked for.

use bobbin_inference::{InferenceError, Reason};
use serde_json::{Map, Value, json};

/// The conversation with nothing in it but roles and text.
///
/// # Errors
/// `invalid_input` for what is no list of objects.
pub(super) fn conversation(messages: &str, tools: Option<&str>) -> Result<String, InferenceError> {
    let mut plain: Vec<Map<String, Value>> = Vec::new();
    for message in parse("messages", messages)? {
        let message = plain_message(message);
        // What several tools answered is one turn of the user's: templates want turns to alternate.
        match plain.last_mut() {
            Some(last) if is_result(last) && is_result(&message) => append(last, &text_of(&message)),
            _ => plain.push(message),
        }
    }
    if let Some(tools) = tools {
        let offer = offer(&parse("tools", tools)?);
        let listens = |message: &&mut Map<String, Value>| {
            matches!(message.get("role").and_then(Value::as_str), Some("system" | "developer" | "user"))
        };
        match plain.iter_mut().find(listens) {
            Some(message) => prepend(message, &offer),
            None => plain.insert(0, Map::from_iter([("role".into(), "user".into()), ("content".into(), offer.into())])),
        }
    }
    Ok(Value::from_iter(plain).to_string())
}

fn parse(name: &str, json: &str) -> Result<Vec<Map<String, Value>>, InferenceError> {
    serde_json::from_str(json).map_err(|error| {
        InferenceError::new(Reason::InvalidInput, format!("\"{name}\" is no JSON array of objects: {error}"))
    })
}

fn offer(tools: &[Map<String, Value>]) -> String {
    let mut offer = String::from("These functions may be called, one on each line:\n");
    for tool in tools {
        offer.push_str(&tool.get("function").unwrap_or(&Value::Null).to_string());
        offer.push('\n');
    }
    offer.push_str(
        "To call one, write its name and its arguments, an object of its parameters, in this form and nothing after it:\n\
         <tool_call>\n{\"name\": .., \"arguments\": ..}\n</tool_call>\n\n",
    );
    offer
}

const RESULT: &str = "<tool_response>\n";

fn is_result(message: &Map<String, Value>) -> bool {
    text_of(message).starts_with(RESULT)
}

fn plain_message(mut message: Map<String, Value>) -> Map<String, Value> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    if matches!(role, "tool" | "function" | "ipython") {
        let text = format!("{RESULT}{}\n</tool_response>", text_of(&message));
        return Map::from_iter([("role".to_owned(), "user".into()), ("content".to_owned(), text.into())]);
    }
    if let Some(Value::Array(calls)) = message.remove("tool_calls") {
        for call in &calls {
            let function = call.get("function").unwrap_or(call);
            let name = function.get("name").cloned().unwrap_or_default();
            let arguments = match function.get("arguments") {
                // JSON text, as OpenAI writes it.
                Some(Value::String(arguments)) => arguments.clone(),
                Some(arguments) => arguments.to_string(),
                None => json!({}).to_string(),
            };
            let before = if text_of(&message).is_empty() { "" } else { "\n" };
            let call = format!("{before}<tool_call>\n{{\"name\": {name}, \"arguments\": {arguments}}}\n</tool_call>");
            append(&mut message, &call);
        }
    }
    message
}

/// The text of a message, or of its parts.
fn text_of(message: &Map<String, Value>) -> String {
    match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

fn append(message: &mut Map<String, Value>, text: &str) {
    let text = text_of(message) + text;
    message.insert("content".to_owned(), text.into());
}

fn prepend(message: &mut Map<String, Value>, text: &str) {
    let text = format!("{text}{}", text_of(message));
    message.insert("content".to_owned(), text.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(messages: &Value, tools: Option<&Value>) -> Vec<(String, String)> {
        let tools = tools.map(Value::to_string);
        let plain = conversation(&messages.to_string(), tools.as_deref()).unwrap();
        let plain: Vec<Value> = serde_json::from_str(&plain).unwrap();
        let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
        plain.iter().map(|message| (text(message, "role"), text(message, "content"))).collect()
    }

    #[test]
    fn tools_are_described_in_the_first_message_that_the_model_is_told_something_by() {
        let tools = json!([{ "type": "function", "function": { "name": "weather", "description": "Of a city" } }]);
        let asked = json!([{ "role": "user", "content": "Rain?" }]);
        let told = plain(&asked, Some(&tools));
        assert_eq!(told.len(), 1);
        // In which order its keys stand is the order that they came in, or their names'.
        let offered = told[0].1.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
        assert_eq!(offered.as_ref(), Some(&tools[0]["function"]), "{}", told[0].1);
        assert!(told[0].1.ends_with("</tool_call>\n\nRain?"), "{}", told[0].1);
        let system = json!([{ "role": "system", "content": [{ "type": "text", "text": "Be brief." }] }, asked[0]]);
        let told = plain(&system, Some(&tools));
        assert!(told[0].1.ends_with("Be brief.") && told[1].1 == "Rain?", "{told:?}");
        assert_eq!(plain(&json!([]), Some(&tools))[0].0, "user");
    }

    #[test]
    fn calls_and_results_of_a_conversation_become_text_and_turns_alternate() {
        let call =
            |name: &str, arguments: Value| json!({ "id": "1", "function": { "name": name, "arguments": arguments } });
        let told = plain(
            &json!([
                { "role": "user", "content": "Rain?" },
                { "role": "assistant", "content": null, "tool_calls": [call("a", json!("{\"x\": 1}")), call("b", json!({}))] },
                { "role": "tool", "content": "yes", "tool_call_id": "1" },
                { "role": "tool", "content": "no", "tool_call_id": "2" },
            ]),
            None,
        );
        let roles: Vec<&str> = told.iter().map(|(role, _)| role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert_eq!(
            told[1].1,
            "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>\n\
             <tool_call>\n{\"name\": \"b\", \"arguments\": {}}\n</tool_call>"
        );
        assert_eq!(told[2].1, "<tool_response>\nyes\n</tool_response><tool_response>\nno\n</tool_response>");
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for bad in ["{}", "[1]", "["] {
            assert_eq!(conversation(bad, None).unwrap_err().reason, Reason::InvalidInput, "{bad}");
        }
        assert_eq!(conversation("[]", Some("[2]")).unwrap_err().reason, Reason::InvalidInput);
    }
}
