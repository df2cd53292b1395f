//! Whatever the schema and whatever the model would say: an answer is JSON of its schema.

mod calls;

use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Bytes, and pieces as vocabularies have them. The last token ends an answer.
fn shared() -> Arc<Shared> {
    let bytes = (0..=255_u8).map(|byte| vec![byte]);
    let pieces = [
        "{\"", "\": ", "\":", "\", \"", "\",\"", "\"}", "},", "[{", "[]", "{}", "]}", ", ", "\n  ", "  ", "true",
        "false", "null", "tru", "12", "-1", "0.5", "e10", "007", "name", "age", "a", " the", "é", "日本", "\\u00",
        "\\n", "2024-",
    ];
    let words: Vec<_> = bytes.chain(pieces.iter().map(|piece| piece.as_bytes().to_vec())).chain([Vec::new()]).collect();
    let end = Token::try_from(words.len() - 1).unwrap();
    Arc::new(Shared::new(words, &[end]).unwrap())
}

fn compile(schema: &Value) -> Result<Json, String> {
    Json::new(&shared(), schema.clone())
}

/// Wanders through what a schema allows, and looks at the value each time that an answer could end. Returns how often that
/// was, and whether the end was reached.
fn wander(schema: &Value, seed: u64) -> (usize, bool) {
    let mut json = compile(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    walk(&mut json, seed, "", |text| match serde_json::from_slice::<Value>(text) {
        Ok(value) => {
            assert!(validator.is_valid(&value), "{schema} allows {value}");
            true
        }
        // JSON has no largest number, and this reader does.
        Err(error) if error.to_string().contains("number out of range") => false,
        Err(error) => panic!("{schema} allows {:?}, which is no JSON: {error}", String::from_utf8_lossy(text)),
    })
}

/// Begins with a text, then chooses at random among what is allowed, with some preference for what ends a value, and has
/// the whole looked at each time that an answer could end; a look that says so ends it. Returns how often that was, and
/// whether the end was reached.
fn walk(json: &mut Json, seed: u64, begin: &str, mut look: impl FnMut(&[u8]) -> bool) -> (usize, bool) {
    let trie = json.shared.factory.tok_env().tok_trie().clone();
    let end = *json.shared.ends.iter().next().unwrap();
    let (mut text, mut ends, mut state) = (Vec::new(), 0, seed | 1);
    for byte in begin.bytes() {
        let token = Token::from(byte);
        assert!(
            json.allows(token).unwrap(),
            "{:?} is not allowed after {:?}",
            byte as char,
            String::from_utf8_lossy(&text)
        );
        json.accept(token).unwrap();
        text.push(byte);
    }
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..400 {
        let whole = json.is_over() || json.allows(end).unwrap();
        if whole {
            if !look(&text) {
                return (ends, false);
            }
            ends += 1;
        }
        if json.is_over() {
            return (ends, true);
        }
        let mask = json.mask().unwrap();
        let mut allowed: Vec<u32> = Vec::new();
        mask.iter_set_entries(|id| allowed.push(u32::try_from(id).unwrap()));
        allowed.retain(|id| *id != u32::try_from(end).unwrap());
        if allowed.is_empty() {
            assert!(whole, "nothing is allowed after {:?}", String::from_utf8_lossy(&text));
            return (ends, true);
        }
        let closing: Vec<u32> =
            allowed.iter().copied().filter(|id| trie.token(*id).iter().all(|byte| b"\"}],:".contains(byte))).collect();
        let id = if !closing.is_empty() && random(3) == 0 {
            closing[random(closing.len())]
        } else {
            allowed[random(allowed.len())]
        };
        let token = Token::try_from(id).unwrap();
        assert!(json.allows(token).unwrap(), "the mask and the single look differ on {:?}", trie.token_str(id));
        json.accept(token).unwrap();
        text.extend_from_slice(trie.token(id));
    }
    (ends, false)
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"type": "string", "format": "date"})),
        Just(json!({"type": "string", "format": "uuid"})),
        Just(json!({"type": "string", "format": "ipv4"})),
        Just(json!({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"})),
        Just(json!({"type": "string", "pattern": "ab?c"})),
        (0..6_u32, 0..9_u32)
            .prop_map(|(low, more)| json!({"type": "string", "minLength": low, "maxLength": low + more})),
        (-2_000..2_000_i64, 0..5_000_i64)
            .prop_map(|(low, more)| json!({"type": "integer", "minimum": low, "maximum": low + more})),
        (-50..50_i64).prop_map(|low| json!({"type": "integer", "exclusiveMinimum": low})),
        (-9.0..9.0_f64, 0.1..9.0_f64).prop_map(|(low, more)| {
            let cut = |x: f64| (x * 100.0).round() / 100.0;
            json!({"type": "number", "minimum": cut(low), "maximum": cut(low + more)})
        }),
        (1..12_u32).prop_map(|of| json!({"type": "integer", "multipleOf": of, "minimum": 0, "maximum": 900 * of})),
        proptest::collection::hash_set("[a-z\"\\\\é ]{0,6}", 1..5)
            .prop_map(|names| json!({"enum": Vec::from_iter(names)})),
        Just(json!({"const": {"a": [1, null, "x"]}})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let property = (inner.clone(), any::<bool>());
        let name = "[a-z]{1,5}( [a-z\"]{1,3})?";
        prop_oneof![
            (inner.clone(), 0..3_u32, 0..3_u32).prop_map(|(items, low, more)| {
                json!({"type": "array", "items": items, "minItems": low, "maxItems": low + more})
            }),
            proptest::collection::vec(inner.clone(), 1..3)
                .prop_map(|items| json!({"type": "array", "prefixItems": items, "items": false})),
            (proptest::collection::hash_map(name, property, 0..4), any::<bool>()).prop_map(|(properties, more)| {
                let required: Vec<_> =
                    properties.iter().filter(|(_, (_, required))| *required).map(|(name, _)| name.clone()).collect();
                let properties: serde_json::Map<_, _> =
                    properties.into_iter().map(|(name, (schema, _))| (name, schema)).collect();
                let more = if more { json!({"type": "integer"}) } else { json!(false) };
                json!({"type": "object", "properties": properties, "required": required, "additionalProperties": more})
            }),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|schemas| json!({"anyOf": schemas})),
            inner.prop_map(|schema| {
                json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {
                    "value": schema, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                    "required": ["value", "next"], "additionalProperties": false}}})
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_answer_is_json_of_its_schema_whenever_it_ends(schema in schemas(), seed in any::<u64>()) {
        // A definition refers to the root, which it no longer is inside of another schema.
        prop_assume!(!schema.to_string()[1..].contains("$defs") || schema.get("$defs").is_some());
        prop_assume!(schema.to_string().matches("$defs").count() <= 3);
        wander(&schema, seed);
    }
}

/// Every format that is not refused.
const FORMATS: [&str; 10] =
    ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];

#[test]
fn formats_are_what_their_standards_say() {
    for format in FORMATS {
        let schema = json!({"type": "string", "format": format});
        let ended: usize = (0..300).map(|seed| wander(&schema, seed * 7919).0).sum();
        assert!(ended > 0, "no {format} ended");
    }
}

/// Whether a schema lets this be the whole answer.
fn takes(schema: &Value, answer: &Value) -> bool {
    let mut json = compile(schema).unwrap();
    let end = *json.shared.ends.iter().next().unwrap();
    for byte in answer.to_string().bytes() {
        if !json.allows(Token::from(byte)).unwrap() {
            return false;
        }
        json.accept(Token::from(byte)).unwrap();
    }
    json.is_over() || json.allows(end).unwrap()
}

#[test]
fn a_format_takes_what_its_standard_names_and_no_more() {
    let label = "a".repeat(63);
    for (format, text, taken) in [
        ("date", "2024-02-29", true),
        ("date", "2000-02-29", true),
        ("date", "1217-02-29", false),
        ("date", "1900-02-29", false),
        ("date", "2023-04-30", true),
        ("date", "2023-04-31", false),
        ("date-time", "2024-02-29T23:59:59.123Z", true),
        ("date-time", "2023-02-29T23:59:59Z", false),
        ("time", "07:08:09+02:00", true),
        ("time", "07:08:60Z", false),
        ("hostname", "a-b.example.com", true),
        ("hostname", "xn--a.example.com", false),
        ("hostname", &format!("{label}.example"), true),
        ("hostname", &format!("{label}a.example"), false),
        ("hostname", &[label.as_str(); 4].join("."), false),
        ("email", "first.last+tag@a-b.example.com", true),
        ("email", "first..last@example.com", false),
        ("email", &format!("{label}a@example.com"), true),
        ("email", &format!("{label}aa@example.com"), false),
    ] {
        let schema = json!({"type": "string", "format": format});
        assert_eq!(takes(&schema, &json!(text)), taken, "{format}: {text}");
    }
}

#[test]
fn formats_are_kept_wherever_a_schema_is_and_nowhere_else() {
    let day = json!({"type": "string", "format": "date"});
    let none = json!("2023-02-29");
    for (schema, refused) in [
        (json!({"type": "array", "items": day}), json!([none])),
        (json!({"anyOf": [{"type": "null"}, day]}), none.clone()),
        (json!({"type": "object", "properties": {"format": day}, "required": ["format"]}), json!({"format": none})),
        (json!({"$ref": "#/$defs/day", "$defs": {"day": day}}), none.clone()),
        (json!({"type": "string", "format": "date", "allOf": [{"pattern": "^20"}]}), none.clone()),
    ] {
        assert!(!takes(&schema, &refused), "{schema}");
        let text = serde_json::to_string(&refused).unwrap().replace("2023", "2024");
        assert!(takes(&schema, &serde_json::from_str(&text).unwrap()), "{schema}");
    }
    let constant = json!({"const": {"format": "date"}});
    assert!(takes(&constant, &json!({"format": "date"})));
}

#[test]
fn walks_do_come_to_an_end() {
    // Otherwise the property above would hold of nothing.
    let schema = json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 5},
        "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}}, "required": ["name", "sizes"],
        "additionalProperties": false});
    let ended = (0..50).filter(|seed| wander(&schema, *seed * 7919).1).count();
    assert!(ended >= 40, "{ended} of 50");
}

