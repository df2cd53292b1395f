//! What each way makes of the keywords of JSON Schema: for each a schema, an answer that obeys it, and one that breaks it by
//! that keyword alone.

use anyhow::{Result, anyhow};
use bobbin_worker::child::compared::{Way, Words};
use std::fmt;

/// The keyword, a schema, an answer of it, and one that is none.
type Probe = (&'static str, &'static str, &'static str, &'static str);

/// Each was held against a validator (the package jsonschema of Python's index, formats included).
const PROBES: [Probe; 41] = [
    ("type", r#"{"type": "integer"}"#, "1", r#""a""#),
    ("type, a list", r#"{"type": ["string", "null"]}"#, "null", "1"),
    ("enum", r#"{"enum": ["a", "b"]}"#, r#""a""#, r#""c""#),
    ("const", r#"{"const": "a"}"#, r#""a""#, r#""b""#),
    ("anyOf", r#"{"anyOf": [{"type": "integer"}, {"type": "boolean"}]}"#, "true", r#""a""#),
    ("oneOf", r#"{"oneOf": [{"type": "integer"}, {"type": "boolean"}]}"#, "true", r#""a""#),
    (
        "allOf, of objects",
        r#"{"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}]}"#,
        r#"{"a": 1, "b": 2}"#,
        r#"{"a": 1}"#,
    ),
    (
        "allOf, of strings",
        r#"{"type": "string", "allOf": [{"minLength": 2}, {"maxLength": 3}]}"#,
        r#""ab""#,
        r#""abcd""#,
    ),
    ("not", r#"{"type": "string", "not": {"const": "a"}}"#, r#""b""#, r#""a""#),
    (
        "if, then",
        r#"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "if": {"required": ["a"]}, "then": {"required": ["b"]}, "additionalProperties": false}"#,
        r#"{"a": 1, "b": 2}"#,
        r#"{"a": 1}"#,
    ),
    ("$ref, into the schema", r##"{"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}"##, "1", r#""a""#),
    (
        "properties",
        r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#,
        r#"{"a": 1}"#,
        r#"{"a": "x"}"#,
    ),
    (
        "required",
        r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#,
        r#"{"a": 1}"#,
        "{}",
    ),
    (
        "additionalProperties, false",
        r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false}"#,
        r#"{"a": 1}"#,
        r#"{"b": 1}"#,
    ),
    (
        "additionalProperties, a schema",
        r#"{"type": "object", "additionalProperties": {"type": "integer"}}"#,
        r#"{"b": 1}"#,
        r#"{"b": "x"}"#,
    ),
    (
        "patternProperties",
        r#"{"type": "object", "patternProperties": {"^x_": {"type": "integer"}}}"#,
        r#"{"x_a": 1}"#,
        r#"{"x_a": "b"}"#,
    ),
    (
        "propertyNames",
        r#"{"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "additionalProperties": {"type": "integer"}}"#,
        r#"{"a": 1}"#,
        r#"{"A": 1}"#,
    ),
    (
        "minProperties",
        r#"{"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}"#,
        r#"{"a": 1}"#,
        "{}",
    ),
    (
        "maxProperties",
        r#"{"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1}"#,
        r#"{"a": 1}"#,
        r#"{"a": 1, "b": 2}"#,
    ),
    (
        "dependentRequired",
        r#"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "dependentRequired": {"a": ["b"]}, "additionalProperties": false}"#,
        r#"{"a": 1, "b": 2}"#,
        r#"{"a": 1}"#,
    ),
    (
        "unevaluatedProperties",
        r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "unevaluatedProperties": false}"#,
        r#"{"a": 1}"#,
        r#"{"b": 1}"#,
    ),
    ("items", r#"{"type": "array", "items": {"type": "integer"}}"#, "[1]", r#"["a"]"#),
    (
        "prefixItems",
        r#"{"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}"#,
        r#"[1, "a"]"#,
        r#"["a", 1]"#,
    ),
    ("minItems", r#"{"type": "array", "items": {"type": "integer"}, "minItems": 2}"#, "[1, 2]", "[1]"),
    ("maxItems", r#"{"type": "array", "items": {"type": "integer"}, "maxItems": 1}"#, "[1]", "[1, 2]"),
    ("uniqueItems", r#"{"type": "array", "items": {"type": "integer"}, "uniqueItems": true}"#, "[1, 2]", "[1, 1]"),
    ("contains", r#"{"type": "array", "items": {"type": "integer"}, "contains": {"const": 1}}"#, "[1]", "[2]"),
    ("minLength", r#"{"type": "string", "minLength": 2}"#, r#""ab""#, r#""a""#),
    ("maxLength", r#"{"type": "string", "maxLength": 2}"#, r#""ab""#, r#""abc""#),
    ("pattern, of the whole text", r#"{"type": "string", "pattern": "^[a-c]{2}$"}"#, r#""ab""#, r#""xy""#),
    ("pattern, of a part", r#"{"type": "string", "pattern": "b+"}"#, r#""abc""#, r#""ac""#),
    ("pattern and maxLength", r#"{"type": "string", "pattern": "^a+$", "maxLength": 2}"#, r#""aa""#, r#""aaa""#),
    ("format, a date", r#"{"type": "string", "format": "date"}"#, r#""2024-02-28""#, r#""hello""#),
    (
        "format, a day that there is not",
        r#"{"type": "string", "format": "date"}"#,
        r#""2023-02-28""#,
        r#""2023-02-30""#,
    ),
    (
        "format, uuid",
        r#"{"type": "string", "format": "uuid"}"#,
        r#""123e4567-e89b-12d3-a456-426614174000""#,
        r#""hello""#,
    ),
    ("format, email", r#"{"type": "string", "format": "email"}"#, r#""anna@example.com""#, r#""hello""#),
    ("format, ipv4", r#"{"type": "string", "format": "ipv4"}"#, r#""192.0.2.1""#, r#""hello""#),
    ("minimum and maximum, of integers", r#"{"type": "integer", "minimum": 10, "maximum": 20}"#, "15", "25"),
    ("minimum and maximum, of numbers", r#"{"type": "number", "minimum": 0.5, "maximum": 1.5}"#, "1.2", "2.5"),
    ("exclusiveMinimum", r#"{"type": "integer", "exclusiveMinimum": 5, "maximum": 9}"#, "6", "5"),
    ("multipleOf", r#"{"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100}"#, "10", "7"),
];

/// What a way makes of a keyword.
enum Verdict {
    /// The schema is no schema to it: whoever wrote it is told.
    Refused,
    /// It takes what obeys, and not what breaks the schema.
    Obeyed,
    /// It takes both.
    LeftOut,
    /// It takes neither.
    Narrower,
    /// It takes only what breaks the schema.
    Reversed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Obeyed => "obeyed",
            Self::LeftOut => "left out in silence",
            Self::Narrower => "narrower: takes no such answer",
            Self::Reversed => "takes only what breaks it",
        })
    }
}

/// Prints the verdicts.
pub(crate) fn show(words: &Words) -> Result<()> {
    println!("\n| keyword | llguidance | llama.cpp |\n|---|---|---|");
    for probe in &PROBES {
        let (ours, theirs) = (verdict(words, Way::Llguidance, probe)?, verdict(words, Way::LlamaCpp, probe)?);
        println!("| {} | {ours} | {theirs} |", probe.0);
    }
    Ok(())
}

fn verdict(words: &Words, way: Way, &(keyword, schema, obeys, breaks): &Probe) -> Result<Verdict> {
    let takes = |answer: &str| match words.hold(way, schema) {
        Ok(mut held) => held.write(answer).map(Some).map_err(|error| anyhow!("{way:?}, {keyword}, {answer}: {error}")),
        Err(_refused) => Ok(None),
    };
    Ok(match (takes(obeys)?, takes(breaks)?) {
        (None, _) | (_, None) => Verdict::Refused,
        (Some(true), Some(false)) => Verdict::Obeyed,
        (Some(true), Some(true)) => Verdict::LeftOut,
        (Some(false), Some(false)) => Verdict::Narrower,
        (Some(false), Some(true)) => Verdict::Reversed,
    })
}
