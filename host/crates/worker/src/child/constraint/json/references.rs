//! References that lead to nothing but themselves: no value is described by them, and a parser would look for one without end.

use serde_json::Value;
use std::iter::successors;

/// References in a row that are followed. Any that lead on further are refused as well.
const MOST: usize = 32;

/// Checks every reference of a schema that leads into it.
///
/// # Errors
/// Which one leads back to itself.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut rest = vec![schema];
    while let Some(part) = rest.pop() {
        if let Some(first) = reference(part) {
            let mut led = successors(Some(part), |place| schema.pointer(reference(place)?)).skip(1);
            if led.nth(MOST).is_some() {
                return Err(format!("\"$ref\": \"#{first}\" leads back to itself and to no schema"));
            }
        }
        match part {
            Value::Object(members) => rest.extend(members.values()),
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    Ok(())
}

/// Where in the same schema a reference leads.
fn reference(part: &Value) -> Option<&str> {
    part.get("$ref")?.as_str()?.strip_prefix('#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reference_may_lead_on_and_not_back_to_itself() {
        let chain =
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "type": "string" } } });
        let tree = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        let elsewhere = json!({ "$ref": "#/$defs/nowhere" });
        for sound in [chain, tree, elsewhere] {
            assert_eq!(check(&sound), Ok(()), "{sound}");
        }
        let root = json!({ "$ref": "#" });
        let two = json!({ "properties": { "x": { "$ref": "#/$defs/a" } }, "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
        for endless in [root, two] {
            assert!(check(&endless).unwrap_err().contains("leads back to itself"), "{endless}");
        }
    }
}