#[test]
fn properties_come_in_the_order_of_the_schema() {
    let schema: Value = serde_json::from_str(
        r#"{"type": "object", "properties": {"z": {"const": 1}, "a": {"const": 2}},
        "required": ["a", "z"], "additionalProperties": false}"#,
    )
    .unwrap();
    let mut json = compile(&schema).unwrap();
    for byte in b"{\"z\":1" {
        assert!(json.allows(Token::from(*byte)).unwrap(), "{:?}", char::from(*byte));
        json.accept(Token::from(*byte)).unwrap();
    }
}

#[test]
fn what_cannot_be_obeyed_is_refused_by_name() {
    for (schema, why) in [
        (json!({"type": "nonsense"}), "nonsense"),
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"if": {"type": "string"}, "then": {"minLength": 2}}), "if"),
        (json!({"type": "string", "format": "favourite-colour"}), "favourite-colour"),
        (json!({"type": "string", "minLength": 5, "maxLength": 2}), "nsatisfiable"),
        (json!({"type": "integer", "minimum": 5, "maximum": 2}), "nsatisfiable"),
        (json!({"$ref": "https://example.com/schema.json"}), "example.com"),
        (json!({"$ref": "#/$defs/nowhere"}), "nowhere"),
        (json!({"$ref": "#"}), "leads back to itself"),
        (json!({"type": "string", "pattern": "^(a)\\1$"}), "backreferences are not supported"),
        (json!({"x-guidance": {"lenient": true}, "type": "string"}), "x-guidance"),
        (json!([]), "must be an object"),
        (json!("string"), "must be an object"),
        (json!(false), "must be an object"),
    ] {
        let error = compile(&schema).err().unwrap_or_else(|| panic!("{schema} was taken"));
        assert!(error.contains(why), "{schema}: {error}");
    }
}

#[test]
fn white_space_ends() {
    let mut json = compile(&json!({"type": "object", "properties": {"a": {"type": "integer"}}})).unwrap();
    for byte in b"{\n    " {
        json.accept(Token::from(*byte)).unwrap();
    }
    for _ in 0..16 {
        json.accept(Token::from(b' ')).unwrap();
    }
    assert!(!json.allows(Token::from(b' ')).unwrap());
    assert!(json.allows(Token::from(b'"')).unwrap());
}
