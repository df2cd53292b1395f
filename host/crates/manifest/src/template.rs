//! Strings with `{{ name }}` references to application variables.

use std::fmt;

use crate::names::{self, NameError, VariableName};

/// A string in which `{{ name }}` stands for the value of an application variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(VariableName),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// An opening `{{` without its `}}`.
    #[error("`{{{{` is never closed with `}}}}`")]
    Unclosed,
    /// What stands between the braces is no variable name.
    #[error("`{{{{ {text} }}}}` does not name a variable")]
    Name {
        /// What stands between the braces.
        text: String,
        /// Why it is no name.
        #[source]
        source: NameError,
    },
}

impl Template {
    /// Reads a template. A single `{` or `}` is ordinary text.
    ///
    /// # Errors
    /// When braces are not closed, or hold something else than a lower snake_case name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            let (name, remaining) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
            let name = name.trim();
            names::lower_snake(name).map_err(|source| TemplateError::Name { text: name.to_owned(), source })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Variable(VariableName::new(name)));
            rest = remaining;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { source: text.to_owned(), parts })
    }

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The variables that it refers to, in order, with repetitions.
    pub fn variables(&self) -> impl Iterator<Item = &VariableName> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name),
            Part::Literal(_) => None,
        })
    }

    /// The text with every reference replaced.
    ///
    /// # Errors
    /// Whatever `value_of` answers for a variable whose value it does not have.
    pub fn render<E>(&self, mut value_of: impl FnMut(&VariableName) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::with_capacity(self.source.len());
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => text.push_str(&value_of(name)?),
            }
        }
        Ok(text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn rendered(text: &str) -> String {
        let value = |name: &VariableName| Ok::<_, Infallible>(format!("<{name}>"));
        Template::parse(text).unwrap().render(value).unwrap()
    }

    #[test]
    fn references_are_replaced_and_single_braces_are_text() {
        assert_eq!(rendered("https://{{ host }}:{{port}}/"), "https://<host>:<port>/");
        assert_eq!(rendered("{ \"a\": 1 }"), "{ \"a\": 1 }");
        assert_eq!(rendered(""), "");
    }

    #[test]
    fn unclosed_braces_and_bad_names_are_errors() {
        assert_eq!(Template::parse("{{ open"), Err(TemplateError::Unclosed));
        assert!(matches!(Template::parse("{{ Not-One }}"), Err(TemplateError::Name { .. })));
        assert!(matches!(Template::parse("{{}}"), Err(TemplateError::Name { .. })));
    }
}
