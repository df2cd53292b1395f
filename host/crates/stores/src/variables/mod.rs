//! The variables of an application: what they are, and where their values come from.
//!
//! Values are looked up once, when the host starts: a variable without one is an error then, and not the answer of some
//! request. Any value may be a secret, so none shows up in a message or in a debug representation.

mod dotenv;
mod environment;
mod name;
mod provider;
mod source;
mod value;

pub use dotenv::{Dotenv, DotenvError};
pub use environment::{DEFAULT_PREFIX, Environment, environment_name};
pub use name::VariableNameError;
pub use provider::{Provider, ProviderError, Static};
pub use source::{SourceError, VariableSource, VariableSourceError};
pub use value::Value;

use bobbin_manifest::{Template, Variable, VariableName};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// The variables of an application, each with its value.
#[derive(Debug, Clone, Default)]
pub struct Variables(BTreeMap<VariableName, Value>);

/// Why the variables have no values.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Required variables that nobody gives a value.
    #[error("variables are required and have no value: {}", .0.iter().map(VariableName::as_str).collect::<Vec<_>>().join(", "))]
    Missing(
        /// Their names, in order.
        Vec<VariableName>,
    ),
    /// A provider could not be asked.
    #[error("the variable \"{name}\" could not be looked up")]
    Provider {
        /// The variable.
        name: VariableName,
        /// Why.
        #[source]
        source: ProviderError,
    },
}

impl Variables {
    /// Asks the providers for every variable, the first one first; where none knows it, its default counts.
    ///
    /// # Errors
    /// [`ResolveError`]; all variables without a value at once.
    pub fn resolve(
        declared: &BTreeMap<VariableName, Variable>,
        providers: &[Box<dyn Provider>],
    ) -> Result<Self, ResolveError> {
        let (mut values, mut missing) = (BTreeMap::new(), Vec::new());
        for (name, variable) in declared {
            let found = ask(name, providers).map_err(|source| ResolveError::Provider { name: name.clone(), source })?;
            match found.or_else(|| variable.default.clone().map(Value::new)) {
                Some(value) => drop(values.insert(name.clone(), value)),
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() { Ok(Self(values)) } else { Err(ResolveError::Missing(missing)) }
    }

    /// A template with every reference replaced. The manifest's checks have seen that what it refers to is declared, and
    /// each declared variable has a value.
    pub fn render(&self, template: &Template) -> Value {
        let value = |name: &VariableName| {
            Ok::<_, Infallible>(self.0.get(name).map(Value::expose).unwrap_or_default().to_owned())
        };
        match template.render(value) {
            Ok(text) => Value::new(text),
            Err(never) => match never {},
        }
    }

    /// What one component knows: the variables in its own table, rendered.
    pub fn of_component(&self, component: &str, table: &BTreeMap<VariableName, Template>) -> ComponentVariables {
        let values = table.iter().map(|(name, template)| (name.as_str().to_owned(), self.render(template))).collect();
        ComponentVariables { component: component.to_owned(), values }
    }
}

fn ask(name: &VariableName, providers: &[Box<dyn Provider>]) -> Result<Option<Value>, ProviderError> {
    for provider in providers {
        if let Some(value) = provider.get(name.as_str())? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The variables that one component may read.
#[derive(Debug, Clone, Default)]
pub struct ComponentVariables {
    component: String,
    values: BTreeMap<String, Value>,
}

/// Why a component gets no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// What it asked for is no name of a variable.
    #[error("{name:?} is no name of a variable: {source}")]
    InvalidName {
        /// What it asked for, at most 100 characters of it.
        name: String,
        /// Why.
        source: VariableNameError,
    },
    /// Its manifest gives it no such variable.
    #[error("component {component:?} has no variable {name:?} in its `variables`")]
    Undefined {
        /// The component.
        component: String,
        /// The variable.
        name: String,
    },
}

/// So much of a name that a guest made up is repeated in a message.
const SHOWN: usize = 100;

impl ComponentVariables {
    /// The value of a variable.
    ///
    /// # Errors
    /// When there is none, or `name` is no name of a variable.
    pub fn get(&self, name: &str) -> Result<&str, LookupError> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.expose());
        }
        let shown: String = name.chars().take(SHOWN).collect();
        match name::check(name) {
            Ok(()) => Err(LookupError::Undefined { component: self.component.clone(), name: shown }),
            Err(source) => Err(LookupError::InvalidName { name: shown, source }),
        }
    }

    /// All names and values, in the order of the names.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }
}

#[cfg(test)]
mod tests;
