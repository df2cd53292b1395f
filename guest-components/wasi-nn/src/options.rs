//! Options of a call, passed on as they are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A JSON object of options such as `max_tokens`, `temperature`, `seed` or `stop`.
///
/// The host knows which there are and what their ranges are; an unknown one is an error that names it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Options(Map<String, Value>);

impl Options {
    /// No options: the bundle's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same options with one more, or with another value for it.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The bytes of the `options` tensor.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }
}

impl From<Map<String, Value>> for Options {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_one_json_object() {
        let options = Options::new().with("max_tokens", 8).with("stop", vec!["."]).with("max_tokens", 9);
        assert_eq!(options.to_json(), br#"{"max_tokens":9,"stop":["."]}"#);
        assert_eq!(Options::new().to_json(), b"{}");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(serde_json::from_str::<Options>("[1]").is_err());
    }
}
