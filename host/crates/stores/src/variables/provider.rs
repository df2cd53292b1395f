//! Where values come from.

use super::Value;
use std::collections::BTreeMap;
use std::fmt;

/// A source of values, by the variable's name.
pub trait Provider: fmt::Debug + Send + Sync {
    /// The value of a variable, if this provider has it.
    ///
    /// # Errors
    /// When it has one that cannot be used.
    fn get(&self, name: &str) -> Result<Option<Value>, ProviderError>;
}

/// A provider has a value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// A variable's value is text.
    #[error("the environment variable {name} is no UTF-8 text; set it to text, or unset it")]
    NotText {
        /// The environment variable.
        name: String,
    },
}

/// Values that were given one by one: on the command line, or in the runtime configuration.
#[derive(Debug, Clone, Default)]
pub struct Static(BTreeMap<String, Value>);

impl Static {
    /// Values by name.
    pub fn new(values: BTreeMap<String, Value>) -> Self {
        Self(values)
    }

    /// The names that have values here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Provider for Static {
    fn get(&self, name: &str) -> Result<Option<Value>, ProviderError> {
        Ok(self.0.get(name).cloned())
    }
}
