//! String formats to the letter.
//!
//! llguidance writes a format as a regular expression that is a little wider than the standard behind it: 29 February in
//! every year, a leap second at any time of the day, names of any length. What is missing is added to the schema as
//! keywords of its own.

use serde_json::{Map, Value, json};

/// A day that there is (RFC 3339, `full-date`).
const DATE: &str = concat!(
    "(?:",
    "[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|",
    "02-(?:0[1-9]|1[0-9]|2[0-8]))|",
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29",
    ")",
);
/// A time of every day (RFC 3339, `full-time`), so without the leap seconds that only a few days have.
const TIME: &str =
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?(?:[zZ]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
/// A name of the domain name system, without what international names are encoded as: two hyphens together.
const HOST: &str = r"[a-zA-Z0-9](?:-?[a-zA-Z0-9])*(?:\.[a-zA-Z0-9](?:-?[a-zA-Z0-9])*)*";
/// The longest that its labels may be.
const HOST_LABELS: &str = r"[^.@]{1,63}(?:\.[^.@]{1,63})*";
const HOST_BYTES: u32 = 253;
/// What goes before the `@` (RFC 5321, `Dot-string`); its length is checked apart.
const LOCAL: &str = r"[a-zA-Z0-9_+-]+(?:\.[a-zA-Z0-9_+-]+)*";

/// Keywords whose value is one schema.
const ONE: [&str; 3] = ["items", "additionalProperties", "contains"];
/// Keywords whose value is a list of schemas.
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value has a schema under every name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// Adds to a schema, and to every schema in it, what its format leaves open.
pub(super) fn tighten(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    for (keyword, value) in &mut *schema {
        let keyword = keyword.as_str();
        match value {
            Value::Array(list) if LIST.contains(&keyword) => list.iter_mut().for_each(tighten),
            Value::Object(named) if NAMED.contains(&keyword) => named.values_mut().for_each(tighten),
            Value::Object(_) if ONE.contains(&keyword) => tighten(value),
            _ => {}
        }
    }
    if let Some(missing) = schema.get("format").and_then(Value::as_str).and_then(missing) {
        add(schema, missing);
    }
}

fn missing(format: &str) -> Option<Value> {
    let all = |patterns: &[String], bytes: u32| {
        let patterns: Vec<_> = patterns.iter().map(|text| json!({"pattern": format!("^{text}$")})).collect();
        json!({"type": "string", "allOf": patterns, "maxLength": bytes})
    };
    let one = |pattern: String| json!({"type": "string", "pattern": format!("^{pattern}$")});
    Some(match format {
        "date" => one(DATE.to_owned()),
        "time" => one(TIME.to_owned()),
        "date-time" => one(format!("{DATE}[tT]{TIME}")),
        "hostname" => all(&[HOST.to_owned(), HOST_LABELS.to_owned()], HOST_BYTES),
        "email" => all(&[format!("{LOCAL}@{HOST}"), format!("[^@]{{1,64}}@{HOST_LABELS}")], HOST_BYTES + 1),
        _ => return None,
    })
}

fn add(schema: &mut Map<String, Value>, missing: Value) {
    // Where it is no list, whoever reads the schema says so.
    if let Value::Array(all) = schema.entry("allOf").or_insert_with(|| json!([])) {
        all.push(missing);
    }
}
