//! `messages`: a conversation as the API has it becomes one as chat templates know it.

use crate::fields::{Checked, Field, Object};
use crate::refusal::{Refusal, quoted};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Messages {
    /// For the chat template: `role` and `content` of each, which is always text, and what roles have besides.
    pub(crate) chat: Value,
    /// Every text of it, one after the other: for a model without a chat template.
    pub(crate) plain: String,
}

/// Between texts that follow each other: parts of one message, and messages where there is no template.
const BETWEEN: &str = "\n";

/// Why parts that are no text are not taken.
const TEXT_ALONE: &str = "the models here read text alone; it takes 'text'";

impl Messages {
    /// Reads the field.
    pub(crate) fn read(field: Field) -> Checked<Self> {
        let mut called = BTreeSet::new();
        let messages = field.array_of("an array of messages", usize::MAX)?;
        let chat = messages.into_iter().map(|message| self::message(message, &mut called));
        let chat = chat.collect::<Checked<Vec<Value>>>()?;
        let texts = chat.iter().filter_map(|message| message.get("content")?.as_str()).filter(|text| !text.is_empty());
        let plain = texts.collect::<Vec<_>>().join(BETWEEN);
        Ok(Self { chat: chat.into(), plain })
    }
}

/// One message. `called` are the ids of the calls that came before it.
fn message(field: Field, called: &mut BTreeSet<String>) -> Checked<Value> {
    let mut message = field.object()?;
    let role = message.need("role", "a string such as 'user'")?;
    let role = role.one_of(["system", "developer", "user", "assistant", "tool"], &["function"])?;
    let mut known = Map::new();
    // Templates of models that anybody may have know no developer, whom newer models of OpenAI's take for the system.
    known.insert("role".to_owned(), if role == "developer" { "system" } else { role }.into());
    let content = match role {
        "assistant" => assistant(&mut message, &mut known, called)?,
        "tool" => result(&mut message, &mut known, called)?,
        _ => text(message.need("content", CONTENT)?, &["text"])?,
    };
    known.insert("content".to_owned(), content.into());
    if let Some(name) = message.take("name") {
        known.insert("name".to_owned(), name.string()?.into());
    }
    message.end()?;
    Ok(known.into())
}

const CONTENT: &str = "a string or an array of parts";

/// What the model said before: text, or that it refused, or calls; or text and calls.
fn assistant(message: &mut Object, known: &mut Map<String, Value>, called: &mut BTreeSet<String>) -> Checked<String> {
    message.unsupported("audio", "the models here read text alone")?;
    message.unsupported("function_call", "it is older than 'tool_calls', which say the same")?;
    // What an answer of the API has besides, and clients send back with it.
    message.take("annotations").map(|field| field.list("an array")).transpose()?;
    // What the official client for Python makes of a text that it has parsed, and sends back with it.
    message.ignore("parsed");
    let refusal = message.take("refusal").map(Field::string).transpose()?;
    let calls = message.take("tool_calls").map(|field| calls(field, called)).transpose()?;
    let content = message.take("content").map(|field| text(field, &["text", "refusal"])).transpose()?;
    if content.is_none() && refusal.is_none() && calls.is_none() {
        return Err(Refusal::missing(&message.path_of("content"), CONTENT));
    }
    if let Some(calls) = calls {
        known.insert("tool_calls".to_owned(), calls);
    }
    Ok(content.or(refusal).unwrap_or_default())
}

/// The calls that the model made.
fn calls(field: Field, called: &mut BTreeSet<String>) -> Checked<Value> {
    let call = |field: Field| {
        let mut call = field.object()?;
        let id = call.need("id", "the id of the call")?.string()?;
        call.need("type", "'function'")?.one_of(["function"], &["custom"])?;
        let mut function = call.need("function", "an object with a name and arguments")?.object()?;
        call.end()?;
        let name = function.need("name", "the name of a function")?.string()?;
        let arguments = function.need("arguments", "JSON in a string")?.string()?;
        // The same of arguments.
        function.ignore("parsed_arguments");
        function.end()?;
        called.insert(id.clone());
        Ok(json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }))
    };
    field.array_of("an array of calls", usize::MAX)?.into_iter().map(call).collect()
}

/// What came of a call.
fn result(message: &mut Object, known: &mut Map<String, Value>, called: &BTreeSet<String>) -> Checked<String> {
    let path = message.path_of("tool_call_id");
    let id = message.need("tool_call_id", "the id of a call")?.string()?;
    if !called.contains(&id) {
        let message = format!("{} is the id of no call in the messages before this one", quoted(&id));
        return Err(Refusal::bad("invalid_value", &path, message));
    }
    known.insert("tool_call_id".to_owned(), id.into());
    text(message.need("content", CONTENT)?, &["text"])
}

