//! Values from the host's environment, and from a file of the same form where that has none.

use super::{Dotenv, Provider, ProviderError, Value};
use std::ffi::OsString;
use std::fmt;

/// What the names of environment variables begin with, where nothing else is configured.
pub const DEFAULT_PREFIX: &str = "SPIN_VARIABLE";

/// The environment variable that sets a variable.
pub fn environment_name(prefix: &str, variable: &str) -> String {
    format!("{prefix}_{}", variable.to_ascii_uppercase())
}

/// Reads an environment.
type Read = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// The environment, then a file.
pub struct Environment {
    prefix: String,
    read: Read,
    file: Dotenv,
}

impl Environment {
    /// The host's own environment, then `file`.
    pub fn new(prefix: impl Into<String>, file: Dotenv) -> Self {
        Self::reading(prefix, file, |name| std::env::var_os(name))
    }

    /// As [`Environment::new`], with an environment of the caller's.
    pub fn reading(
        prefix: impl Into<String>,
        file: Dotenv,
        read: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self { prefix: prefix.into(), read: Box::new(read), file }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Provider for Environment {
    fn get(&self, name: &str) -> Result<Option<Value>, ProviderError> {
        let name = environment_name(&self.prefix, name);
        let Some(value) = (self.read)(&name) else { return Ok(self.file.get(&name).cloned()) };
        match value.into_string() {
            Ok(text) => Ok(Some(Value::new(text))),
            Err(_secret) => Err(ProviderError::NotText { name }),
        }
    }
}
