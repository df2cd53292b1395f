//! Whether a JSON schema may be converted to a grammar.
//!
//! The conversion is C++ that recurses and copies: `type` with several names converts its schema once for each,
//! `allOf` writes out what its references refer to, names grow with the path, and optional properties cost the cube
//! of their number. So what it would do is counted first. The converter says nothing about what it refuses; the usual
//! reasons are found here, with their place.

use super::super::ambiguity::MOST_TIMES;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What the converter knows, for messages.
pub(super) const SUPPORTED: &str = "supported are type, enum, const, anyOf, oneOf, allOf, $ref into the same document, \
     properties, required, additionalProperties, items, prefixItems, minItems, maxItems, minLength, maxLength, pattern \
     from ^ to $, format (date, time, date-time, uuid), and minimum and maximum of integers";

/// Bytes of names and of optional properties' rules that the conversion writes, roughly.
const MOST_WORK: u64 = 4 << 20;
/// Schemas in schemas, references that are written out included.
const MOST_NESTED: usize = 64;
const MOST_REFERENCES: usize = 500;
/// Bytes of one property's name, or of one reference.
const MOST_NAME: usize = 256;
/// Bytes of all names on the way to a schema.
const MOST_PATH: usize = 4_096;
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
const PAIRS: [(&str, &str, bool); 4] = [
    ("minItems", "maxItems", true),
    ("minLength", "maxLength", true),
    ("minimum", "maximum", false),
    ("exclusiveMinimum", "exclusiveMaximum", false),
];

/// Counts what converting would do.
///
/// # Errors
/// What is wrong and where.
pub(super) fn check(root: &Value) -> Result<(), String> {
    let mut walk = Walk { root, work: 0, references: HashSet::new(), pending: Vec::new() };
    walk.schema(root, &Place { times: 1, depth: 0, named: 0, path: "#".into() }, false)?;
    while let Some(reference) = walk.pending.pop() {
        let target = walk.target(&reference, &reference)?;
        walk.schema(target, &Place { times: 1, depth: 0, named: reference.len(), path: reference.clone() }, false)?;
    }
    Ok(())
}

struct Walk<'a> {
    root: &'a Value,
    work: u64,
    references: HashSet<String>,
    pending: Vec<String>,
}

/// Where a schema is, and how often it is converted.
struct Place {
    times: u64,
    depth: usize,
    named: usize,
    path: String,
}

impl<'a> Walk<'a> {
    /// `inlined` where a reference is written out instead of becoming a rule of its own.
    fn schema(&mut self, value: &'a Value, place: &Place, inlined: bool) -> Result<(), String> {
        let path = place.path.as_str();
        let Value::Object(schema) = value else { return Err(format!("{path}: a schema must be an object")) };
        if place.depth > MOST_NESTED {
            return Err(format!(
                "{path}: more than {MOST_NESTED} schemas in one another, or an allOf that refers to itself"
            ));
        }
        if place.named > MOST_PATH {
            return Err(format!("{path}: the names up to here have more than {MOST_PATH} bytes"));
        }
        if let Some(reference) = schema.get("$ref") {
            self.charge(place.times.saturating_mul(64 + place.named as u64), path)?;
            return self.reference(reference, place, inlined);
        }
        bounds(schema, path)?;
        let kinds = types(schema, path)?;
        let times = place.times.saturating_mul(kinds);
        let properties = schema.get("properties").and_then(Value::as_object).map_or(0, Map::len) as u64;
        let own = (64 + place.named as u64).saturating_add(properties.saturating_pow(3) / 64);
        self.charge(times.saturating_mul(own), path)?;
        self.children(schema, place, times, inlined)
    }

    fn children(
        &mut self,
        schema: &'a Map<String, Value>,
        place: &Place,
        times: u64,
        inlined: bool,
    ) -> Result<(), String> {
        let path = place.path.as_str();
        let below =
            |named: usize, path: String| Place { times, depth: place.depth + 1, named: place.named + named + 12, path };
        for key in ["properties", "items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf"] {
            let at = format!("{path}/{key}");
            // Alternatives of an allOf are written out with it.
            let inlined = key == "allOf" || (inlined && matches!(key, "anyOf" | "oneOf"));
            match (key, schema.get(key)) {
                (_, None) | ("additionalProperties", Some(Value::Bool(_))) => {}
                ("properties", Some(Value::Object(properties))) => {
                    for (name, property) in properties {
                        if name.len() > MOST_NAME {
                            return Err(format!(
                                "{at}: a name of {} bytes; at most {MOST_NAME} are allowed",
                                name.len()
                            ));
                        }
                        self.schema(property, &below(name.len(), format!("{at}/{name}")), false)?;
                    }
                }
                ("properties", Some(_)) => return Err(format!("{at}: properties must be an object")),
                ("items" | "prefixItems" | "anyOf" | "oneOf" | "allOf", Some(Value::Array(schemas))) => {
                    for (number, schema) in schemas.iter().enumerate() {
                        self.schema(schema, &below(0, format!("{at}/{number}")), inlined)?;
                    }
                }
                ("anyOf" | "oneOf" | "allOf", Some(_)) => return Err(format!("{at}: it must be an array of schemas")),
                (_, Some(schema)) => self.schema(schema, &below(0, at), false)?,
            }
        }
        Ok(())
    }

