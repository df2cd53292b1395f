//! JSON as the tree that the reader walks: what a locked application says is read by the same rules as a manifest, and
//! its problems show their lines, too. TOML has no null, so a null is a key that is not there.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// How deep objects and arrays may be nested. Locked applications need about ten levels.
const DEEPEST: usize = 64;

/// A text that is no JSON, or none that can be read here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    #[error("it is no object")]
    NoObject,
    #[error("objects and arrays are nested in more than {DEEPEST} levels")]
    Deep,
    #[error("the key {key:?} stands there twice")]
    Twice {
        key: String,
        /// Of the second value, in bytes.
        offset: usize,
    },
    #[error("the number {0} cannot be read")]
    Number(String, #[source] toml::de::Error),
}

/// Reads a text whose top is an object.
pub(crate) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, JsonError> {
    let top: &RawValue = serde_json::from_str(text)?;
    let reader = Reader { text };
    let value = reader.value(top, 0)?.ok_or(JsonError::NoObject)?;
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        _ => Err(JsonError::NoObject),
    }
}

struct Reader<'t> {
    text: &'t str,
}

impl<'t> Reader<'t> {
    /// Where a part of the text begins, in bytes.
    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }

    /// None for a null.
    fn value(&self, raw: &'t RawValue, depth: usize) -> Result<Option<Spanned<DeValue<'t>>>, JsonError> {
        if depth > DEEPEST {
            return Err(JsonError::Deep);
        }
        let json = raw.get();
        let value = match json.as_bytes().first() {
            Some(b'n') => return Ok(None),
            Some(b'{') => DeValue::Table(self.object(json, depth)?),
            Some(b'[') => DeValue::Array(self.array(json, depth)?),
            Some(b'"') => DeValue::String(Cow::Owned(serde_json::from_str(json)?)),
            Some(b't' | b'f') => DeValue::Boolean(serde_json::from_str(json)?),
            _ => {
                let number = DeValue::parse(json).map_err(|cause| JsonError::Number(json.to_owned(), cause))?;
                number.into_inner()
            }
        };
        let start = self.offset(json);
        Ok(Some(Spanned::new(start..start + json.len(), value)))
    }

    fn object(&self, json: &'t str, depth: usize) -> Result<DeTable<'t>, JsonError> {
        let Members(members) = serde_json::from_str(json)?;
        let (mut table, mut seen) = (DeTable::new(), BTreeSet::new());
        for (key, raw) in members {
            let offset = self.offset(raw.get());
            if !seen.insert(key.clone()) {
                return Err(JsonError::Twice { key, offset });
            }
            // The text does not tell where a key stands; its value stands beside it.
            if let Some(value) = self.value(raw, depth + 1)? {
                table.insert(Spanned::new(offset..offset, Cow::Owned(key)), value);
            }
        }
        Ok(table)
    }

    fn array(&self, json: &'t str, depth: usize) -> Result<DeArray<'t>, JsonError> {
        let items: Vec<&RawValue> = serde_json::from_str(json)?;
        let mut array = DeArray::new();
        for raw in items {
            if let Some(value) = self.value(raw, depth + 1)? {
                array.push(value);
            }
        }
        Ok(array)
    }
}

/// An object's members as they stand there, unread.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_places_and_nulls_are_not_there() {
        let text = "{ \"a\": [1, null, \"x\\n\"],\n  \"b\": null, \"c\": {\"d\": true} }";
        let table = parse(text).unwrap().into_inner();
        assert_eq!(table.len(), 2);
        let place = |key: &str| table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value.span());
        assert_eq!(place("a"), Some(7..23));
        assert_eq!(&text[place("c").unwrap()], "{\"d\": true}");
        let (_, a) = table.iter().next().unwrap();
        let items = a.get_ref().as_array().unwrap();
        assert_eq!((items.len(), items[1].get_ref().as_str()), (2, Some("x\n")));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(matches!(parse("{"), Err(JsonError::Syntax(_))));
        assert!(matches!(parse("[]"), Err(JsonError::NoObject)));
        assert!(matches!(parse("null"), Err(JsonError::NoObject)));
        assert!(matches!(parse("{\"a\": 1, \"a\": 2}"), Err(JsonError::Twice { offset: 14, .. })));
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(parse(&deep), Err(JsonError::Deep | JsonError::Syntax(_))));
    }
}