/// A text, or parts with texts.
fn text(field: Field, kinds: &[&str]) -> Checked<String> {
    match field.value() {
        Value::String(_) => field.string(),
        Value::Array(_) => {
            let parts = field.array()?.into_iter().map(|part| self::part(part, kinds));
            Ok(parts.collect::<Checked<Vec<_>>>()?.join(BETWEEN))
        }
        other => Err(Refusal::wrong_type(field.path(), CONTENT, other)),
    }
}

/// The text of a part.
fn part(field: Field, kinds: &[&str]) -> Checked<String> {
    let mut part = field.object()?;
    let kind = part.need("type", "'text'")?;
    let path = kind.path().to_owned();
    let kind = kind.string()?;
    match kind.as_str() {
        kind if kinds.contains(&kind) => {}
        "refusal" | "image_url" | "input_audio" | "file" => return Err(Refusal::unsupported_value(&path, TEXT_ALONE)),
        other => {
            let message = format!("'{path}' takes '{}', not {}", kinds.join("', '"), quoted(other));
            return Err(Refusal::bad("invalid_value", &path, message));
        }
    }
    let text = part.need(&kind, "a string")?.string()?;
    // Where a cache of prompts should end: the host finds that out by itself.
    part.take("prompt_cache_breakpoint").map(Field::object).transpose()?;
    part.end()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &Value) -> Checked<Messages> {
        let body = json!({ "messages": messages });
        Messages::read(Object::body(body.to_string().as_bytes())?.take("messages").unwrap())
    }

    #[test]
    fn every_role_becomes_what_templates_know() {
        let arguments = r#"{"city":"Prague"}"#;
        let call = |arguments: Value| json!({ "id": "call_1", "type": "function", "function": { "name": "w", "arguments": arguments } });
        let sent = json!([
            { "role": "developer", "content": "Be brief." },
            { "role": "user", "name": "reader", "content": [{ "type": "text", "text": "Hi" }, { "type": "text", "text": "there" }] },
            { "role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [call(json!(arguments))] },
            { "role": "tool", "tool_call_id": "call_1", "content": "sunny" },
            { "role": "assistant", "content": [{ "type": "refusal", "refusal": "No." }] },
            { "role": "system", "content": "" },
        ]);
        let read = read(&sent).unwrap();
        let wanted = json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Hi\nthere", "name": "reader" },
            { "role": "assistant", "content": "", "tool_calls": [call(json!(arguments))] },
            { "role": "tool", "content": "sunny", "tool_call_id": "call_1" },
            { "role": "assistant", "content": "No." },
            { "role": "system", "content": "" },
        ]);
        assert_eq!(read.chat, wanted);
        assert_eq!(read.plain, "Be brief.\nHi\nthere\nsunny\nNo.");
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        let image = json!({ "type": "image_url", "image_url": { "url": "x" } });
        let user = |content: Value| json!([{ "role": "user", "content": content }]);
        for (messages, code, param) in [
            (json!("Hi"), "invalid_type", "messages"),
            (json!([]), "empty_array", "messages"),
            (json!(["Hi"]), "invalid_type", "messages[0]"),
            (json!([{ "content": "Hi" }]), "missing_required_parameter", "messages[0].role"),
            (json!([{ "role": "king", "content": "Hi" }]), "invalid_value", "messages[0].role"),
            (json!([{ "role": "function", "content": "Hi" }]), "unsupported_value", "messages[0].role"),
            (json!([{ "role": "user" }]), "missing_required_parameter", "messages[0].content"),
            (json!([{ "role": "assistant" }]), "missing_required_parameter", "messages[0].content"),
            (json!([{ "role": "user", "content": "Hi", "mood": "good" }]), "unknown_parameter", "messages[0].mood"),
            (user(json!(1)), "invalid_type", "messages[0].content"),
            (user(json!([])), "empty_array", "messages[0].content"),
            (user(json!([{ "type": "text", "text": 1 }])), "invalid_type", "messages[0].content[0].text"),
            (user(json!([{ "type": "smell" }])), "invalid_value", "messages[0].content[0].type"),
            (user(json!([{ "type": "text", "text": "" }, image])), "unsupported_value", "messages[0].content[1].type"),
            (
                json!([{ "role": "tool", "tool_call_id": "call_1", "content": "sunny" }]),
                "invalid_value",
                "messages[0].tool_call_id",
            ),
            (json!([{ "role": "assistant", "audio": { "id": "a" } }]), "unsupported_parameter", "messages[0].audio"),
        ] {
            let refusal = read(&messages).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{messages}");
        }
    }
}