    fn reference(&mut self, reference: &Value, place: &Place, inlined: bool) -> Result<(), String> {
        let path = place.path.as_str();
        let Value::String(reference) = reference else { return Err(format!("{path}: $ref must be a string")) };
        if reference.len() > MOST_NAME {
            return Err(format!("{path}: a $ref of {} bytes; at most {MOST_NAME} are allowed", reference.len()));
        }
        let target = self.target(reference, path)?;
        if self.references.insert(reference.clone()) {
            if self.references.len() > MOST_REFERENCES {
                return Err(format!("{path}: more than {MOST_REFERENCES} different $ref"));
            }
            self.pending.push(reference.clone());
        }
        if !inlined {
            return Ok(());
        }
        self.schema(
            target,
            &Place { times: place.times, depth: place.depth + 1, named: place.named, path: path.to_owned() },
            true,
        )
    }

    fn target(&self, reference: &str, path: &str) -> Result<&'a Value, String> {
        let Some(inside) = reference.strip_prefix("#/") else {
            return Err(format!("{path}: $ref {reference:?} does not lead into the same document (\"#/...\")"));
        };
        let found = inside.split('/').try_fold(self.root, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|number| items.get(number)),
            _ => None,
        });
        found.ok_or_else(|| format!("{path}: $ref {reference:?} leads nowhere"))
    }

    fn charge(&mut self, work: u64, path: &str) -> Result<(), String> {
        self.work = self.work.saturating_add(work);
        if self.work <= MOST_WORK {
            return Ok(());
        }
        Err(format!("{path}: up to here the schema already makes too large a grammar; name fewer types and properties"))
    }
}

/// How often a schema is converted: once for each type that it names.
fn types(schema: &Map<String, Value>, path: &str) -> Result<u64, String> {
    let known = |value: &Value| match value.as_str() {
        Some(name) if TYPES.contains(&name) => Ok(()),
        _ => Err(format!("{path}: type {value}; it must be one of {}", TYPES.join(", "))),
    };
    // Beside these the type is not looked at.
    let other = ["anyOf", "oneOf", "const", "enum"].iter().any(|key| schema.contains_key(*key));
    match schema.get("type") {
        Some(Value::Array(names)) => {
            names.iter().try_for_each(known)?;
            Ok(names.len().max(1) as u64)
        }
        Some(name) if !other => known(name).map(|()| 1),
        _ => Ok(1),
    }
}

fn bounds(schema: &Map<String, Value>, path: &str) -> Result<(), String> {
    for (least, most, counts) in PAIRS {
        for (key, value) in [least, most].into_iter().filter_map(|key| Some((key, schema.get(key)?))) {
            if counts && value.as_u64().is_none_or(|count| count > MOST_TIMES) {
                return Err(format!("{path}: {key} is {value}; it must be a whole number of at most {MOST_TIMES}"));
            }
        }
        let number = |key| schema.get(key).and_then(Value::as_f64);
        if let (Some(low), Some(high)) = (number(least), number(most))
            && low > high
        {
            return Err(format!("{path}: {least} is {low} and {most} is {high}; no value is both"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, why: &str) {
        let error = check(&serde_json::from_str(text).unwrap()).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }

    #[test]
    fn bounds_that_no_value_meets_are_refused_with_their_place() {
        for (least, most) in [("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum")] {
            let text = format!(r#"{{"properties":{{"a":{{"{least}":5,"{most}":2}}}}}}"#);
            refused(&text, &format!("#/properties/a: {least} is 5 and {most} is 2"));
            check(&serde_json::json!({least: 2, most: 2})).unwrap();
        }
        refused(r#"{"maxItems":2001}"#, "at most 2000");
        refused(r#"{"minLength":-1}"#, "whole number");
    }

    #[test]
    fn what_the_converter_does_not_know_is_named() {
        refused(r#"{"type":"nonsense"}"#, "#: type \"nonsense\"; it must be one of object");
        refused(r##"{"items":{"$ref":"#/$defs/none"}}"##, "#/items: $ref \"#/$defs/none\" leads nowhere");
        refused(r#"{"$ref":"other.json"}"#, "same document");
        refused(r#"{"items":true}"#, "#/items: a schema must be an object");
        check(&serde_json::json!({"const": {"type": "nonsense"}, "properties": {"type": {"type": "string"}}})).unwrap();
    }

    #[test]
    fn what_the_conversion_would_write_out_too_often_is_refused() {
        let mut types = String::from(r#"{"type":"string"}"#);
        for _ in 0..20 {
            types = format!(r#"{{"type":["object","object","object"],"properties":{{"x":{types}}}}}"#);
        }
        refused(&types, "too large");
        let properties: Vec<String> = (0..900).map(|number| format!(r#""p{number}":{{}}"#)).collect();
        refused(&format!(r#"{{"properties":{{{}}}}}"#, properties.join(",")), "too large");
        refused(&format!(r#"{{"properties":{{"{}":{{}}}}}}"#, "é".repeat(200)), "a name of 400 bytes");
    }

    #[test]
    fn an_all_of_that_never_ends_is_refused() {
        refused(r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"$ref":"#/$defs/a"}}}"##, "refers to itself");
        refused(
            r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"properties":{"x":{"allOf":[{"$ref":"#/$defs/a"}]}}}}}"##,
            "refers to itself",
        );
        let mut doubling: Map<String, Value> = (0..40)
            .map(|number| {
                let next = serde_json::json!({"allOf": [{"$ref": format!("#/d{}", number + 1)}]});
                (format!("d{number}"), serde_json::json!({"properties": {"x": next, "y": next}}))
            })
            .collect();
        doubling.insert("d40".into(), serde_json::json!({"type": "object"}));
        doubling.insert("allOf".into(), serde_json::json!([{"$ref": "#/d0"}]));
        assert!(check(&Value::Object(doubling)).is_err());
    }
}
