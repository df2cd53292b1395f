//! The request of `POST /v1/chat/completions`.

use crate::fields::{Checked, Field, Object};
use crate::format;
use crate::messages::Messages;
use crate::refusal::{Fields, Refusal};
use crate::sampling::Sampling;
use crate::tools::Tools;
use serde_json::{Map, Value};

/// The most alternatives to a token that are told, as at OpenAI's.
const TOP: i64 = 20;
/// Pairs of `metadata`, and how long their halves may be, in characters; as at OpenAI's.
const PAIRS: usize = 16;
const KEY: usize = 64;
const VALUE: usize = 512;

/// A checked request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chat {
    /// The model that is asked for.
    pub(crate) model: String,
    /// What was said.
    pub(crate) messages: Messages,
    /// What may be called.
    pub(crate) tools: Option<Tools>,
    /// How answers are made and sent.
    pub(crate) sampling: Sampling,
    /// Whether tokens are told with their log-probabilities.
    pub(crate) logprobs: bool,
    /// Which field is told where the host refuses what.
    pub(crate) fields: Fields,
}

impl Chat {
    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Checked<Self> {
        let mut body = Object::body(body)?;
        let model = body.need("model", "the name of a model, such as GET /v1/models lists")?.string()?;
        let messages = Messages::read(body.need("messages", "an array of messages")?)?;
        let mut sampling = Sampling::read(&mut body)?;
        if let Some(tokens) = max_tokens(&mut body)? {
            sampling.options = sampling.options.with("max_tokens", tokens);
        }
        let logprobs = logprobs(&mut body, &mut sampling)?;
        let tools = Tools::read(&mut body)?;
        let schema = body.take("response_format").map(format::schema).transpose()?.flatten();
        if let Some(tools) = &tools {
            sampling.options = tools.options(sampling.options);
        }
        let fields = Fields { format: schema.is_some(), tools: tools.is_some(), ..Fields::plain("messages") };
        if let Some(schema) = schema {
            sampling.options = sampling.options.with("json_schema", schema);
        }
        if let Some(field) = body.take("metadata") {
            sampling.options = sampling.options.with("metadata", metadata(field)?);
        }
        others(&mut body)?;
        body.end()?;
        Ok(Self { model, messages, tools, sampling, logprobs, fields })
    }
}

/// Both names of the bound.
fn max_tokens(body: &mut Object) -> Checked<Option<i64>> {
    let bound = |field: Field| field.integer(1, i64::from(u32::MAX));
    let (old, new) = (body.take("max_tokens"), body.take("max_completion_tokens"));
    let (old, new) = (old.map(bound).transpose()?, new.map(bound).transpose()?);
    if old.is_some() && new.is_some() {
        let message = "'max_tokens' and 'max_completion_tokens' are one bound under two names; send the second alone";
        return Err(Refusal::bad("invalid_value", "max_tokens", message));
    }
    Ok(old.or(new))
}

fn logprobs(body: &mut Object, sampling: &mut Sampling) -> Checked<bool> {
    let logprobs = body.take("logprobs").map(Field::boolean).transpose()?.unwrap_or(false);
    let top = body.take("top_logprobs").map(|field| field.integer(0, TOP)).transpose()?;
    if top.is_some() && !logprobs {
        let message = "'top_logprobs' is only for requests with 'logprobs': true";
        return Err(Refusal::bad("invalid_value", "top_logprobs", message));
    }
    if logprobs {
        sampling.options = sampling.options.clone().with("logprobs", true).with("top_logprobs", top.unwrap_or(0));
    }
    Ok(logprobs)
}

/// A few words that people give their requests; the host's records have them.
fn metadata(field: Field) -> Checked<Value> {
    let path = field.path().to_owned();
    let mut pairs = Map::new();
    for (key, value) in field.object()?.rest() {
        let place = value.path().to_owned();
        let value = value.string()?;
        for (what, text, most) in [("the name of", &key, KEY), ("", &value, VALUE)] {
            if text.chars().count() > most {
                let message = format!("{what} '{path}.{key:.100}' has more than {most} characters");
                return Err(Refusal::bad("string_above_max_length", &place, message.trim_start()));
            }
        }
        pairs.insert(key, value.into());
    }
    if pairs.len() > PAIRS {
        let message = format!("'{path}' has {} pairs; there may be at most {PAIRS}", pairs.len());
        return Err(Refusal::bad("object_above_max_properties", &path, message));
    }
    Ok(pairs.into())
}

/// Fields that cannot change an answer are read and let go; those that could are refused by their names.
fn others(body: &mut Object) -> Checked<()> {
    for name in ["prompt_cache_key", "prompt_cache_retention", "safety_identifier"] {
        body.take(name).map(Field::string).transpose()?;
    }
    for name in ["prompt_cache_options", "prediction"] {
        body.take(name).map(Field::object).transpose()?;
    }
    for (name, neutral, others) in [
        ("service_tier", ["auto", "default"].as_slice(), ["flex", "scale", "priority", "fast"].as_slice()),
        ("reasoning_effort", &["none"], &["minimal", "low", "medium", "high", "xhigh", "max"]),
        ("verbosity", &["medium"], &["low", "high"]),
    ] {
        body.take(name).map(|field| only(field, neutral, others)).transpose()?;
    }
    if let Some(field) = body.take("store") {
        let path = field.path().to_owned();
        if field.boolean()? {
            return Err(Refusal::unsupported_value(&path, "answers are not kept; leave it out"));
        }
    }
    if let Some(field) = body.take("modalities") {
        for kind in field.array_of("an array of strings", usize::MAX)? {
            only(kind, &["text"], &["audio"])?;
        }
    }
    for (name, why) in [
        ("audio", "the models here write text alone"),
        ("functions", "it is older than 'tools', which say the same"),
        ("function_call", "it is older than 'tool_choice', which says the same"),
        ("web_search_options", "the models here do not search"),
        ("moderation", "nothing is moderated here"),
    ] {
        body.unsupported(name, why)?;
    }
    Ok(())
}

