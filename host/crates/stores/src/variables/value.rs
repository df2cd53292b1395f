//! Values that nobody prints.

use std::fmt;

/// The value of a variable. It may be a secret, so its debug representation hides it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Value(String);

impl Value {
    /// A value.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever is entitled to it. Never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
