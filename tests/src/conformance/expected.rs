//! What is expected of an answer, and how it differs.

use crate::{Answer, Asked};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an answer is compared with. What is not said is not compared, but the status.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expected {
    /// 200, if nothing is said.
    status: Option<u16>,
    /// Headers with these values.
    headers: BTreeMap<String, String>,
    /// Headers that the answer does not have.
    without_headers: Vec<String>,
    /// The whole body.
    body: Option<String>,
    /// Parts of the body.
    contains: Vec<String>,
    /// What is no part of the body.
    lacks: Vec<String>,
    /// The whole body, as JSON in any notation.
    json: Option<Json>,
    /// JSON of which the body has at least these fields.
    includes: Option<Json>,
    /// What the web server is asked meanwhile, in this order.
    asked: Vec<ExpectedAsked>,
    /// What the broker hands on, each a topic and a text.
    pub(super) messages: Vec<(String, String)>,
}

/// What the web server is asked. What is not said is not compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedAsked {
    method: Option<String>,
    target: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
}

/// JSON in a text: TOML has no null.
#[derive(Debug)]
struct Json(Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = serde_json::from_str(&text);
        value.map(Self).map_err(|error| serde::de::Error::custom(format!("{text:?} is no JSON: {error}")))
    }
}

impl Expected {
    /// How an answer differs, a line for each difference.
    pub(super) fn differences(&self, answer: &Answer) -> Vec<String> {
        let mut differs = Vec::new();
        let status = self.status.unwrap_or(200);
        if answer.status() != status {
            differs.push(format!("the status is {}, not {status}", answer.status()));
        }
        for (name, value) in &self.headers {
            if answer.header(name) != Some(value) {
                differs.push(format!("the header {name} is {:?}, not {value:?}", answer.header(name)));
            }
        }
        for name in &self.without_headers {
            if let Some(value) = answer.header(name) {
                differs.push(format!("there is a header {name}: {value:?}"));
            }
        }
        differs.extend(self.differences_of_body(answer.text()));
        differs
    }

    fn differences_of_body(&self, text: &str) -> Vec<String> {
        let mut differs = Vec::new();
        if let Some(body) = self.body.as_deref().filter(|body| *body != text) {
            differs.push(format!("the body is {text:?}, not {body:?}"));
        }
        let missing = self.contains.iter().filter(|part| !text.contains(part.as_str()));
        differs.extend(missing.map(|part| format!("the body does not contain {part:?}")));
        let surplus = self.lacks.iter().filter(|part| text.contains(part.as_str()));
        differs.extend(surplus.map(|part| format!("the body contains {part:?}")));
        if self.json.is_none() && self.includes.is_none() {
            return differs;
        }
        match serde_json::from_str::<Value>(text) {
            Ok(found) => {
                if let Some(Json(json)) = self.json.as_ref().filter(|json| json.0 != found) {
                    differs.push(format!("the body is the JSON {found}, not {json}"));
                }
                if let Some(Json(least)) = self.includes.as_ref().filter(|least| !includes(&found, &least.0)) {
                    differs.push(format!("the body is the JSON {found}, which does not include {least}"));
                }
            }
            Err(error) => differs.push(format!("the body is no JSON: {error}")),
        }
        differs
    }

    /// How what the web server was asked differs.
    pub(super) fn differences_of_asked(&self, asked: &[Asked]) -> Vec<String> {
        let mut differs = Vec::new();
        if asked.len() != self.asked.len() {
            differs.push(format!(
                "the web server was asked {} times, not {}: {asked:?}",
                asked.len(),
                self.asked.len()
            ));
        }
        differs.extend(self.asked.iter().zip(asked).flat_map(|(expected, asked)| expected.differences(asked)));
        differs
    }
}

impl ExpectedAsked {
    fn differences(&self, asked: &Asked) -> Vec<String> {
        let fields = [
            ("method", self.method.as_ref(), &asked.method),
            ("target", self.target.as_ref(), &asked.target),
            ("body", self.body.as_ref(), &asked.body),
        ];
        let fields = fields.into_iter().filter_map(|(name, expected, found)| {
            let expected = expected.filter(|expected| *expected != found)?;
            Some(format!("the web server got the {name} {found:?}, not {expected:?}"))
        });
        let headers = self.headers.iter().filter_map(|(name, expected)| {
            let found = asked.headers.get(name);
            (found != Some(expected))
                .then(|| format!("the web server got the header {name}: {found:?}, not {expected:?}"))
        });
        fields.chain(headers).collect()
    }
}

/// Whether a value has what another one says: of objects the fields that it names, of anything else all of it.
fn includes(found: &Value, least: &Value) -> bool {
    match (found, least) {
        (Value::Object(found), Value::Object(least)) => {
            least.iter().all(|(name, least)| found.get(name).is_some_and(|found| includes(found, least)))
        }
        (Value::Array(found), Value::Array(least)) => {
            found.len() == least.len() && found.iter().zip(least).all(|(found, least)| includes(found, least))
        }
        _ => found == least,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expected(toml: &str) -> Expected {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn every_expectation_of_a_body_can_fail_and_hold() {
        let body = r#"{"a": 1, "b": [{"c": null}]}"#;
        for (toml, holds) in [
            ("", true),
            (r#"contains = ['"a": 1', "null"]"#, true),
            (r#"contains = ["null", "true"]"#, false),
            (r#"lacks = ["true"]"#, true),
            (r#"lacks = ["true", "null"]"#, false),
            (r#"body = "{}""#, false),
            (r#"json = '{"b": [{"c": null}], "a": 1}'"#, true),
            (r#"json = '{"a": 1}'"#, false),
            (r#"includes = '{"b": [{}]}'"#, true),
            (r#"includes = '{"b": []}'"#, false),
            (r#"includes = '{"d": null}'"#, false),
        ] {
            assert_eq!(expected(toml).differences_of_body(body).is_empty(), holds, "{toml}");
        }
        assert!(!expected("json = '1'").differences_of_body("one").is_empty());
        assert!(expected("body = 'one'").differences_of_body("one").is_empty());
    }

    #[test]
    fn what_another_server_was_asked_is_counted_and_compared() {
        let asked = Asked {
            method: "GET".to_owned(),
            target: "/a".to_owned(),
            headers: BTreeMap::from([("x-own".to_owned(), "1".to_owned())]),
            body: String::new(),
            version: "HTTP/1.1".to_owned(),
            client: None,
        };
        for (toml, holds) in [
            ("", false),
            ("[[asked]]\ntarget = '/a'\nheaders = { x-own = '1' }", true),
            ("[[asked]]\ntarget = '/b'", false),
            ("[[asked]]\nmethod = 'POST'", false),
            ("[[asked]]\nbody = 'x'", false),
            ("[[asked]]\nheaders = { x-own = '2' }", false),
            ("[[asked]]\n[[asked]]", false),
        ] {
            let differs = expected(toml).differences_of_asked(std::slice::from_ref(&asked));
            assert_eq!(differs.is_empty(), holds, "{toml}: {differs:?}");
        }
    }

    #[test]
    fn a_value_includes_itself_and_fewer_fields() {
        assert!(includes(&json!({"a": {"b": 1, "c": 2}}), &json!({"a": {"b": 1}})));
        assert!(!includes(&json!({"a": {"b": 1}}), &json!({"a": {"b": 2}})));
        assert!(!includes(&json!([1, 2]), &json!([1])));
    }
}