/// A string that may be one of those that change nothing.
fn only(field: Field, neutral: &[&str], others: &[&str]) -> Checked<()> {
    let path = field.path().to_owned();
    let text = field.string()?;
    let all = neutral.join("' or '");
    match text.as_str() {
        text if neutral.contains(&text) => Ok(()),
        text if others.contains(&text) => {
            Err(Refusal::unsupported_value(&path, format!("it takes '{all}', which is as if it were left out")))
        }
        text => {
            let quoted = crate::refusal::quoted(text);
            Err(Refusal::bad("invalid_value", &path, format!("'{path}' takes '{all}', not {quoted}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(more: &Value) -> Checked<Chat> {
        let mut body = json!({ "model": "story", "messages": [{ "role": "user", "content": "Hi" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Chat::read(body.to_string().as_bytes())
    }

    fn options(more: &Value) -> Value {
        serde_json::to_value(read(more).unwrap().sampling.of_choice(0)).unwrap()
    }

    #[test]
    fn the_host_gets_what_it_has_to_know_and_nothing_besides() {
        assert_eq!(options(&json!({})), json!({}));
        assert_eq!(options(&json!({ "max_tokens": 5 })), json!({ "max_tokens": 5 }));
        assert_eq!(options(&json!({ "max_completion_tokens": 5 })), json!({ "max_tokens": 5 }));
        assert_eq!(options(&json!({ "logprobs": true })), json!({ "logprobs": true, "top_logprobs": 0 }));
        let top = json!({ "logprobs": true, "top_logprobs": 3 });
        assert_eq!(options(&top), top);
        assert_eq!(options(&json!({ "metadata": { "a": "b" } })), json!({ "metadata": { "a": "b" } }));
        let format = json!({ "response_format": { "type": "json_object" } });
        assert_eq!(options(&format), json!({ "json_schema": { "type": "object" } }));
        let neutral = json!({
            "service_tier": "auto", "reasoning_effort": "none", "verbosity": "medium", "store": false,
            "modalities": ["text"], "prompt_cache_key": "k", "prompt_cache_retention": "24h", "safety_identifier": "s",
            "prediction": { "type": "content", "content": "x" }, "prompt_cache_options": { "mode": "implicit" },
        });
        assert_eq!(options(&neutral), json!({}));
    }

    #[test]
    fn what_could_change_an_answer_is_refused_by_its_name() {
        for (more, code, param) in [
            (json!({ "audio": { "voice": "x" } }), "unsupported_parameter", "audio"),
            (json!({ "functions": [] }), "unsupported_parameter", "functions"),
            (json!({ "web_search_options": {} }), "unsupported_parameter", "web_search_options"),
            (json!({ "store": true }), "unsupported_value", "store"),
            (json!({ "modalities": ["text", "audio"] }), "unsupported_value", "modalities[1]"),
            (json!({ "reasoning_effort": "high" }), "unsupported_value", "reasoning_effort"),
            (json!({ "reasoning_effort": "huge" }), "invalid_value", "reasoning_effort"),
            (json!({ "top_k": 5 }), "unknown_parameter", "top_k"),
            (json!({ "max_tokens": 5, "max_completion_tokens": 5 }), "invalid_value", "max_tokens"),
            (json!({ "max_tokens": 0 }), "integer_below_min_value", "max_tokens"),
            (json!({ "top_logprobs": 3 }), "invalid_value", "top_logprobs"),
            (json!({ "logprobs": true, "top_logprobs": 21 }), "integer_above_max_value", "top_logprobs"),
            (json!({ "metadata": { "a": 1 } }), "invalid_type", "metadata.a"),
            (json!({ "metadata": { "a": "x".repeat(513) } }), "string_above_max_length", "metadata.a"),
        ] {
            let refusal = read(&more).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{more}");
        }
    }

    #[test]
    fn a_model_and_messages_have_to_be_there() {
        for (body, param) in
            [(json!({}), "model"), (json!({ "model": "a" }), "messages"), (json!({ "model": null }), "model")]
        {
            let refusal = Chat::read(body.to_string().as_bytes()).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), ("missing_required_parameter", Some(param)));
        }
    }

    #[test]
    fn a_schema_beside_tools_is_for_the_host_to_hold_both() {
        let tool = json!({ "type": "function", "function": { "name": "a" } });
        let both = json!({ "tools": [tool], "response_format": { "type": "json_object" }, "tool_choice": "auto" });
        let fields = read(&both).unwrap().fields;
        assert!(fields.tools && fields.format);
        assert_eq!(options(&both), json!({ "tool_choice": "auto", "json_schema": { "type": "object" } }));
    }
}
