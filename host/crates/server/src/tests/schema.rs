//! Holds JSON against the part of JSON Schema that the contract is written in. A keyword from outside that part is
//! an error of the schema, so that nothing stands in the contract that is not held.
//!
//! A validator from elsewhere would change the features of crates that wasmtime is built with, and with them cost
//! every clean build a second wasmtime.

use serde_json::{Map, Value};

pub(crate) struct Schemas<'a>(pub(crate) &'a Value);

impl Schemas<'_> {
    /// Everything in which a value is not as the schema says, with its place.
    pub(crate) fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        self.check(schema, value, "$", &mut errors);
        errors
    }

    /// The component schema of this name.
    pub(crate) fn named(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    fn resolve<'a>(&'a self, reference: &str) -> &'a Value {
        let pointer = reference.strip_prefix('#').unwrap();
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        let rules = schema.as_object().unwrap_or_else(|| panic!("{at}: a schema is an object, not {schema}"));
        for (keyword, rule) in rules {
            let wrong = match keyword.as_str() {
                "description" | "default" => false,
                "$ref" => {
                    self.check(self.resolve(rule.as_str().unwrap()), value, at, errors);
                    false
                }
                "type" => !types(rule).any(|name| is(value, name)),
                "const" => value != rule,
                "enum" => !rule.as_array().unwrap().contains(value),
                "anyOf" => !rule.as_array().unwrap().iter().any(|one| self.errors(one, value).is_empty()),
                "minimum" => value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap()),
                "maximum" => value.as_f64().is_some_and(|number| number > rule.as_f64().unwrap()),
                "maxLength" => value.as_str().is_some_and(|s| s.chars().count() as u64 > rule.as_u64().unwrap()),
                "format" => {
                    assert_eq!(rule, "date-time", "{at}: only this format is known");
                    value.as_str().is_some_and(|text| !is_time(text))
                }
                "required" => {
                    let has = |key: &Value| value.as_object().is_none_or(|o| o.contains_key(key.as_str().unwrap()));
                    !rule.as_array().unwrap().iter().all(has)
                }
                "properties" | "additionalProperties" => {
                    // Both at once, below.
                    false
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"), errors);
                    }
                    false
                }
                unknown => panic!("{at}: {unknown} is no keyword that these tests hold"),
            };
            if wrong {
                errors.push(format!("{at}: {value} against {keyword} {rule}"));
            }
        }
        if let Some(object) = value.as_object() {
            self.properties(rules, object, at, errors);
        }
    }

    fn properties(&self, rules: &Map<String, Value>, object: &Map<String, Value>, at: &str, errors: &mut Vec<String>) {
        for (key, value) in object {
            let at = format!("{at}.{key}");
            match (rules.get("properties").and_then(|known| known.get(key)), rules.get("additionalProperties")) {
                (Some(schema), _) => self.check(schema, value, &at, errors),
                (None, Some(Value::Bool(false))) => errors.push(format!("{at} is not in the contract")),
                (None, Some(schema)) => self.check(schema, value, &at, errors),
                (None, None) => {}
            }
        }
    }
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let several = rule.as_array().into_iter().flatten();
    several.chain(rule.is_string().then_some(rule)).map(|name| name.as_str().unwrap())
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("{unknown} is no type"),
    }
}

/// RFC 3339, UTC, to the millisecond.
fn is_time(text: &str) -> bool {
    let shape = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
    shape.eq("0000-00-00T00:00:00.000Z".chars())
}

#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
            "b": {"type": "array", "items": {"$ref": "#/b"}},
            "c": {"anyOf": [{"const": 1}, {"type": "null"}]},
            "d": {"type": "string", "format": "date-time"},
            "e": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 2}},
        },
    });
    let document = serde_json::json!({"b": {"enum": ["x", "y"]}});
    let count = |value: Value| Schemas(&document).errors(&schema, &value).len();
    let time = "2026-01-02T03:04:05.678Z";
    assert_eq!(count(serde_json::json!({"a": 5, "b": ["x", "y"], "c": null, "d": time, "e": {"k": "ab"}})), 0);
    for bad in [
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!({"a": 0}),
        serde_json::json!({"a": 6}),
        serde_json::json!({"a": 1.5}),
        serde_json::json!({"a": "1"}),
        serde_json::json!({"a": null, "b": ["x", "z"]}),
        serde_json::json!({"a": null, "c": 2}),
        serde_json::json!({"a": null, "d": "2026-01-02T03:04:05Z"}),
        serde_json::json!({"a": null, "e": {"k": "abc"}}),
        serde_json::json!({"a": null, "f": 1}),
    ] {
        assert_eq!(count(bad.clone()), 1, "{bad}");
    }
}
