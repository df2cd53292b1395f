//! `response_format`: the grammar that an answer obeys.

use crate::fields::{Checked, Field, Object};
use crate::refusal::Refusal;
use serde_json::{Value, json};

/// The schema that an answer has to obey, if it has to be JSON.
///
/// `json_schema` has its schema in a `json_schema` of its own, as OpenAI's clients write it, or beside `type`, as others
/// do, with the name and whatever else belongs to it. It is obeyed whether `strict` is said or not.
pub(crate) fn schema(field: Field) -> Checked<Option<Value>> {
    let mut format = field.object()?;
    let kind = format.need("type", "'text', 'json_object' or 'json_schema'")?;
    let schema = match kind.one_of(["text", "json_object", "json_schema"], &["grammar", "python"])? {
        "text" => None,
        "json_object" => Some(of(&mut format)?.unwrap_or_else(any_object)),
        _ => Some(match format.take("json_schema") {
            Some(nested) => described(nested.object()?)?,
            None => {
                format.take("name").map(name).transpose()?;
                about(&mut format)?;
                let wanted = "an object with a name and a schema";
                of(&mut format)?.ok_or_else(|| Refusal::missing(&format.path_of("json_schema"), wanted))?
            }
        }),
    };
    format.end()?;
    Ok(schema)
}

/// What stands in `json_schema`.
fn described(mut described: Object) -> Checked<Value> {
    name(described.need("name", "a name of letters, digits, _ and -")?)?;
    about(&mut described)?;
    let schema = of(&mut described)?.unwrap_or_else(any_object);
    described.end()?;
    Ok(schema)
}

/// What is said of a schema and changes nothing here.
fn about(object: &mut Object) -> Checked<()> {
    object.take("description").map(Field::string).transpose()?;
    object.take("strict").map(Field::boolean).transpose()?;
    Ok(())
}

fn of(object: &mut Object) -> Checked<Option<Value>> {
    match object.take("schema") {
        // What a schema says is for the host to understand. Only what is none at all is known here.
        Some(field) => {
            let value = field.value().clone();
            field.object()?;
            Ok(Some(value))
        }
        None => Ok(None),
    }
}

fn any_object() -> Value {
    json!({ "type": "object" })
}

/// A name as functions and schemas have them.
pub(crate) fn name(field: Field) -> Checked<String> {
    let path = field.path().to_owned();
    let name = field.string()?;
    let fits = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if (1..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(name);
    }
    Err(Refusal::bad("invalid_value", &path, format!("'{path}' takes 1 to 64 letters, digits, _ and -")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &Value) -> Checked<Option<Value>> {
        let body = json!({ "response_format": format });
        schema(Object::body(body.to_string().as_bytes())?.take("response_format").unwrap())
    }

    #[test]
    fn a_schema_may_stand_in_either_place() {
        let wanted = json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
        for format in [
            json!({ "type": "json_schema", "json_schema": { "name": "a", "strict": true, "schema": wanted } }),
            json!({ "type": "json_schema", "json_schema": { "name": "a", "description": "b", "schema": wanted } }),
            json!({ "type": "json_schema", "schema": wanted }),
            json!({ "type": "json_schema", "name": "a", "description": "b", "strict": true, "schema": wanted }),
            json!({ "type": "json_object", "schema": wanted }),
        ] {
            assert_eq!(read(&format).unwrap(), Some(wanted.clone()));
        }
        assert_eq!(read(&json!({ "type": "json_object" })).unwrap(), Some(any_object()));
        assert_eq!(
            read(&json!({ "type": "json_schema", "json_schema": { "name": "a" } })).unwrap(),
            Some(any_object())
        );
        assert_eq!(read(&json!({ "type": "text" })).unwrap(), None);
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        for (format, code, param) in [
            (json!("text"), "invalid_type", "response_format"),
            (json!({}), "missing_required_parameter", "response_format.type"),
            (json!({ "type": "xml" }), "invalid_value", "response_format.type"),
            (json!({ "type": "grammar" }), "unsupported_value", "response_format.type"),
            (json!({ "type": "text", "schema": {} }), "unknown_parameter", "response_format.schema"),
            (json!({ "type": "json_schema" }), "missing_required_parameter", "response_format.json_schema"),
            (
                json!({ "type": "json_schema", "name": "a" }),
                "missing_required_parameter",
                "response_format.json_schema",
            ),
            (json!({ "type": "json_schema", "name": "a b", "schema": {} }), "invalid_value", "response_format.name"),
            (json!({ "type": "json_schema", "strict": 1, "schema": {} }), "invalid_type", "response_format.strict"),
            (json!({ "type": "json_object", "name": "a", "schema": {} }), "unknown_parameter", "response_format.name"),
            (
                json!({ "type": "json_schema", "json_schema": { "schema": {} } }),
                "missing_required_parameter",
                "response_format.json_schema.name",
            ),
            (
                json!({ "type": "json_schema", "json_schema": { "name": "a b" } }),
                "invalid_value",
                "response_format.json_schema.name",
            ),
            (
                json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": [] } }),
                "invalid_type",
                "response_format.json_schema.schema",
            ),
        ] {
            let refusal = read(&format).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.param.as_deref()), (code, Some(param)), "{format}");
        }
    }
}
