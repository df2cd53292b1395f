//! The names that a manifest gives: what they may look like, and types that say which name is which.

use std::borrow::Borrow;
use std::fmt;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub(crate) fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The name of a `[component.<id>]` table, or the generated one of an inline component. Kebab-case.
    ComponentId
}
name_type! {
    /// What identifies a trigger: its `id`, or a name derived from type, route and component.
    TriggerId
}
name_type! {
    /// A model name of `ai_models`, which is the name that a guest gives to wasi-nn's `load-by-name`.
    GraphName
}
name_type! {
    /// The name of a variable. Lower snake_case.
    VariableName
}

/// Why a text is no name of the wanted form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// Words are joined by another character.
    #[error("words are joined with `{wanted}`, not with `{found}`")]
    Joint {
        /// The character that joins words in this form.
        wanted: char,
        /// The one that was written.
        found: char,
    },
    /// Two joints follow each other, or one stands at an end.
    #[error("a word between two `{0}`, or at an end, is empty")]
    EmptyWord(char),
    /// A word starts with something else than a letter.
    #[error("each word starts with an ASCII letter, and one starts with {0:?}")]
    Start(char),
    /// A character that no name has.
    #[error("a name has ASCII letters and digits only, and {0:?} is neither")]
    Character(char),
    /// A word mixes upper and lower case.
    #[error("the word {0:?} mixes upper and lower case")]
    MixedCase(String),
    /// Upper case where lower case is wanted.
    #[error("the word {0:?} is in upper case")]
    UpperCase(String),
}

/// Checks Spin's kebab-case: words of one case, joined by `-`.
pub(crate) fn kebab(text: &str) -> Result<(), NameError> {
    words(text, '-', '_', false)
}

/// Checks lower snake_case, the form of variable names.
pub(crate) fn lower_snake(text: &str) -> Result<(), NameError> {
    words(text, '_', '-', true)
}

/// Checks the form of store and database labels: kebab-case or snake_case.
pub(crate) fn kebab_or_snake(text: &str) -> Result<(), NameError> {
    words(text, '_', '-', false).or_else(|_| kebab(text))
}

fn words(text: &str, joint: char, wrong: char, lower_only: bool) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.contains(wrong) {
        return Err(NameError::Joint { wanted: joint, found: wrong });
    }
    text.split(joint).try_for_each(|word| {
        let first = word.chars().next().ok_or(NameError::EmptyWord(joint))?;
        if !first.is_ascii_alphabetic() {
            return Err(NameError::Start(first));
        }
        if let Some(bad) = word.chars().find(|c| !c.is_ascii_alphanumeric()) {
            return Err(NameError::Character(bad));
        }
        let upper = word.chars().filter(char::is_ascii_uppercase).count();
        let letters = word.chars().filter(char::is_ascii_alphabetic).count();
        match upper {
            0 => Ok(()),
            _ if upper < letters => Err(NameError::MixedCase(word.to_owned())),
            _ if lower_only => Err(NameError::UpperCase(word.to_owned())),
            _ => Ok(()),
        }
    })
}

/// Turns any text into lower kebab-case, for names that are derived from routes. Empty if nothing is left.
pub(crate) fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let word = |word: &str| match word.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("n{}", word.to_ascii_lowercase()),
        false => word.to_ascii_lowercase(),
    };
    words.map(word).collect::<Vec<_>>().join("-")
}

/// A key as it must be written in TOML: bare where possible, quoted otherwise.
pub(crate) fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { toml::Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kebab_case_is_as_strict_as_in_spin() {
        for good in ["hello", "hello-world", "HTTP-api", "a1-b2"] {
            assert_eq!(kebab(good), Ok(()), "{good}");
        }
        assert_eq!(kebab(""), Err(NameError::Empty));
        assert_eq!(kebab("snake_case"), Err(NameError::Joint { wanted: '-', found: '_' }));
        assert_eq!(kebab("two--joints"), Err(NameError::EmptyWord('-')));
        assert_eq!(kebab("1st"), Err(NameError::Start('1')));
        assert_eq!(kebab("caf\u{e9}"), Err(NameError::Character('\u{e9}')));
        assert_eq!(kebab("camelCase"), Err(NameError::MixedCase("camelCase".into())));
    }

    #[test]
    fn variables_are_lower_snake_and_labels_either_case() {
        assert_eq!(lower_snake("api_host"), Ok(()));
        assert_eq!(lower_snake("API_HOST"), Err(NameError::UpperCase("API".into())));
        assert_eq!(kebab_or_snake("my-store"), Ok(()));
        assert_eq!(kebab_or_snake("my_store"), Ok(()));
        assert!(kebab_or_snake("my store").is_err());
    }

    #[test]
    fn every_slug_is_kebab_case() {
        assert_eq!(slug("/story/..."), "story");
        assert_eq!(slug("/v1/:user/2nd.File"), "v1-user-n2nd-file");
        assert_eq!(slug("/"), "");
        assert_eq!(kebab(&slug("/v1/:user/2nd.File")), Ok(()));
    }

    #[test]
    fn keys_are_quoted_only_where_toml_needs_it() {
        assert_eq!(toml_key("story"), "story");
        assert_eq!(toml_key("llama3.2"), "\"llama3.2\"");
    }
}
