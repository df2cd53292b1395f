//! What a conversation says, as values for a template: in the order in which it was written, and defused.

use super::super::specials::{Fuse, Specials};
use bobbin_inference::{InferenceError, Reason};
use minijinja::Value;
use minijinja::value::ValueKind;

/// Roles that templates may write between the brackets of their special tokens.
const ROLES: &[&str] = &["system", "developer", "user", "assistant", "model", "tool", "function", "ipython"];

/// Words that templates compare with; see [`Specials`].
const WORDS: &[&str] = &[
    "text",
    "image",
    "image_url",
    "audio",
    "video",
    "function",
    "object",
    "string",
    "number",
    "integer",
    "boolean",
    "array",
    "null",
    "user",
    "assistant",
    "system",
    "tool",
];

/// A conversation whose text makes no special tokens.
pub(super) struct Input {
    pub(super) messages: Value,
    pub(super) tools: Option<Value>,
    /// Puts back what was swapped.
    pub(super) fuse: Fuse,
}

impl Input {
    /// Reads messages and tools, JSON arrays.
    ///
    /// # Errors
    /// `invalid_input` for anything else, and for roles that there are not.
    pub(super) fn new(messages: &str, tools: Option<&str>, specials: &Specials) -> Result<Self, InferenceError> {
        let messages = parse("messages", messages)?;
        let tools = tools.map(|tools| parse("tools", tools)).transpose()?;
        check_roles(&messages)?;
        let mut texts = Vec::new();
        collect(&messages, &mut texts);
        if let Some(tools) = &tools {
            collect(tools, &mut texts);
        }
        let mut fuse = Fuse::new(texts.iter().filter_map(Value::as_str))?;
        let messages = items(&messages).map(|message| defuse_message(&message, specials, &mut fuse));
        let messages = messages.collect::<Result<Vec<_>, _>>()?.into();
        let tools = tools.map(|tools| defuse(&tools, specials, &mut fuse)).transpose()?;
        Ok(Self { messages, tools, fuse })
    }
}

/// Straight to a template's values: their maps keep the order, in which templates write tools and arguments.
fn parse(name: &str, json: &str) -> Result<Value, InferenceError> {
    let value: Value = serde_json::from_str(json).map_err(|error| {
        InferenceError::new(Reason::InvalidInput, format!("\"{name}\" is no JSON: {error}; pass a JSON array"))
    })?;
    if value.kind() != ValueKind::Seq {
        return Err(InferenceError::new(Reason::InvalidInput, format!("\"{name}\" is no JSON array; pass one")));
    }
    Ok(value)
}

/// A template may write a role between the brackets of a special token, so roles come from a list.
fn check_roles(messages: &Value) -> Result<(), InferenceError> {
    for (at, message) in items(messages).enumerate() {
        let role = message.get_attr("role").ok();
        let role = role.as_ref().and_then(Value::as_str);
        if !role.is_some_and(|role| ROLES.contains(&role)) {
            let role = role.map_or_else(|| "none".to_owned(), |role| format!("\"{role}\""));
            return Err(InferenceError::new(
                Reason::InvalidInput,
                format!("message {at} has the role {role}; the roles are {}", ROLES.join(", ")),
            ));
        }
    }
    Ok(())
}

/// All texts, keys included.
fn collect(value: &Value, texts: &mut Vec<Value>) {
    match value.kind() {
        ValueKind::String => texts.push(value.clone()),
        ValueKind::Seq => items(value).for_each(|item| collect(&item, texts)),
        ValueKind::Map => fields(value).for_each(|(key, item)| {
            texts.push(key);
            collect(&item, texts);
        }),
        _ => {}
    }
}

/// Leaves the role, which was checked, as it is.
fn defuse_message(message: &Value, specials: &Specials, fuse: &mut Fuse) -> Result<Value, InferenceError> {
    let field = |(key, item): (Value, Value)| match key.as_str() {
        Some("role") => Ok((key, item)),
        Some("tool_calls") => defuse_field(&key, &with_objects(&item), specials, fuse),
        _ => defuse_field(&key, &item, specials, fuse),
    };
    Ok(Value::from_pairs(fields(message).map(field).collect::<Result<Vec<_>, InferenceError>>()?))
}

/// Calls whose arguments are objects, as templates were written for; OpenAI's clients send JSON text. What is none stays.
fn with_objects(calls: &Value) -> Value {
    let object = |arguments: &Value| {
        let object: Value = serde_json::from_str(arguments.as_str()?).ok()?;
        (object.kind() == ValueKind::Map).then_some(object)
    };
    let change = |map: &Value, key: &str, changed: Value| {
        let field = |(name, item): (Value, Value)| {
            let item = if name.as_str() == Some(key) { changed.clone() } else { item };
            (name, item)
        };
        Value::from_pairs(fields(map).map(field))
    };
    let call = |call: Value| {
        let function = call.get_attr("function").ok().filter(|function| function.kind() == ValueKind::Map)?;
        let arguments = object(&function.get_attr("arguments").ok()?)?;
        Some(change(&call, "function", change(&function, "arguments", arguments)))
    };
    if calls.kind() != ValueKind::Seq {
        return calls.clone();
    }
    items(calls).map(|item| call(item.clone()).unwrap_or(item)).collect()
}

/// Defuses all strings, keys included.
fn defuse(value: &Value, specials: &Specials, fuse: &mut Fuse) -> Result<Value, InferenceError> {
    Ok(match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            fuse.defuse(specials, text, WORDS.contains(&text))?.into()
        }
        ValueKind::Seq => items(value).map(|item| defuse(&item, specials, fuse)).collect::<Result<Vec<_>, _>>()?.into(),
        ValueKind::Map => {
            let properties = value.get_attr("properties").unwrap_or_default();
            let field = |(key, item): (Value, Value)| {
                if key.as_str() == Some("required") && item.kind() == ValueKind::Seq {
                    Ok((key, defuse_required(&item, &properties, specials, fuse)?))
                } else {
                    defuse_field(&key, &item, specials, fuse)
                }
            };
            Value::from_pairs(fields(value).map(field).collect::<Result<Vec<_>, InferenceError>>()?)
        }
        _ => value.clone(),
    })
}

/// Templates look fields up by their names, so those are words.
fn defuse_field(
    key: &Value,
    item: &Value,
    specials: &Specials,
    fuse: &mut Fuse,
) -> Result<(Value, Value), InferenceError> {
    let key = fuse.defuse(specials, key.as_str().unwrap_or_default(), true)?;
    Ok((key.into(), defuse(item, specials, fuse)?))
}

/// A schema's `required` lists keys of its `properties`, with which templates compare it: those stay alike.
fn defuse_required(
    required: &Value,
    properties: &Value,
    specials: &Specials,
    fuse: &mut Fuse,
) -> Result<Value, InferenceError> {
    let names = items(required).map(|name| match name.as_str() {
        Some(text) if properties.get_item(&name).is_ok_and(|property| !property.is_undefined()) => {
            Ok(fuse.defuse(specials, text, true)?.into())
        }
        _ => defuse(&name, specials, fuse),
    });
    Ok(names.collect::<Result<Vec<Value>, InferenceError>>()?.into())
}

fn items(sequence: &Value) -> impl Iterator<Item = Value> {
    sequence.try_iter().into_iter().flatten()
}

fn fields(map: &Value) -> impl Iterator<Item = (Value, Value)> {
    items(map).map(|key| {
        let item = map.get_item(&key).unwrap_or_default();
        (key, item)
    })
}
